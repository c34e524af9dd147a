"""Several processes: how a model is spread over them, what they save, and what they tell each other.

    one GPU       the model as it is built
    ddp           the model on every GPU
    sharded       every layer cut into as many pieces as there are GPUs, gathered when it is used (FSDP2)
    4 bits        one GPU or ddp; sharded, the packed weights stay whole on every GPU and all the rest is cut

A checkpoint looks the same in all cases: the trained parts and the optimizer's state, whole, in one file. So a run may go
on with another strategy or another number of processes.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, SingleDeviceStrategy, Strategy
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from triscope.components.packing import is_packed
from triscope.data.errors import ConfigurationError


def gathered(items: list) -> list:
    """The items of all processes, in the order of ranks; this process's own where there is only one."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return items
    everywhere: list[list] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(everywhere, items)
    return list(itertools.chain.from_iterable(everywhere))


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor put together, which all processes must ask for; any other tensor as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def placed(build: Callable[[], Any], strategy: Strategy | None) -> Any:
    """Build a model where and as the strategy wants it.

    Args:
        build: makes a `VisualLanguageModel` with what trains and what does not; also under `torch.device("meta")`.
        strategy: of the trainer; None without one.

    Raises:
        ConfigurationError: a strategy under which the losses would not be those of one process.
    """
    if strategy is not None:
        check_strategy(type(strategy))
    return strategy.sharded(build) if isinstance(strategy, ShardedStrategy) else build()


def check_strategy(kind: type[Strategy]) -> None:
    """Refuse a kind of strategy under which the losses would not be those of one process.

    Raises:
        ConfigurationError: it is such a one.
    """
    if kind is not DDPStrategy and not issubclass(kind, (ShardedStrategy, SingleDeviceStrategy)):
        raise ConfigurationError(
            "trainer.strategy",
            kind.__name__,
            "one device, ddp, or triscope.distributed.ShardedStrategy",
            "use --trainer.strategy ddp where the model fits on every GPU (in 4 bits too), else conf/trainer/node_fsdp.yaml",
        )


def sharding_groups(model: Any) -> list[nn.Module]:
    """The modules of a `VisualLanguageModel` that are gathered as one, each without those before it.

    The tower is one group, not one a block: where its features are cached, a process may not run its blocks.
    """
    return [*model.language.layers(), *([model.vision] if model.vision is not None else []), model]


class ShardedStrategy(ModelParallelStrategy):
    """FSDP2 over all processes: each language model layer, the vision tower, and the rest, are a group each.

    Frozen and trained parameters may be of different precision and stand in one group. The first process alone reads the
    weights; the others build on the meta device and are sent their pieces.

    Args:
        compute_dtype: parameters are gathered and computed with in this type, and gradients summed in float32; None
            computes in each parameter's own. It stands in for the trainer's `precision`, which is then `32-true`.
        process_group_backend: nccl on GPUs and gloo on CPUs if None.
    """

    def __init__(self, compute_dtype: Literal["bfloat16"] | None = None, process_group_backend: str | None = None) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False, process_group_backend=process_group_backend)
        self.compute_dtype = compute_dtype

    def setup_environment(self) -> None:
        """Cut into as many pieces as there are processes (Lightning's default is the number of nodes)."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def sharded(self, build: Callable[[], Any]) -> Any:
        """Build a model on all processes and cut it up.

        Args:
            build: makes a `VisualLanguageModel`.
        """
        with torch.device("meta"):
            model = build()
        if model.language.is_4bit:
            # Cutting packed weights loses or spoils them, so every process reads them whole.
            with self.root_device:
                model = build()
            self._cut(model)
            return model
        source = None
        if self.is_global_zero:
            with torch.device("cpu"):
                source = build()
        self._cut(model)
        model.to_empty(device=self.root_device)
        self._send(source, model)
        return model

    def setup(self, trainer: Any) -> None:
        """As Lightning does, once it is sure that every trained parameter is sharded: any other would drift apart."""
        stage = self._in_pieces()
        apart = [name for name, each in stage.named_parameters() if each.requires_grad and not isinstance(each, DTensor)]
        if apart:
            raise ConfigurationError(
                "trained parameters",
                f"{len(apart)} that are not sharded (first: {apart[0]})",
                "all inside the sharded model",
                "build whatever trains in the model, not beside it",
            )
        super().setup(trainer)

    def _cut(self, model: Any) -> None:
        policy = MixedPrecisionPolicy()
        if self.compute_dtype is not None:
            policy = MixedPrecisionPolicy(param_dtype=getattr(torch, self.compute_dtype), reduce_dtype=torch.float32)
        packed = {parameter for parameter in model.parameters() if is_packed(parameter)}
        for group in sharding_groups(model):
            fully_shard(group, mesh=self.device_mesh["data_parallel"], mp_policy=policy, ignored_params=packed)
        for method in ("generate", "rank"):
            register_fsdp_forward_method(model, method)

    def _send(self, source: nn.Module | None, model: nn.Module) -> None:
        """Fill the pieces of all processes from the first process's model."""
        state = source.state_dict() if source is not None else {}
        set_model_state_dict(model, state, options=StateDictOptions(full_state_dict=True, broadcast_from_rank0=True))
        # Buffers that no state dict holds, such as rotary frequencies.
        first = dict(source.named_buffers()) if source is not None else {}
        for name, buffer in model.named_buffers():
            if name in first:
                buffer.copy_(first[name])
            torch.distributed.broadcast(buffer, src=0)

    # Checkpoints ------------------------------------------------------------------------------------------------------

    @property
    def lightning_restore_optimizer(self) -> bool:
        """The optimizer's state is restored by `load_optimizer_state_dict`, as with one process."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The trained parts, put together; on the first process only."""
        return dict(self._put_together(self._trained()))

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Take each process's pieces of the trained parts; that the checkpoint has them, the stage has seen."""
        parameters = dict(self._trained())
        with torch.no_grad():
            for name, tensor in checkpoint["state_dict"].items():
                parameters[name].copy_(_like(tensor, parameters[name]))

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """What the optimizer would say if there were one process; states on the first process only."""
        state = (optimizer._optimizer if isinstance(optimizer, LightningOptimizer) else optimizer).state_dict()
        by_parameter = {number: dict(self._put_together(values.items())) for number, values in state["state"].items()}
        return {**state, "state": by_parameter}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take each process's pieces of the optimizer's state."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            by_parameter = {
                number: {key: _like(value, parameters[number]) for key, value in values.items()}
                for number, values in state["state"].items()
            }
            optimizer.load_state_dict({**state, "state": by_parameter})

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """Every process reads the file, which is small: it holds trained parts only."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    def _in_pieces(self) -> Any:
        """The stage, cut up again: after validation, what was gathered last is still whole and in `compute_dtype`."""
        stage: Any = self.lightning_module
        for module in stage.modules():
            if isinstance(module, FSDPModule):
                module.reshard()
        return stage

    def _trained(self) -> list[tuple[str, nn.Parameter]]:
        """What trains, in pieces."""
        return [(f"model.{name}", each) for name, each in self._in_pieces().trained_parameters()]

    def _put_together(self, tensors: Any) -> Iterator[tuple[str, Any]]:
        """All processes take part; the first keeps the result."""
        for name, tensor in tensors:
            complete = whole(tensor.detach()) if isinstance(tensor, Tensor) else tensor
            if self.is_global_zero:
                yield name, complete.cpu() if isinstance(complete, Tensor) else complete


def _like(value: Any, parameter: Tensor) -> Any:
    """This process's piece of a whole tensor that belongs to a parameter; a number as it is."""
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    local = value.to(parameter.device)
    return distribute_tensor(local, parameter.device_mesh, parameter.placements, src_data_rank=None)
