"""What each lever gives our training step alone, six questions a picture: with it beside without it, in turns.

    python -m benchmarks.levers                     on a CPU with one thread, at small sizes
    python -m benchmarks.levers --device cuda       at the size of LION-4B, in bfloat16

The step without a lever has its flag set otherwise. Before anything is timed, both must give the same loss. The levers of reading
are in `benchmarks.stream --levers`.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.lion_pair import Arm, Work, arm_of_ours, our_arm, our_model
from benchmarks.measure import clock_of, in_turns, machine, peak_mib, ratio
from benchmarks.train_step import KINDS, MEMORY_STEPS, add_arguments, check_same, evaluated, sizes_and_rows

PADDED, EAGER = ("unpadded", False), ("attention", "eager")
COMPILED = "tower compiled"
HEAD = (
    "| lever | flag | stage | times faster with it (lowest to highest) | MiB with it | MiB without |\n|---|---|---|---|---|---|"
)


class Lever(NamedTuple):
    """One lever.

    Args:
        name: what is done.
        flag: where it is set.
        way, otherwise: changes of `Work`: with it, and without it.
        stages: of LION, in which it acts.
    """

    name: str
    flag: str
    way: dict[str, Any]
    otherwise: dict[str, Any]
    stages: tuple[int, ...] = (1, 2, 3)


def levers(cache_folder: Path) -> list[Lever]:
    """All of them.

    Args:
        cache_folder: empty; for the features of pictures.
    """
    causal, padded = {"causal": True}, {"language": (PADDED,)}
    sharing = causal | {"share_prefix": True}
    everywhere = causal | {"language": (PADDED, ("logits_at_labels", False))}
    recomputing = {"language": (("activation_checkpointing", True),)}
    sent = {"sent_each_step": True}
    return [
        Lever("a picture is encoded once for all its rows", "data.shared_pictures", {}, {"shared_pictures": False}),
        Lever("features are read, not computed", "vision.cache_folder", {"cache_folder": str(cache_folder)}, {}),
        Lever("no gradients through the frozen tower", "frozen_gradients", {}, {"frozen_gradients": ("vision",)}),
        Lever("no gradients of the frozen language model's weights", "frozen_gradients", {}, {"frozen_gradients": ("language",)}),
        Lever("rows without padding, T5", "language.unpadded", {}, padded),
        Lever("rows without padding, Llama", "language.unpadded", causal, causal | padded),
        Lever("image tokens read once for all questions, Llama", "share_prefix", sharing, causal, (2, 3)),
        Lever("logits where there is a label, Llama", "language.logits_at_labels", causal | padded, everywhere),
        Lever("fused attention, on padded rows", "language.attention", padded, {"language": (PADDED, EAGER)}),
        Lever(
            "pictures sent as bytes, normalised on the device", "data.pixels_as_bytes", sent, sent | {"pixels_as_bytes": False}
        ),
        # This one costs time and saves memory: it is off unless it is asked for.
        Lever("layers stored, not recomputed", "language.activation_checkpointing", {}, recomputing),
        Lever(COMPILED, "vision.compiled", {"compiled": True}, {}),
    ]


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sizes, rows = sizes_and_rows(asked)
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        for lever in levers(Path(folder)):
            for stage in sorted({*lever.stages} & {*asked.stages}):
                work = Work(stage, KINDS["six_questions"], rows, sizes, asked.device)
                print(line(lever, work, asked.rounds), flush=True)
    print("\n" + ", ".join(f"{name} {value}" for name, value in machine(asked.device).items()))


def line(lever: Lever, work: Work, rounds: int) -> str:
    """A row of the table."""
    with_it, without = arms(lever, work)
    check_same({"with": evaluated(with_it), "without": evaluated(without)}, work)
    timings = in_turns({"with": with_it.step, "without": without.step}, rounds, clock_of(work.device))
    faster = ratio(timings["without"], timings["with"])
    memory = [peak_mib(steps, replace(work, **changes), device=work.device) for changes in (lever.way, lever.otherwise)]
    told = f"{faster['median']:.2f} ({faster['lowest']:.2f} to {faster['highest']:.2f})"
    return f"| {lever.name} | `{lever.flag}` | {work.stage} | {told} | {memory[0]:.0f} | {memory[1]:.0f} |"


def arms(lever: Lever, work: Work) -> tuple[Arm, Arm]:
    """Our step with the lever and without it, at the same weights."""
    works = [replace(work, **changes) for changes in (lever.way, lever.otherwise)]
    models = [our_model(each) for each in works]
    models[1].load_state_dict(models[0].state_dict())
    return arm_of_ours(works[0], models[0]), arm_of_ours(works[1], models[1])


def steps(work: Work) -> None:
    """Build an arm and take some steps."""
    arm = our_arm(work)
    for _ in range(MEMORY_STEPS):
        arm.step()


if __name__ == "__main__":
    main()
