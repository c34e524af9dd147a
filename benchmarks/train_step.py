"""A training step of LION's three stages, ours beside that of Hugging Face, at the same sizes, weights and rows.

    python -m benchmarks.train_step                   on a CPU with one thread, at small sizes
    python -m benchmarks.train_step --device cuda     LION-4B at full size, in bfloat16
    python -m benchmarks.train_step --json            all figures, with `ratios`: geometric means over the stages
    python -m benchmarks.train_step --levers          what each lever gives our step alone, six questions a picture
    python -m benchmarks.train_step --profile         where the time of our step goes, six questions a picture

A sample is a row: a question about a picture, with its answer. Before anything is timed, both must give the same loss. Each
arm's memory is measured in a process of its own; see `measure.peak_mib`.
"""

import argparse
import json
import statistics
from dataclasses import replace
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.lion_pair import LION_4B, SMALL, TINY, Arm, Work, both_arms, hugging_face_arm, our_arm
from benchmarks.measure import clock_of, in_turns, machine, peak_mib, ratio

SIZES = {"small": SMALL, "lion_4b": LION_4B, "tiny": TINY}
KINDS = {"one_question": 1, "six_questions": 6}
MEMORY_STEPS = 2
TOLERANCE = {"cpu": 1e-4, "cuda": 2e-2}  # relative, of a loss: of float32 and of bfloat16
# What our step is without one lever. The last costs time and saves memory: it is off unless it is asked for.
LEVERS: dict[str, dict[str, Any]] = {
    "a picture once for all its rows": {"picture_a_row": True},
    "rows without padding (language.unpadded)": {"language": (("unpadded", False),)},
    "fused attention (language.attention)": {"language": (("attention", "eager"), ("unpadded", False))},
    "layers stored, not recomputed (language.activation_checkpointing)": {"language": (("activation_checkpointing", True),)},
}
SHOWN_OPERATORS = 8
BUILDERS = {"ours": our_arm, "hugging_face": hugging_face_arm}


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sizes", choices=SIZES, help="of the models (default: small on a CPU, lion_4b on a GPU)")
    parser.add_argument("--rows", type=int, help="of a batch, a multiple of 6 (default: 12 on a CPU, 24 on a GPU)")
    parser.add_argument("--rounds", type=int, default=4, help="that are timed (default: %(default)s)")
    parser.add_argument("--stages", type=int, nargs="+", choices=(1, 2, 3), default=[1, 2, 3])
    parser.add_argument("--levers", action="store_true", help="measure our step with each lever left out, instead")
    parser.add_argument("--profile", action="store_true", help="tell the share of each operator in our step, instead")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sizes = SIZES[asked.sizes or ("small" if asked.device == "cpu" else "lion_4b")]
    rows = asked.rows or (12 if asked.device == "cpu" else 24)
    if asked.levers or asked.profile:
        for stage in asked.stages:
            work = Work(stage, KINDS["six_questions"], rows, sizes, asked.device)
            print(table_of_levers(work, asked.rounds) if asked.levers else profiled(work), flush=True)
        return
    figures = []
    for stage in asked.stages:
        for kind, questions in KINDS.items():
            work = Work(stage, questions, rows, sizes, asked.device)
            figures.append({"stage": stage, "kind": kind} | measured(work, asked.rounds))
            if not asked.json:
                print(line(figures[-1]) if len(figures) > 1 else f"{HEAD}\n{line(figures[-1])}", flush=True)
    ratios = ratios_of(figures)
    if asked.json:
        print(json.dumps({"ratios": ratios, "figures": figures, "machine": machine(asked.device)}, indent=1))
    else:
        print(f"\ngeometric means: {', '.join(f'{name} {value:.2f}' for name, value in ratios.items())}")
        print(", ".join(f"{name} {value}" for name, value in machine(asked.device).items()))


def measured(work: Work, rounds: int) -> dict[str, Any]:
    """All figures of one kind of batch."""
    memory = {name: peak_mib(steps, name, work, device=work.device) for name in BUILDERS}
    ours, theirs = both_arms(work)
    losses = {"ours": evaluated(ours), "hugging_face": evaluated(theirs)}
    check_same(losses, work)
    timings = in_turns({"ours": ours.step, "hugging_face": theirs.step}, rounds, clock_of(work.device))
    return {
        "rows": work.rows,
        "loss": losses,
        "samples_per_second": {name: timing.rate(work.rows) for name, timing in timings.items()},
        "peak_mib": memory,
        "speed_ratio": ratio(timings["hugging_face"], timings["ours"]),
        "memory_ratio": memory["ours"] / memory["hugging_face"],
    }


@torch.no_grad()
def evaluated(arm: Arm) -> float:
    """The loss of an arm before its first step."""
    return float(arm.loss())


def check_same(losses: dict[str, float], work: Work) -> None:
    """Refuse to compare arms that compute different things.

    Raises:
        ValueError: their losses differ.
    """
    ours, theirs = losses.values()
    if not abs(ours - theirs) <= TOLERANCE[work.device] * abs(theirs):
        raise ValueError(f"stage {work.stage}: found losses {losses}; expected the same of both, as their weights and rows are")


def steps(name: str, work: Work) -> None:
    """Build an arm and take some steps."""
    arm = BUILDERS[name](work)
    for _ in range(MEMORY_STEPS):
        arm.step()


def table_of_levers(work: Work, rounds: int) -> str:
    """Our step with all levers, beside our step without one of them, in turns; the loss must stay the same."""
    lines = ["| stage | lever | times faster with it (lowest to highest) | MiB with it | without |", "|---|---|---|---|---|"]
    whole = our_arm(work)
    memory = peak_mib(steps, "ours", work, device=work.device)
    for name, change in LEVERS.items():
        reduced = replace(work, **change)
        without = our_arm(reduced)
        without.model.load_state_dict(whole.model.state_dict())
        check_same({"with": evaluated(whole), "without": evaluated(without)}, work)
        timings = in_turns({"with": whole.step, "without": without.step}, rounds, clock_of(work.device))
        faster = ratio(timings["without"], timings["with"])
        told = f"{faster['median']:.2f} ({faster['lowest']:.2f} to {faster['highest']:.2f})"
        other = peak_mib(steps, "ours", reduced, device=work.device)
        lines.append(f"| {work.stage} | {name} | {told} | {memory:.0f} | {other:.0f} |")
    return "\n".join(lines) + "\n"


def profiled(work: Work) -> str:
    """The operators that take most of a step of ours, with their shares of its time."""
    arm = our_arm(work)
    arm.step()
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if work.device == "cuda" else [])
    with profile(activities=kinds) as recorded:
        arm.step()
    own = "self_device_time_total" if work.device == "cuda" else "self_cpu_time_total"
    taken = {event.key: getattr(event, own) for event in recorded.key_averages()}
    lines = [f"| stage {work.stage}: operator | share of the step |", "|---|---|"]
    for name in sorted(taken, key=lambda name: -taken[name])[:SHOWN_OPERATORS]:
        lines.append(f"| `{name}` | {taken[name] / sum(taken.values()):.1%} |")
    return "\n".join(lines) + "\n"


def ratios_of(figures: list[dict[str, Any]]) -> dict[str, float]:
    """Geometric means over the stages; that of memory over both kinds of batches, too."""
    speed = {kind: [each["speed_ratio"]["median"] for each in figures if each["kind"] == kind] for kind in KINDS}
    means = {kind: statistics.geometric_mean(ratios) for kind, ratios in speed.items()}
    return means | {"memory": statistics.geometric_mean([each["memory_ratio"] for each in figures])}


HEAD = (
    "| stage | questions a picture | samples/s, ours | samples/s, Hugging Face | ratio (lowest to highest) "
    "| MiB, ours | MiB, Hugging Face | ratio |\n|---|---|---|---|---|---|---|---|"
)


def line(figure: dict[str, Any]) -> str:
    """A row of the table."""
    rates = {name: f"{rate['median']:.2f}" for name, rate in figure["samples_per_second"].items()}
    faster, memory = figure["speed_ratio"], figure["peak_mib"]
    return (
        f"| {figure['stage']} | {KINDS[figure['kind']]} | {rates['ours']} | {rates['hugging_face']} "
        f"| {faster['median']:.2f} ({faster['lowest']:.2f} to {faster['highest']:.2f}) "
        f"| {memory['ours']:.0f} | {memory['hugging_face']:.0f} | {figure['memory_ratio']:.2f} |"
    )


if __name__ == "__main__":
    main()
