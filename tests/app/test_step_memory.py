"""The memory that is told of a step is what the step then takes."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as lightning
import pytest
import torch
from torch.utils.data import DataLoader

from tests.stages.test_triscope import TOKENS, all_scopes
from tests.tiny_model import CAT, DOG, batch_of, prepare, tiny_data, tiny_model, tiny_trainer, write_tiny_shards
from triscope.app.step_memory import Execution, LiveBytes, Memory, RowShape, StepShape, packed_weights, plan_memory
from triscope.components.packing import is_packed
from triscope.components.unpadded_causal import SharedPrefix
from triscope.data.batch import Batch
from triscope.data.prompts import PromptStyle
from triscope.model import VisualLanguageModel
from triscope.stages import MixtureStage, RegionAlignmentStage, RegionLevelStage, Stage, ThreeScopesStage


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
