"""A training step of the papers' systems on one GPU, in bfloat16 and in 4 bits, at micro-batches of 1, 2, 4 ... that fit.

    python -m benchmarks.one_gpu --device cuda                                    all systems at their real sizes
    python -m benchmarks.one_gpu --device cuda --systems lion_12b --largest 8     one of them, and no more than 8 samples
    python -m benchmarks.one_gpu --device cuda --json                             all figures
    python -m benchmarks.one_gpu                                                  at tiny sizes on a CPU: that it runs

The models are the files of `conf/model`, trained as their stages do, with bfloat16 autocast. Weights are random and of the real
shapes: nothing is downloaded. The precision is that of the language model; towers are in bfloat16, and what trains in float32.

A sample is what the recipe reads at once: a picture with four questions (LION), or one conversation (PVIT; SAM, about two
pictures). Tokens are all that the language model reads and writes, those of pictures included. The peak is what tensors take from
the first weight on; a GPU's driver takes about half a GiB more. Each model has a process of its own.
"""

import argparse
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.lion_pair import Arm
from benchmarks.lion_rows import rows_of
from benchmarks.measure import PeakMemory, alone, clock_of, in_turns, machine
from benchmarks.paper_models import Sizes, model_of
from benchmarks.paper_rows import MMLINK, PVIT_INSTRUCTION, Dialogue, dialogues
from triscope.components.regions import RegionEncoder
from triscope.data.batch import Batch
from triscope.stages import MixtureStage, MultiImageStage, RegionInstructionStage
from triscope.stages.base import Stage
from triscope.stages.losses import token_losses

PRECISIONS = ("bfloat16", "nf4")  # in this order, as the second is compared with the first
LION_QUESTIONS = 4  # `conversations_per_image` of conf/data/lion.yaml
WORDS = 1000  # of every vocabulary that are used
GOAL_TIMES_BFLOAT16 = 1.4
HEAD = (
    "| system | precision | samples | GiB at the peak | samples/s (lowest to highest) | tokens/s | times the time of bfloat16 |"
    "\n|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class System:
    """What is trained.

    Args:
        told: in the table.
        stage: which trains it.
        language: more arguments of its language model.
        dialogue: its rows; LION's own if None.
        goal_gib: of a step with one sample in 4 bits; None for none.
    """

    told: str
    stage: type[Stage]
    language: dict[str, Any] = field(default_factory=dict)
    dialogue: Dialogue | None = None
    goal_gib: float | None = None


SYSTEMS = {  # by the name of the model's file
    "lion_4b": System("LION-4B, stage 3", MixtureStage),
    "lion_12b": System("LION-12B, stage 3", MixtureStage, goal_gib=14),
    "pvit_7b": System("PVIT-7B, stage 2, LoRA", RegionInstructionStage, {"lora": {"rank": 16}}, PVIT_INSTRUCTION, goal_gib=10),
    "sam_7b": System("SAM-7B", MultiImageStage, dialogue=MMLINK),
}


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sizes", choices=("published", "tiny"), help="(default: tiny on a CPU, published on a GPU)")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS, help="of the language model")
    parser.add_argument("--largest", type=int, help="micro-batch (default: 2 on a CPU; on a GPU, the largest that fits)")
    parser.add_argument("--rounds", type=int, default=4, help="that are timed (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    asked = parser.parse_args(arguments)
    sizes = asked.sizes or ("tiny" if asked.device == "cpu" else "published")
    largest = asked.largest or (2 if asked.device == "cpu" else None)
    figures: list[dict[str, Any]] = []
    for system, precision in itertools.product(asked.systems, sorted(asked.precisions)):
        arm = Work(system, precision, sizes, asked.device)
        new = [beside_bfloat16(figure, figures) for figure in alone(figures_of, arm, largest, asked.rounds)]
        if not asked.json:
            print("\n".join([*([] if figures else [HEAD]), *map(line, new)]), flush=True)
        figures += new
    if asked.json:
        print(json.dumps({"figures": figures, "machine": machine(asked.device)}, indent=1))
    else:
        print("\n" + ", ".join(f"{name} {value}" for name, value in machine(asked.device).items()))


@dataclass(frozen=True)
class Work:
    """What one process measures.

    Args:
        name: of the system.
        precision: of the language model's weights.
        sizes: of the model.
        device: "cpu" or "cuda".
    """

    name: str
    precision: str
    sizes: Sizes
    device: str

    @property
    def system(self) -> System:
        return SYSTEMS[self.name]

    def goals(self, samples: int) -> dict[str, float]:
        """Of a step in 4 bits at the real sizes: the most GiB, and how many times the time of bfloat16."""
        if (self.precision, self.sizes) != ("nf4", "published"):
            return {}
        memory = {"peak_gib": self.system.goal_gib} if samples == 1 and self.system.goal_gib is not None else {}
        return {**memory, "times_bfloat16": GOAL_TIMES_BFLOAT16}


def figures_of(work: Work, largest: int | None, rounds: int) -> list[dict[str, Any]]:
    """The figures of every micro-batch of a model, which is built in this process."""
    memory = PeakMemory(work.device)
    built = cache(stage_of)  # with the first micro-batch: it may be the model that does not fit

    def figure(samples: int) -> dict[str, Any]:
        stage = built(work)
        batch = batch_of(work.system, stage, samples).to(work.device)
        arm = Arm(
            stage.model,
            (parameter for _, parameter in stage.trained_parameters()),
            lambda: token_losses(stage.model(batch)).mean(),
            lambda: torch.autocast(work.device, torch.bfloat16),
        )
        timing = in_turns({"step": arm.step}, rounds, clock_of(work.device))["step"]
        return {
            "peak_gib": memory.mib() / 1024,
            "seconds": timing.median,
            "samples_per_second": timing.rate(samples),
            "tokens_per_second": timing.rate(tokens_of(batch, stage)),
            "goals": work.goals(samples),
        }

    return [{"system": work.name, "precision": work.precision, **each} for each in doubled(figure, largest)]


def doubled(figure: Callable[[int], dict[str, Any]], largest: int | None) -> Iterator[dict[str, Any]]:
    """The figures of 1, 2, 4 ... samples.

    Args:
        figure: of so many samples.
        largest: number of samples; None to go on until memory is out, which is then told in the place of the last figure.
    """
    samples = 1
    while largest is None or samples <= largest:
        try:
            yield {"samples": samples, **figure(samples)}
        except torch.OutOfMemoryError:
            yield {"samples": samples, "out_of_memory": True}
            return
        samples *= 2


def stage_of(work: Work) -> Stage:
    """The stage with its model, as `triscope fit` builds it, in training mode."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder, torch.device(work.device):
        model = model_of(work.name, Path(folder), work.sizes, dtype=work.precision, **work.system.language)
        stage = work.system.stage(model)
        stage.configure_model()
    stage.model.train()
    return stage


def batch_of(system: System, stage: Stage, samples: int) -> Batch:
    """So many samples as the system's stage reads them, on the CPU."""
    side, region_sides = stage.picture_side(), stage.region_sides()
    if system.dialogue is None:
        return rows_of(3, samples, LION_QUESTIONS, side, WORDS, WORDS)
    return dialogues(system.dialogue, samples, side, region_sides and region_sides[0], WORDS)


def tokens_of(batch: Batch, stage: Stage) -> int:
    """What the language model reads and writes of a batch; a placeholder stands for all tokens of its picture or region."""
    of_image = sum(bridge.tokens for bridge in stage.model.bridges.values())
    images, regions = len(batch.pair_row_N), len(batch.region_row_G)
    return int(batch.valid_BT.sum()) + images * (of_image - 1) + regions * (RegionEncoder.tokens - 1)


def beside_bfloat16(figure: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    """A figure with how many times the time of bfloat16 it takes, if both were measured."""
    like = {"system": figure["system"], "precision": "bfloat16", "samples": figure["samples"]}
    seconds = [each["seconds"] for each in others if "seconds" in each and like.items() <= each.items()]
    is_known = bool(seconds) and "seconds" in figure
    return {**figure, "times_bfloat16": figure["seconds"] / seconds[0] if is_known else None}


def line(figure: dict[str, Any]) -> str:
    """A row of the table."""
    begin = f"| {SYSTEMS[figure['system']].told} | {figure['precision']} | {figure['samples']} |"
    if "out_of_memory" in figure:
        return f"{begin} out of memory | | | |"
    goals, samples = figure["goals"], figure["samples_per_second"]
    memory, slower = f"{figure['peak_gib']:.2f}", figure["times_bfloat16"]
    memory += f" (goal: under {goals['peak_gib']:g})" if "peak_gib" in goals else ""
    times = "" if slower is None else f"{slower:.2f}"
    times += f" (goal: at most {goals['times_bfloat16']:g})" if slower is not None and goals else ""
    return (
        f"{begin} {memory} | {samples['median']:.2f} ({samples['lowest']:.2f} to {samples['highest']:.2f}) "
        f"| {figure['tokens_per_second']['median']:,.0f} | {times} |"
    )


if __name__ == "__main__":
    main()
