"""`triscope fit --plan`: the memory and the steps of a recipe before it starts."""

import itertools
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import torch

from triscope.app.step_memory import StepShape, plan_memory
from triscope.cli import TriscopeCLI
from triscope.data.datamodule import DataModule
from triscope.data.errors import TriscopeError
from triscope.stages import Stage

SAMPLED_BATCHES = 32


class _PlanCLI(TriscopeCLI):
    """Reads a command line as `fit` does; starts nothing."""

    def before_instantiate_classes(self) -> None:
        """A folder with a run in it is not touched."""

    def instantiate_trainer(self, **kwargs: object) -> Any:
        """None is needed, nor a GPU."""
        return SimpleNamespace(loggers=[], **vars(self._get(self.config_init, "trainer")))

    def _run_subcommand(self, subcommand: str) -> None:
        print(plan_text(self.model, self.datamodule, self.trainer))


def main(arguments: list[str]) -> None:
    """Entry point of `triscope fit --plan`.

    Args:
        arguments: from `fit` on, without `--plan`.
    """
    _PlanCLI(arguments)


def plan_text(stage: Stage, data: DataModule, trainer: Any) -> str:
    """Memory and steps of a run as text."""
    shape, seen = _largest_batch(stage, data)
    precision = next((plugin.precision for plugin in trainer.plugins or [] if hasattr(plugin, "precision")), trainer.precision)
    strategy = trainer.strategy if isinstance(trainer.strategy, str) else type(trainer.strategy).__name__
    memory = plan_memory(stage, shape, autocast=precision == "bf16-mixed")
    lines = [(f"weights of {part}", size) for part, size in memory.weights.items()]
    lines += [("moments of the optimizer", memory.optimizer), ("activations, gradients", memory.step), ("in all", memory.total)]
    width = max(len(name) for name, _ in lines)
    text = [f"{name:<{width}}  {size / 2**30:8.3f} GiB" for name, size in lines]
    text.append(f"one device, {precision}; {shape.rows} rows, {shape.images} images, {shape.text_tokens} text tokens ({seen})")
    if strategy == "ShardedStrategy":
        text.append("sharded: weights, moments and gradients are divided by the number of processes, but for 4-bit weights")
    if torch.cuda.is_available():
        room = torch.cuda.get_device_properties(0).total_memory
        text.append(f"this GPU has {room / 2**30:.1f} GiB: {'it fits' if memory.total < 0.95 * room else 'it does not fit'}")
    return "\n".join([*text, *_steps(data, trainer)])


def _largest_batch(stage: Stage, data: DataModule) -> tuple[StepShape, str]:
    """The largest sizes of some training batches, or those that the prompt style allows where the data is not here."""
    with torch.device("meta"):
        stage.configure_model()
    data.workers = 0
    try:
        loader = data.training_loader(stage.tokenizers(), stage.accepted_levels)
        batches = itertools.islice(loader, SAMPLED_BATCHES)
        shapes = [StepShape.of(batch, stage.model.shared_prefix(batch)) for batch in batches]
    except TriscopeError:
        rows = data.samples_per_batch * (data.conversations_per_image or 1)
        return StepShape.full(data.prompt_style, rows, data.samples_per_batch), "as long as they may be: the data is not here"
    sizes = {field.name: max(getattr(shape, field.name) for shape in shapes) for field in fields(StepShape)}
    if not all(shape.prefixes for shape in shapes):  # a batch that shares nothing is the largest
        sizes |= {"prefixes": 0, "prefix_tokens": 0}
    return StepShape(**sizes), f"the largest sizes of {len(shapes)} batches of the training data"


def _steps(data: DataModule, trainer: Any) -> list[str]:
    samples = data.samples_per_batch * (trainer.accumulate_grad_batches or 1)
    text = f"{trainer.max_steps:,} steps of {samples} samples on each device (devices: {trainer.devices})"
    try:
        epoch = data.samples_per_epoch or sum(len(data.shards(folder)) for folder in data.train)
    except TriscopeError as error:
        return [text, str(error)]
    return [text, f"an epoch has {epoch:,} samples: {trainer.max_steps * samples / epoch:.3g} epochs on one device"]
