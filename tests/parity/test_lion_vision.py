"""The vision tower against the recorded LION run. Its keys are timm's own: q_bias and v_bias apart, no key bias."""

import torch
from safetensors.torch import save_file

from tests.parity.fixture import Fixture, for_each_fixture
from triscope.components.vision import VisionEncoder


def lion_tower(fixture: Fixture, tmp_path, extra: dict | None = None) -> VisionEncoder:
    """EVA01-g-14 at the fixture's size, filled from a file with the original's key names."""
    sizes = fixture.config["vit"]
    save_file(fixture.under("weights/visual_encoder.") | (extra or {}), tmp_path / "eva_vit_g.safetensors")
    return VisionEncoder(
        tower="EVA01-g-14",
        weights=str(tmp_path / "eva_vit_g.safetensors"),
        taps=tuple(fixture.config["taps_0based"].values()),
        image_size=sizes["img_size"],
        tower_options={name: sizes[name] for name in ("embed_dim", "depth", "num_heads", "mlp_ratio")},
    )


@for_each_fixture("lion", "lion_full")
def test_the_three_taps_equal_lion_s(fixture, tmp_path):
    features_LIPV = lion_tower(fixture, tmp_path)(fixture["inputs/pixels"])
    for feature_IPV, name in zip(features_LIPV, ("last", "mid", "early"), strict=True):
        torch.testing.assert_close(feature_IPV, fixture[f"outputs/vit_tap_{name}"], atol=1e-4, rtol=1e-4)


@for_each_fixture("lion", "lion_full")
def test_the_block_that_lion_drops_may_lie_in_the_file(fixture, tmp_path):
    depth = fixture.config["vit"]["depth"]
    upper = {
        key.replace("blocks.0.", f"blocks.{depth}."): value.clone()
        for key, value in fixture.under("weights/visual_encoder.").items()
        if key.startswith("blocks.0.")
    }
    assert len(lion_tower(fixture, tmp_path, extra=upper).tower.blocks) == depth
