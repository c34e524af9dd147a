"""The memory that is told of a step is what the step then takes."""

import itertools
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import pytest
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, LlamaConfig, T5Config

from tests.ranks import on_ranks
from tests.stages.test_triscope import TOKENS, all_scopes
from tests.tiny_model import CAT, DOG, QFORMER, TOWER, batch_of, prepare, tiny_data, tiny_model, tiny_trainer, write_tiny_shards
from triscope.app.step_memory import Execution, LiveBytes, Memory, RowShape, StepShape, packed_weights, plan_memory
from triscope.components.language import LanguageModel
from triscope.components.linear import LinearBridge
from triscope.components.packing import is_packed
from triscope.components.qformer import QFormerBridge
from triscope.components.soft_prompt import SoftPrompt
from triscope.components.unpadded_causal import SharedPrefix
from triscope.components.vision import VisionEncoder
from triscope.data.batch import Batch
from triscope.data.prompts import PromptStyle
from triscope.distributed import ShardedStrategy
from triscope.model import VisualLanguageModel
from triscope.stages import (
    ImageLevelStage,
    MixtureStage,
    RegionAlignmentStage,
    RegionInstructionStage,
    RegionLevelStage,
    Stage,
    ThreeScopesStage,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Frozen bases, and shards beside them."""
    folder = prepare(tmp_path_factory.mktemp("base"))
    prepare(folder, "t5")
    write_tiny_shards(folder / "shards", count=16)
    return folder


class SecondStep(lightning.Callback):
    """Leaves out what was alive in the first step alone, which had no moments and no gradients of a step before."""

    def __init__(self, counted: LiveBytes) -> None:
        self.counted = counted

    def on_train_batch_start(self, trainer, stage, batch, batch_idx) -> None:
        if trainer.fit_loop.epoch_loop.total_batch_idx == trainer.accumulate_grad_batches:
            self.counted.peak = self.counted.live


@dataclass
class Measured:
    """Bytes of a fit's second step.

    Args:
        weights: as they are held.
        rest: the most that is alive besides.
    """

    weights: int
    rest: int


def measured(stage: Stage, batches: Sequence[Batch], folder: Path, precision: str, micro_batches: int) -> Measured:
    """The bytes of tensors that are alive in the second step of a fit on real batches."""
    stage.configure_model()
    stage.train()  # a language model that is read comes in evaluation mode, in which transformers recomputes nothing
    held = {tensor.data_ptr(): tensor.nbytes for tensor in stage.state_dict().values()}
    counted = LiveBytes()
    counted.ignore(stage.state_dict().values())
    trainer = tiny_trainer(
        folder,
        precision=precision,
        accumulate_grad_batches=micro_batches,
        gradient_clip_val=1.0,
        callbacks=[SecondStep(counted)],
    )
    with counted:
        trainer.fit(stage, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    return Measured(sum(held.values()), counted.peak)


def assert_planned(
    stage: Callable[[], Stage],
    batches: Sequence[Batch],
    folder: Path,
    precision: str = "32-true",
    micro_batches: int = 1,
    prefix: SharedPrefix | None = None,
) -> None:
    """A plan of the batches' sizes is within 15 % of what a step of a fit takes."""
    execution = Execution(autocast=precision == "bf16-mixed", accumulates=micro_batches > 1)
    plan = plan_memory(stage(), StepShape.largest([StepShape.of(batch, prefix) for batch in batches]), execution)
    found = measured(stage(), batches, folder, precision, micro_batches)
    weights = sum(plan.weights.values())
    print(f"planned {weights:,} and {plan.total - weights:,}, measured {found.weights:,} and {found.rest:,} bytes")
    assert plan.total - weights == pytest.approx(found.rest, rel=0.15)
    assert plan.total == pytest.approx(found.weights + found.rest, rel=0.15)


@pytest.mark.parametrize("kind", ["llama", "t5"])
@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("32-true", "float32"), ("bf16-mixed", "float32"), ("bf16-mixed", "nf4")],
    ids=["float32", "autocast", "4 bits and autocast"],
)
@pytest.mark.parametrize(("samples", "micro_batches"), [(2, 2), (8, 1)])
def test_the_memory_is_within_15_percent_of_what_a_fit_takes(base, tmp_path, kind, precision, dtype, samples, micro_batches):
    def stage() -> MixtureStage:
        return MixtureStage(lambda: tiny_model(base, kind, dtype=dtype))

    assert_planned(stage, batches_of(stage(), base, samples), tmp_path, precision, micro_batches)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_step_with_activation_checkpointing_is_planned_within_15_percent_too(base, tmp_path, kind):
    def stage() -> MixtureStage:
        return MixtureStage(lambda: tiny_model(base, kind, checkpointing=True))

    assert_planned(stage, batches_of(stage(), base, 8), tmp_path)


def batches_of(stage: Stage, base: Path, samples: int) -> list[Batch]:
    """An epoch of the shards, in batches of so many samples."""
    stage.configure_model()
    return list(tiny_data(str(base / "shards"), samples).training_loader(stage.tokenizers()))


def test_what_rows_share_is_planned_once(base, tmp_path):
    def stage(shares: bool) -> MixtureStage:
        def model() -> VisualLanguageModel:
            built = tiny_model(base, bridges=("aggregator", "qformer"))
            built.share_prefix = shares
            return built

        return MixtureStage(model)

    told = stage(True)
    batch = batches_of(told, base, 16)[0]
    prefix = told.model.shared_prefix(batch)
    assert prefix is not None
    assert_planned(lambda: stage(True), [batch], tmp_path, prefix=prefix)
    assert_planned(lambda: stage(False), [batch], tmp_path)


def test_images_that_guide_each_other_and_regions_are_planned_within_15_percent_too(base, tmp_path):
    def stage() -> ThreeScopesStage:
        return ThreeScopesStage(lambda: tiny_model(base, bridges=("aggregator", "qformer"), regions="pooled", aligned=True))

    told = stage()
    told.configure_model()
    assert_planned(stage, [batch_of(told.model, all_scopes(DOG, CAT) * 3, TOKENS)], tmp_path)


# A model in pieces ----------------------------------------------------------------------------------------------------


class PiecesAndGathered(LiveBytes):
    """Counts what a process holds of a sharded model: tensors that lie in pieces, and storages that grow and shrink as layers
    are gathered and cut again."""

    def __init__(self) -> None:
        super().__init__()
        self._storages: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented  # it works on its piece, which is seen
        result = super().__torch_dispatch__(function, types, args, kwargs)
        storages = [storage for reference in list(self._storages.values()) if (storage := reference()) is not None]
        self.live = sum(storage.nbytes() for storage in storages)
        self.peak = max(self.peak, self.live)
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self._storages:
            self._storages[storage._cdata] = weakref.ref(storage)
            weakref.finalize(storage, self._storages.pop, storage._cdata, None)


class SecondStepInPieces(SecondStep):
    """Also what is held when the second step begins."""

    def on_train_batch_start(self, trainer, stage, batch, batch_idx) -> None:
        super().on_train_batch_start(trainer, stage, batch, batch_idx)
        if trainer.fit_loop.epoch_loop.total_batch_idx == trainer.accumulate_grad_batches:
            parameters = [*stage.parameters()]
            moments = [value for state in trainer.optimizers[0].state.values() for value in state.values() if value.ndim]
            self.weights = size_of([*parameters, *stage.buffers()])
            self.moments = size_of(moments)
            self.gradients = size_of([each.grad for each in parameters if each.grad is not None])
            self.began = self.counted.live


def size_of(tensors: Sequence[Tensor]) -> int:
    """Bytes of tensors, or of this process's pieces of them; each once."""
    local = [each.to_local() if isinstance(each, DTensor) else each for each in tensors]
    return sum({each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in local}.values())


def wide_model(folder: Path, kind: str, bridge: str, tower_width: int) -> VisualLanguageModel:
    """A model whose layers, tower and bridges are large beside what libraries hold; without content."""
    bridges: dict[str, Callable] = {
        "qformer": partial(QFormerBridge, **QFORMER | {"hidden_width": 128, "feed_forward_width": 256}),
        "image_projector": partial(LinearBridge, markers=True),
    }
    tower_options = {"embed_dim": tower_width, "depth": 3, "num_heads": 3}
    return VisualLanguageModel(
        language=lambda: LanguageModel(str(folder / kind), adapter_bottleneck=64 if bridge == "qformer" else None),
        vision=lambda: VisionEncoder(**TOWER, tower_options=tower_options),
        bridges={bridge: bridges[bridge]},
        soft_prompt=partial(SoftPrompt, init_std=0.2),
    )


@pytest.fixture(scope="module")
def wide(base, tmp_path_factory) -> Path:
    """Language models without weights."""
    folder = tmp_path_factory.mktemp("wide")
    words = {"vocab_size": 12000, "pad_token_id": 0, "eos_token_id": 2}
    llama = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4}
    t5 = {"d_model": 256, "d_kv": 64, "d_ff": 1024, "num_layers": 2, "num_heads": 4, "feed_forward_proj": "gated-gelu"}
    LlamaConfig(**words, **llama).save_pretrained(folder / "llama")
    T5Config(**words, **t5, decoder_start_token_id=0).save_pretrained(folder / "t5")
    for kind in ("llama", "t5"):
        AutoTokenizer.from_pretrained(base / kind).save_pretrained(folder / kind)
    return folder


@pytest.mark.parametrize(
    ("kind", "trains", "bridge", "tower_width", "samples", "micro_batches", "dtype"),
    [
        ("llama", ImageLevelStage, "qformer", 768, 2, 1, "bfloat16"),
        ("t5", ImageLevelStage, "qformer", 192, 2, 2, None),
        ("llama", RegionInstructionStage, "image_projector", 192, 2, 1, "bfloat16"),
        ("llama", ImageLevelStage, "qformer", 192, 16, 1, None),
        ("t5", ImageLevelStage, "qformer", 192, 16, 1, None),
    ],
    ids=["a large tower", "micro-batches", "the language model trains", "activations of a Llama", "activations of a T5"],
)
def test_what_each_of_two_processes_takes_of_a_sharded_model_is_planned_within_5_percent(
    base, wide, tmp_path, kind, trains, bridge, tower_width, samples, micro_batches, dtype
):
    def stage() -> Stage:
        return trains(lambda: wide_model(wide, kind, bridge, tower_width))

    def fit(rank: int) -> tuple[int, int, int]:
        counted = PiecesAndGathered()
        second = SecondStepInPieces(counted)
        trainer = tiny_trainer(
            tmp_path,
            devices=2,
            strategy=ShardedStrategy(dtype, process_group_backend="gloo"),
            accumulate_grad_batches=micro_batches,
            gradient_clip_val=1.0,
            callbacks=[second],
        )
        with counted:
            trainer.fit(stage(), DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
        held = second.weights + second.moments + second.gradients
        return second.weights, second.moments, held + counted.peak - second.began

    read = stage()
    with torch.device("meta"):
        read.configure_model()
    loader = tiny_data(str(base / "shards"), samples).training_loader(read.tokenizers(), read.accepted_levels)
    batches = list(itertools.islice(loader, 2)) * micro_batches
    shape = StepShape.largest([StepShape.of(batch) for batch in batches])
    compute_dtype = torch.bfloat16 if dtype else None
    plan = plan_memory(stage(), shape, Execution(accumulates=micro_batches > 1, pieces=2, compute_dtype=compute_dtype))
    for weights, moments, total in on_ranks(2, tmp_path / "results", fit):
        print(f"planned {plan.total:,}, measured {total:,} bytes: {plan.total / total:.3f}")
        assert sum(plan.weights.values()) == pytest.approx(weights, rel=0.01)
        assert plan.optimizer == pytest.approx(moments, rel=0.01)
        assert plan.step == pytest.approx(total - weights - moments, rel=0.1)
        assert plan.total == pytest.approx(total, rel=0.05)


# What a plan counts ---------------------------------------------------------------------------------------------------


def sizes(rows: int = 8, regions: int = 0) -> StepShape:
    """Rows of 200 tokens with an image each."""
    return StepShape((RowShape(1, 200, 20),) * rows, rows, 20, regions)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_step_without_the_levers_is_planned_within_15_percent_too(base, tmp_path, kind):
    def model() -> VisualLanguageModel:
        built = tiny_model(base, kind)
        built.language.logits_at_labels = False
        return built

    def stage() -> MixtureStage:
        return MixtureStage(model, frozen_gradients=["vision", "language"])

    told = stage()
    told.configure_model()
    data = tiny_data(str(base / "shards"), 8, shared_pictures=False, pixels_as_bytes=False)
    batches = list(data.training_loader(told.tokenizers(), normalisation=told.normalisation()))
    assert StepShape.of(batches[0]).images == 16 and StepShape.of(batches[0]).pixels_dtype == torch.float32
    assert_planned(stage, batches, tmp_path, micro_batches=2)


WAYS = ({"logits_at_labels": False}, {"frozen": ["vision"]}, {"frozen": ["language"]}, {"shared": False}, {"as_bytes": False})


@pytest.mark.parametrize(("pieces", "ways"), [(1, WAYS), (4, WAYS[1:3])])
def test_each_lever_saves_memory_in_the_plan(base, pieces, ways):
    def step(logits_at_labels: bool = True, frozen: Sequence = (), shared: bool = True, as_bytes: bool = True) -> Memory:
        def model() -> VisualLanguageModel:
            built = tiny_model(base)
            built.language.logits_at_labels = logits_at_labels
            return built

        shape = StepShape.full(PromptStyle(), 4, 2, shared, as_bytes)
        return plan_memory(MixtureStage(model, frozen_gradients=list(frozen)), shape, Execution(pieces=pieces))

    usual = step()
    for way in ways:
        without = step(**way)
        assert without.step > usual.step, way
        assert (without.weights, without.optimizer) == (usual.weights, usual.optimizer)


def test_a_stage_that_trains_nothing_but_what_makes_region_tokens_is_planned(base):
    parts = {"bridges": ("image_projector",), "soft_prompt": False, "adapter_bottleneck": None, "regions": "tower"}
    memory = plan_memory(RegionAlignmentStage(lambda: tiny_model(base, **parts)), sizes(regions=16), Execution())
    trained = {part: size for part, size in memory.weights.items() if part.endswith("trained")}
    assert trained.keys() == {"region_projector, trained", "region_markers, trained"}
    assert memory.optimizer == 2 * sum(trained.values()) and memory.step > sum(trained.values())


def test_checkpointing_saves_memory_in_the_plan(base):
    without, with_it = (
        plan_memory(RegionLevelStage(lambda on=on: tiny_model(base, checkpointing=on)), sizes(), Execution()).step  # type: ignore[misc]
        for on in (False, True)
    )
    assert with_it < 0.8 * without


def test_gradients_that_are_kept_for_the_next_micro_batch_are_planned(base):
    def step(accumulates: bool) -> int:
        shape = sizes(rows=1)
        return plan_memory(MixtureStage(lambda: tiny_model(base)), shape, Execution(accumulates=accumulates)).step

    assert step(accumulates=True) > step(accumulates=False)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_the_weights_in_4_bits_are_those_that_are_packed(base, kind):
    with torch.device("meta"):
        planned = packed_weights(tiny_model(base, kind, dtype="nf4"))
    packed = {name for name, each in tiny_model(base, kind, dtype="nf4").named_parameters() if is_packed(each)}
    assert planned == packed and planned


def test_live_bytes_count_what_is_alive():
    with LiveBytes() as counted:
        for _ in itertools.repeat(None, 3):
            first = torch.zeros(1000)
            second = first.view(10, 100) + 1
            del first, second
    assert (counted.live, counted.peak) == (0, 8000)
