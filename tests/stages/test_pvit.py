from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.data.tiny import ask, sample, write_shards
from tests.resume.test_resume import Losses
from tests.tiny_model import (
    DOG,
    SAMPLES,
    STYLE,
    awake,
    batch_of,
    prepare,
    tiny_data,
    tiny_model,
    tiny_trainer,
)
from triscope.checkpoints.slices import trained_state, write_slice
from triscope.components.lora import LoraOptions
from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Level
from triscope.stages import RegionAlignmentStage, RegionInstructionStage
from triscope.stages.base import REGION_PARTS, WarmStart
from triscope.stages.losses import token_losses

TOKENS = replace(STYLE, regions="token", tags="none")
ASK = ask(("What is <region:1>?", "the dog"), level=Level.REGION)
ASKED = sample("a", [ASK], boxes=[DOG])


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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "nf4"])
def test_in_stage_2_a_lora_trains_in_the_place_of_the_language_model_and_is_saved_and_resumed(base, tmp_path, dtype):
    box = Box(4, 3, 20, 24, BoxSpace.PIXELS)
    write_shards(tmp_path / "shards", [sample(f"s{number}", [ASK], boxes=[box]) for number in range(4)])

    def fitted(folder, seed=1, losses=None, **options):
        build = pvit(base, dtype=dtype, lora=LoraOptions(rank=2))
        stage = RegionInstructionStage(lambda: awake(build(), seed), learning_rate=0.01, warmup_steps=0)
        stage.configure_model()
        before = {name: parameter.detach().clone() for name, parameter in stage.model.named_parameters()}
        trainer = tiny_trainer(folder, max_steps=3, callbacks=[losses or Losses()])
        trainer.fit(stage, tiny_data(str(tmp_path / "shards"), prompt_style=TOKENS), **options)
        return stage, before

    straight, first, rest = Losses(), Losses(stop_after=2), Losses()
    stage, before = fitted(tmp_path, losses=straight)
    changed = {name for name, parameter in stage.model.named_parameters() if not torch.equal(parameter, before[name])}
    parts = {"lora", "image_projector", "image_markers", *REGION_PARTS}
    assert {stage.model.part_of(name) for name in changed} == trained_parts(stage) == parts

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fitted(tmp_path, losses=first)
        raise KeyboardInterrupt  # which Lightning may have taken for a graceful end
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert kept.keys() == {f"model.{name}" for name, _ in stage.trained_parameters()}
    resumed, _ = fitted(tmp_path, seed=2, losses=rest, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert first.losses + rest.losses == straight.losses
    for name, parameter in stage.trained_parameters():
        assert torch.equal(parameter, resumed.model.get_parameter(name))


def test_a_learning_rate_for_the_language_model_is_refused_where_a_lora_trains_in_its_place(base):
    scales = {"learning_rate_scales": {"language": 0.1}}
    RegionInstructionStage(pvit(base), **scales).configure_model()
    with pytest.raises(ConfigurationError, match=r"found \['language'\]; expected parts that train: .*'lora'"):
        RegionInstructionStage(pvit(base, lora=LoraOptions()), **scales).configure_model()


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
