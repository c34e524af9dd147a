from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.data.tiny import ask, sample
from tests.tiny_model import DOG, SAMPLES, STYLE, batch_of, prepare, tiny_model
from triscope.checkpoints.slices import trained_state, write_slice
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Level
from triscope.stages import RegionAlignmentStage, RegionInstructionStage
from triscope.stages.base import WarmStart
from triscope.stages.losses import token_losses

TOKENS = replace(STYLE, regions="token", tags="none")
ASKED = sample("a", [ask(("What is <region:1>?", "the dog"), level=Level.REGION)], boxes=[DOG])


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """The frozen base of a tiny model."""
    return prepare(tmp_path_factory.mktemp("base"))


def pvit(base: Path, **options):
    """What builds a PVIT."""
    parts = {"bridges": ("image_projector",), "soft_prompt": False, "adapter_bottleneck": None, "regions": "pooled"}
    return partial(tiny_model, base, **parts | options)


def trained_parts(stage) -> set[str]:
    return {stage.model.part_of(name) for name, _ in stage.trained_parameters()}


@pytest.mark.parametrize("regions", ["pooled", "tower"])
def test_stage_1_trains_the_projector_and_the_markers_and_knows_no_position(base, regions):
    stage = RegionAlignmentStage(pvit(base, regions=regions))
    stage.configure_model()
    assert trained_parts(stage) == {"region_projector", "region_markers"}
    assert stage.model.regions.position is None


@pytest.mark.parametrize("regions", ["pooled", "tower"])
def test_stage_2_trains_everything_but_the_towers(base, regions):
    stage = RegionInstructionStage(pvit(base, regions=regions))
    stage.configure_model()
    everything = {stage.model.part_of(name) for name, _ in stage.model.named_parameters()}
    assert trained_parts(stage) == everything - {"vision", "region_encoder"}
    assert trained_parts(stage) == set(RegionInstructionStage.trained_parts)


@pytest.mark.parametrize("samples", [[ASKED], SAMPLES[2:3]], ids=["regions", "no regions"])
def test_stage_1_can_step_back_with_and_without_regions(base, samples):
    stage = RegionAlignmentStage(pvit(base))
    stage.configure_model()
    token_losses(stage.model(batch_of(stage.model, samples, TOKENS))).sum().backward()
    gradients = [parameter.grad for _, parameter in stage.trained_parameters()]
    assert all(gradient is not None for gradient in gradients)
    assert any(gradient.any() for gradient in gradients) == (samples == [ASKED])


def test_stage_2_goes_on_where_stage_1_ended_with_a_position_of_its_own(base, tmp_path):
    first = RegionAlignmentStage(pvit(base))
    first.configure_model()
    torch.nn.init.normal_(first.model.regions.projector.weight)
    path = str(write_slice(trained_state(first.model), tmp_path, {}))
    second = RegionInstructionStage(pvit(base), warm_start=[WarmStart(path, ["region_projector", "region_markers"])])
    second.configure_model()
    for name, value in trained_state(first.model).items():
        assert torch.equal(second.model.get_parameter(name), value)
    assert second.model.regions.position is not None


def test_the_arm_with_text_coordinates_needs_no_region_encoder(base):
    stage = RegionInstructionStage(pvit(base, regions=None))
    stage.configure_model()
    assert trained_parts(stage) == {"language", "image_projector", "image_markers"}
    stage.model(batch_of(stage.model, [ASKED], replace(TOKENS, regions="text")))


def test_a_stage_in_which_nothing_learns_is_refused(base):
    with pytest.raises(ConfigurationError, match=r"region_projector.*region_markers"):
        RegionAlignmentStage(pvit(base, regions=None)).configure_model()
