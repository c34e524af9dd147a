"""A training step of LION's three stages, ours beside that of Hugging Face, at the same sizes, weights and rows.

    python -m benchmarks.train_step                   on a CPU with one thread, at small sizes
    python -m benchmarks.train_step --device cuda     LION-4B at full size, in bfloat16
    python -m benchmarks.train_step --json            all figures, with `ratios`: geometric means over the stages

A sample is a row: a question about a picture, with its answer. Before anything is timed, both must give the same loss. Each
arm's memory is measured in a process of its own; see `measure.peak_mib`. On a GPU whose peak is known, the share of it that our
language model uses is told, too; see `benchmarks.utilisation`.
"""

import argparse
import json
import statistics
from typing import Any

import torch

from benchmarks.lion_pair import LION_4B, SMALL, TINY, Arm, Sizes, Work, both_arms, hugging_face_arm, our_arm
from benchmarks.measure import clock_of, in_turns, machine, peak_mib, ratio
from benchmarks.utilisation import language_model_alone, told

SIZES = {"small": SMALL, "lion_4b": LION_4B, "tiny": TINY}
KINDS = {"one_question": 1, "six_questions": 6}
MEMORY_STEPS = 2
TOLERANCE = {"cpu": 1e-4, "cuda": 2e-2}  # relative, of a loss: of float32 and of bfloat16
BUILDERS = {"ours": our_arm, "hugging_face": hugging_face_arm}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What every benchmark of a training step is asked: where, at which sizes, how often."""
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sizes", choices=SIZES, help="of the models (default: small on a CPU, lion_4b on a GPU)")
    parser.add_argument("--rows", type=int, help="of a batch, a multiple of 6 (default: 12 on a CPU, 24 on a GPU)")
    parser.add_argument("--rounds", type=int, default=4, help="that are timed (default: %(default)s)")
    parser.add_argument("--stages", type=int, nargs="+", choices=(1, 2, 3), default=[1, 2, 3])


def sizes_and_rows(asked: argparse.Namespace) -> tuple[Sizes, int]:
    """Sizes of the models and rows of a batch, as asked or as the device bears."""
    sizes = SIZES[asked.sizes or ("small" if asked.device == "cpu" else "lion_4b")]
    return sizes, asked.rows or (12 if asked.device == "cpu" else 24)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sizes, rows = sizes_and_rows(asked)
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
        print(told(figures))


def measured(work: Work, rounds: int) -> dict[str, Any]:
    """All figures of one kind of batch."""
    memory = {name: peak_mib(steps, name, work, device=work.device) for name in BUILDERS}
    ours, theirs = both_arms(work)
    losses = {"ours": evaluated(ours), "hugging_face": evaluated(theirs)}
    check_same(losses, work)
    timings = in_turns({"ours": ours.step, "hugging_face": theirs.step}, rounds, clock_of(work.device))
    return {
        "rows": work.rows,
        "language_model": language_model_alone(ours, work, rounds),
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
