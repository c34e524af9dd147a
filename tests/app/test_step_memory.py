"""The memory that is told of a step is what the step then takes."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.stages.test_triscope import TOKENS, all_scopes
from tests.tiny_model import CAT, DOG, batch_of, prepare, tiny_data, tiny_model, write_tiny_shards
from triscope.app.step_memory import LiveBytes, Memory, StepShape, packed_weights, plan_memory
from triscope.components.packing import is_packed
from triscope.components.unpadded_causal import SharedPrefix
from triscope.data.batch import Batch
from triscope.model import VisualLanguageModel
from triscope.stages import MixtureStage, RegionAlignmentStage, RegionLevelStage, Stage, ThreeScopesStage
from triscope.stages.losses import token_losses


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Frozen bases, and shards beside them."""
    folder = prepare(tmp_path_factory.mktemp("base"))
    prepare(folder, "t5")
    write_tiny_shards(folder / "shards", count=16)
    return folder


def measured(stage, batch) -> Memory:
    """The bytes of tensors that are alive in a second step on a real batch."""
    stage.configure_model()
    stage.model.train()
    trained = [parameter for _, parameter in stage.trained_parameters()]
    optimizer = torch.optim.AdamW(trained)
    for _ in range(2):
        optimizer.zero_grad()
        with LiveBytes() as counted:
            counted.ignore(stage.model.state_dict().values())
            loss = token_losses(stage.model(batch)).sum()
            loss.backward()
            del loss
            working, counted.peak = counted.peak, 0
            optimizer.step()
        states = sum(each.nbytes for state in optimizer.state.values() for each in state.values())
    weights = sum(parameter.nbytes for parameter in stage.model.parameters())
    return Memory({"all": weights}, states, max(working, counted.peak))


def assert_planned(stage: Callable[[], Stage], batch: Batch, prefix: SharedPrefix | None = None) -> None:
    """A plan of the batch's sizes is within 15 % of what a step on the batch takes."""
    plan, found = plan_memory(stage(), StepShape.of(batch, prefix), autocast=False), measured(stage(), batch)
    print(f"planned {plan.step:,} and measured {found.step:,} bytes of a step; {plan.total:,} and {found.total:,} in all")
    assert sum(plan.weights.values()) == found.weights["all"]
    assert plan.step == pytest.approx(found.step, rel=0.15)
    assert plan.total == pytest.approx(found.total, rel=0.15)


@pytest.mark.parametrize("kind", ["llama", "t5"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "with activation checkpointing"])
def test_the_memory_is_within_15_percent_of_what_is_measured(base, kind, checkpointing):
    def stage() -> MixtureStage:
        return MixtureStage(lambda: tiny_model(base, kind, checkpointing=checkpointing))

    told = stage()
    told.configure_model()
    loader = tiny_data(str(base / "shards"), 16).training_loader(told.tokenizers())
    assert_planned(stage, next(iter(loader)))


def test_what_rows_share_is_planned_once(base):
    def stage(shares: bool) -> MixtureStage:
        def model() -> VisualLanguageModel:
            built = tiny_model(base, bridges=("aggregator", "qformer"))
            built.share_prefix = shares
            return built

        return MixtureStage(model)

    told = stage(True)
    told.configure_model()
    batch = next(iter(tiny_data(str(base / "shards"), 16).training_loader(told.tokenizers())))
    prefix = told.model.shared_prefix(batch)
    assert prefix is not None
    assert_planned(lambda: stage(True), batch, prefix)
    assert_planned(lambda: stage(False), batch)


def test_images_that_guide_each_other_and_regions_are_planned_within_15_percent_too(base):
    def stage() -> ThreeScopesStage:
        return ThreeScopesStage(lambda: tiny_model(base, bridges=("aggregator", "qformer"), regions="pooled", aligned=True))

    told = stage()
    told.configure_model()
    assert_planned(stage, batch_of(told.model, all_scopes(DOG, CAT) * 3, TOKENS))


def test_a_stage_that_trains_nothing_but_what_makes_region_tokens_is_planned(base):
    parts = {"bridges": ("image_projector",), "soft_prompt": False, "adapter_bottleneck": None, "regions": "tower"}
    shape = StepShape(8, 8, 8, 1, 200, 20, 160, 20, 8 * 200, 16)
    memory = plan_memory(RegionAlignmentStage(lambda: tiny_model(base, **parts)), shape, autocast=False)
    trained = {part: size for part, size in memory.weights.items() if part.endswith("trained")}
    assert trained.keys() == {"region_projector, trained", "region_markers, trained"}
    assert memory.optimizer == 2 * sum(trained.values()) and memory.step > sum(trained.values())


def test_checkpointing_saves_memory_in_the_plan(base):
    shape = StepShape(8, 8, 8, 1, 200, 20, 160, 20, 8 * 200, 0)
    without, with_it = (
        plan_memory(RegionLevelStage(lambda on=on: tiny_model(base, checkpointing=on)), shape, autocast=False).step  # type: ignore[misc]
        for on in (False, True)
    )
    assert with_it < 0.8 * without


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
