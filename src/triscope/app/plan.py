"""`triscope fit --plan`: the memory and the steps of a recipe before it starts."""

import itertools
from types import SimpleNamespace
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, Strategy, StrategyRegistry

from triscope.app.step_memory import Execution, StepShape, plan_memory
from triscope.cli import TriscopeCLI
from triscope.data.datamodule import DataModule
from triscope.data.errors import ConfigurationError, TriscopeError
from triscope.distributed import ShardedStrategy, check_strategy
from triscope.stages import Stage

SAMPLED_BATCHES = 32
USUAL_GPUS = 8  # of a node
PRECISIONS = ("32", "32-true", "16-mixed", "bf16-mixed")


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
    """Memory and steps of a run as text.

    Args:
        stage: not configured yet.
        data: of the run; its shards need not be here.
        trainer: what it would be built with.

    Raises:
        ConfigurationError: a strategy that `fit` refuses, or a precision whose memory is not known.
    """
    devices = _devices(trainer)
    execution = _execution(trainer, devices)
    shape, seen = _largest_batch(stage, data)
    memory = plan_memory(stage, shape, execution)
    lines = [(f"weights of {part}", size) for part, size in memory.weights.items()]
    lines += [("moments of the optimizer", memory.optimizer), ("activations, gradients", memory.step), ("in all", memory.total)]
    width = max(len(name) for name, _ in lines)
    text = [f"{name:<{width}}  {size / 2**30:8.3f} GiB" for name, size in lines]
    where = "one device" if devices == 1 else f"each of {devices} devices"
    longest = max(row.text_tokens for row in shape.rows)
    batch = f"{len(shape.rows)} rows, {shape.images} images, {longest} text tokens ({seen})"
    text.append(f"{where}, {_arithmetic(trainer, execution)}; {batch}")
    if execution.pieces > 1:
        text.append(
            f"sharded: a device holds one of {devices} pieces of weights, moments and gradients, but for 4-bit weights; what "
            "it gathers while a layer works is among the activations"
        )
    if _takes_all(trainer) and _on_gpu(trainer) and not torch.cuda.is_available():
        text.append(
            f"all GPUs are asked for, and none is here: planned for {USUAL_GPUS} a node; --trainer.devices names another number"
        )
    if torch.cuda.is_available():
        room = torch.cuda.get_device_properties(0).total_memory
        text.append(f"this GPU has {room / 2**30:.1f} GiB: {'it fits' if memory.total < 0.95 * room else 'it does not fit'}")
    return "\n".join([*text, *_steps(data, trainer, devices)])


def _execution(trainer: Any, devices: int) -> Execution:
    """How the steps of a trainer are taken on so many devices."""
    strategy = trainer.strategy
    kind = _kind(strategy, devices)
    check_strategy(kind)
    sharded = strategy if isinstance(strategy, ShardedStrategy) else None
    return Execution(
        autocast=_precision(trainer).endswith("-mixed"),
        accumulates=(trainer.accumulate_grad_batches or 1) > 1,
        on_gpu=_on_gpu(trainer),
        has_buckets=kind is DDPStrategy and devices > 1,
        pieces=devices if sharded else 1,
        compute_dtype=getattr(torch, sharded.compute_dtype) if sharded and sharded.compute_dtype else None,
    )


def _kind(strategy: Any, devices: int) -> type[Strategy]:
    """The class of a strategy, which a trainer may be given by a name."""
    if not isinstance(strategy, str):
        return type(strategy)
    if strategy == "auto":
        return DDPStrategy if devices > 1 else SingleDeviceStrategy
    if strategy not in StrategyRegistry:
        known = ", ".join(["auto", *StrategyRegistry.available_strategies()])
        raise ConfigurationError("trainer.strategy", strategy, f"one of {known}", "correct the name")
    return StrategyRegistry[strategy]["strategy"]


def _precision(trainer: Any) -> str:
    """Of the trainer, or of the plugin that stands in for it."""
    named = (plugin.precision for plugin in trainer.plugins or [] if hasattr(plugin, "precision"))
    precision = str(next(named, trainer.precision or "32-true"))
    if precision not in PRECISIONS:
        remedy = "let a fit of a few steps show what it takes"
        raise ConfigurationError("trainer.precision", precision, f"one that can be planned: {', '.join(PRECISIONS)}", remedy)
    return precision


def _arithmetic(trainer: Any, execution: Execution) -> str:
    """What a step is computed in, in words."""
    if execution.compute_dtype is None:
        return _precision(trainer)
    return f"{str(execution.compute_dtype).removeprefix('torch.')} (the strategy's compute_dtype)"


def _devices(trainer: Any) -> int:
    """Devices of all nodes."""
    devices = trainer.devices
    if _takes_all(trainer):
        devices = (torch.cuda.device_count() or USUAL_GPUS) if _on_gpu(trainer) else 1
    elif not isinstance(devices, int):  # numbers of devices, or a number of them, as a string
        numbers = [number for number in devices.split(",") if number] if isinstance(devices, str) else devices
        devices = int(devices) if devices in numbers else len(numbers)
    return devices * (trainer.num_nodes or 1)


def _takes_all(trainer: Any) -> bool:
    """Whether all devices of a node are asked for."""
    return str(trainer.devices) in ("auto", "-1")


def _on_gpu(trainer: Any) -> bool:
    return trainer.accelerator in ("gpu", "cuda") or (trainer.accelerator == "auto" and torch.cuda.is_available())


def _largest_batch(stage: Stage, data: DataModule) -> tuple[StepShape, str]:
    """The largest sizes of some training batches, or those that the prompt style allows where the data is not here."""
    with torch.device("meta"):
        stage.configure_model()
    data.workers = 0
    normalisation = None if data.pixels_as_bytes else stage.normalisation()
    try:
        loader = data.training_loader(stage.tokenizers(), stage.accepted_levels, normalisation=normalisation)
        batches = itertools.islice(loader, SAMPLED_BATCHES)
        shapes = [StepShape.of(batch, stage.model.shared_prefix(batch)) for batch in batches]
    except TriscopeError:
        numbers = data.samples_per_batch, data.conversations_per_image or 1
        shape = StepShape.full(data.prompt_style, *numbers, data.shared_pictures, data.pixels_as_bytes)
        return shape, "as long as they may be: the data is not here"
    return StepShape.largest(shapes), f"the largest sizes of {len(shapes)} batches of the training data"


def _steps(data: DataModule, trainer: Any, devices: int) -> list[str]:
    micro_batches = trainer.accumulate_grad_batches or 1
    samples = data.samples_per_batch * micro_batches
    summed = f" in {micro_batches} micro-batches" if micro_batches > 1 else ""
    text = f"{trainer.max_steps:,} steps of {samples} samples on each device{summed} (devices: {devices})"
    try:
        epoch = data.samples_per_epoch or sum(len(data.shards(folder)) for folder in data.train)
    except TriscopeError as error:
        return [text, str(error)]
    epochs = trainer.max_steps * samples * devices / epoch
    return [
        text,
        f"an epoch has {epoch:,} samples: {epochs:.3g} epochs on {'one device' if devices == 1 else f'{devices} devices'}",
    ]
