"""What each lever gives our training step alone, six questions a picture: with it beside without it, in turns.

    python -m benchmarks.levers                     on a CPU with one thread, at small sizes
    python -m benchmarks.levers --device cuda       at the size of LION-4B, in bfloat16

Where a lever has a flag, the step without it has the flag set otherwise. Where none would make sense, as nobody would train so,
the other way is written here: gradients of weights that are frozen, a prediction at every position, pictures sent as floats.
Before anything is timed, both must give the same loss. The levers of reading are in `benchmarks.stream --levers`.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.lion_pair import Arm, Work, arm_of_ours, our_model
from benchmarks.measure import clock_of, in_turns, machine, peak_mib, ratio
from benchmarks.train_step import KINDS, MEMORY_STEPS, add_arguments, check_same, evaluated, sizes_and_rows
from triscope.components.vision import VisionEncoder
from triscope.model import VisualLanguageModel

PADDED, EAGER = ("unpadded", False), ("attention", "eager")
COMPILED = "tower compiled"
HEAD = (
    "| lever | flag | stage | times faster with it (lowest to highest) | MiB with it | MiB without |\n|---|---|---|---|---|---|"
)


class Way(NamedTuple):
    """A way of doing the step.

    Args:
        changes: of `Work`.
        made: how the model becomes an arm.
    """

    changes: dict[str, Any]
    made: Callable[[Work, VisualLanguageModel], Arm] = arm_of_ours


class Lever(NamedTuple):
    """One lever.

    Args:
        name: what is done.
        flag: where it is set; "" where there is no other way than this.
        way, otherwise: with it, and without it.
        stages: of LION, in which it acts.
    """

    name: str
    flag: str
    way: Way
    otherwise: Way
    stages: tuple[int, ...] = (1, 2, 3)


class TowerInAutograd(VisionEncoder):
    """A vision encoder that is not kept out of autograd."""

    def forward(self, pixels_ICHW: Tensor) -> list[Tensor]:
        return self._encode(pixels_ICHW)


def tower_with_gradients(work: Work, model: VisualLanguageModel) -> Arm:
    """The tower's weights have gradients, which nobody uses."""
    arm = arm_of_ours(work, model)
    assert model.vision is not None
    model.vision.requires_grad_(True)
    return arm


def language_with_gradients(work: Work, model: VisualLanguageModel) -> Arm:
    """The language model's weights have gradients, which nobody uses."""
    arm = arm_of_ours(work, model)
    model.language.model.requires_grad_(True)
    return arm


def predicting_everywhere(work: Work, model: VisualLanguageModel) -> Arm:
    """A causal model's head works at every position, and Hugging Face's loss leaves out what has no label."""
    batch = work.batch().to(work.device)

    def loss() -> Tensor:
        fused = model.fused(batch, kept_BT=batch.valid_BT)
        model.language.route_rows(batch.level_B)
        embeddings, valid = fused.embeddings_BTD, fused.valid_BT.long()
        return model.language.model(inputs_embeds=embeddings, attention_mask=valid, labels=fused.labels_BT, use_cache=False).loss

    return Arm(model, loss, work.precision)


def levers(cache_folder: Path) -> list[Lever]:
    """All of them.

    Args:
        cache_folder: empty; for the features of pictures.
    """
    causal, padded = {"causal": True}, {"language": (PADDED,)}
    sharing = causal | {"share_prefix": True}
    recomputing = {"language": (("activation_checkpointing", True),)}
    return [
        Lever("a picture is encoded once for all its rows", "", Way({}), Way({"picture_a_row": True})),
        Lever("features are read, not computed", "vision.cache_folder", Way({"cache_folder": str(cache_folder)}), Way({})),
        Lever("no gradients through the frozen tower", "", Way({}), Way({"tower": TowerInAutograd}, tower_with_gradients)),
        Lever("no gradients of the frozen language model's weights", "", Way({}), Way({}, language_with_gradients)),
        Lever("rows without padding, T5", "language.unpadded", Way({}), Way(padded)),
        Lever("rows without padding, Llama", "language.unpadded", Way(causal), Way(causal | padded)),
        Lever("image tokens read once for all questions, Llama", "share_prefix", Way(sharing), Way(causal), (2, 3)),
        Lever("logits where there is a label, Llama", "", Way(causal | padded), Way(causal | padded, predicting_everywhere)),
        Lever("fused attention, on padded rows", "language.attention", Way(padded), Way({"language": (PADDED, EAGER)})),
        Lever("pictures sent as bytes, normalised on the device", "", Way({"sent": "bytes"}), Way({"sent": "floats"})),
        # This one costs time and saves memory: it is off unless it is asked for.
        Lever("layers stored, not recomputed", "language.activation_checkpointing", Way({}), Way(recomputing)),
        Lever(COMPILED, "vision.compiled", Way({"compiled": True}), Way({})),
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
    memory = [peak_mib(steps, way, work, device=work.device) for way in (lever.way, lever.otherwise)]
    told = f"{faster['median']:.2f} ({faster['lowest']:.2f} to {faster['highest']:.2f})"
    return f"| {lever.name} | {lever.flag and f'`{lever.flag}`'} | {work.stage} | {told} | {memory[0]:.0f} | {memory[1]:.0f} |"


def arms(lever: Lever, work: Work) -> tuple[Arm, Arm]:
    """Our step with the lever and without it, at the same weights."""
    models = [our_model(replace(work, **way.changes)) for way in (lever.way, lever.otherwise)]
    models[1].load_state_dict(models[0].state_dict())
    with_it, without = (
        way.made(replace(work, **way.changes), model) for way, model in zip((lever.way, lever.otherwise), models, strict=True)
    )
    return with_it, without


def steps(way: Way, work: Work) -> None:
    """Build an arm and take some steps."""
    changed = replace(work, **way.changes)
    arm = way.made(changed, our_model(changed))
    for _ in range(MEMORY_STEPS):
        arm.step()


if __name__ == "__main__":
    main()
