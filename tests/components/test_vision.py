import pytest
import timm
import torch
from safetensors.torch import save_file

from triscope.components.vision import VisionEncoder

TINY_EVA = {"embed_dim": 32, "depth": 6, "num_heads": 4, "mlp_ratio": 4.3637}
TINY_CLIP = {"width": 64, "layers": 4, "patch_size": 14, "head_width": 32}


def tiny_eva(**changes) -> VisionEncoder:
    arguments = {"tower": "EVA01-g-14", "taps": (4, 2, 0), "image_size": 56, "tower_options": TINY_EVA, **changes}
    return VisionEncoder(**arguments)


def tiny_clip(**changes) -> VisionEncoder:
    arguments = {"tower": "ViT-L-14-quickgelu", "taps": (2, 0), "image_size": 56, "tower_options": TINY_CLIP, **changes}
    return VisionEncoder(**arguments)


def pictures(images: int = 2, side: int = 56) -> torch.Tensor:
    return torch.randint(0, 256, (images, 3, side, side), dtype=torch.uint8)


def test_lion_s_tower_has_the_size_of_39_blocks_of_eva_g_and_can_be_built_without_memory():
    with torch.device("meta"):
        encoder = VisionEncoder()
    width, inner = 1408, 6144
    attention = 4 * width * width + 3 * width  # q, k, v and output; biases of q, v and output
    block = attention + 2 * width * inner + inner + width + 4 * width
    embeddings = 3 * 14 * 14 * width + width + 257 * width + width  # patch convolution, positions, class token
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 39 * block + embeddings == 985_894_528
    assert (encoder.width, encoder.patches, encoder.image_size) == (1408, 257, 224)
    assert len(encoder.tower.blocks) == 39 and encoder.tower.blocks[0].attn.num_heads == 16
    assert all(parameter.is_meta for parameter in encoder.parameters())
    assert encoder.mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)


def test_under_the_meta_device_no_weights_are_read():
    with torch.device("meta"):
        VisionEncoder(weights="/nowhere/eva_vit_g.pth")


@pytest.mark.parametrize("build", [tiny_eva, tiny_clip])
def test_features_come_deepest_first_with_every_patch_and_the_class_token(build):
    encoder = build()
    features_LIPV = encoder(pictures())
    assert [tuple(feature.shape) for feature in features_LIPV] == [(2, encoder.patches, encoder.width)] * len(encoder.taps)
    assert encoder.patches == 1 + (56 // 14) ** 2
    alone = build(taps=encoder.taps[1:])
    alone.load_state_dict({key: value for key, value in encoder.state_dict().items() if key in alone.state_dict()})
    pixels_ICHW = pictures()
    torch.testing.assert_close(alone(pixels_ICHW), encoder(pixels_ICHW)[1:])


def test_a_tap_is_the_raw_output_of_its_block():
    encoder = tiny_eva(taps=(2, 1))
    seen = {}
    for index, block in enumerate(encoder.tower.blocks):
        block.register_forward_hook(lambda _module, _inputs, output, index=index: seen.__setitem__(index, output))
    deep_IPV, shallow_IPV = encoder(pictures())
    assert torch.equal(deep_IPV, seen[2]) and torch.equal(shallow_IPV, seen[1])


@pytest.mark.parametrize("build", [tiny_eva, tiny_clip])
def test_blocks_above_the_deepest_tap_do_not_exist(build):
    deep, shallow = build(taps=(3,)), build(taps=(1,))
    assert len(deep.state_dict()) > len(shallow.state_dict())
    names = " ".join(shallow.state_dict())
    assert "blocks.1." in names and "blocks.2." not in names
    assert "ln_post" not in names and "head" not in names and "fc_norm" not in names


def test_the_tower_stays_frozen_and_in_evaluation_mode():
    encoder = tiny_eva()
    torch.nn.Sequential(encoder).train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not any(feature.requires_grad for feature in encoder(pictures()))


def test_autograd_follows_the_tower_only_where_its_weights_ask_for_it():
    encoder = tiny_eva()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        encoder(pictures())
        assert kept == []
        encoder.requires_grad_(True)
        encoder(pictures())[0].sum().backward()
    assert kept and all(parameter.grad is not None for parameter in encoder.parameters())


def test_bytes_are_normalised_with_the_tower_s_mean_and_deviation():
    pixels_ICHW = pictures()
    for encoder in (tiny_eva(), VisionEncoder("vit_small_patch14_dinov2", taps=(0,), image_size=56)):
        mean, std = torch.tensor(encoder.mean)[:, None, None], torch.tensor(encoder.std)[:, None, None]
        torch.testing.assert_close(encoder(pixels_ICHW), encoder((pixels_ICHW / 255 - mean) / std))
    assert encoder.mean == pytest.approx((0.485, 0.456, 0.406)) and encoder.std == pytest.approx((0.229, 0.224, 0.225))


def test_a_cast_tower_gives_features_of_its_precision_close_to_the_full_ones():
    encoder, pixels_ICHW = tiny_eva(), pictures()
    full, half = encoder(pixels_ICHW), encoder.to(torch.bfloat16)(pixels_ICHW)
    assert {feature.dtype for feature in half} == {torch.bfloat16}
    torch.testing.assert_close([feature.float() for feature in half], full, atol=0.05, rtol=0.05)


def test_no_pictures_give_empty_features():
    assert [tuple(feature.shape) for feature in tiny_eva()(pictures(images=0))] == [(0, 17, 32)] * 3


def test_weights_are_found_inside_a_whole_clip_checkpoint(tmp_path):
    source = tiny_clip(taps=(3,))
    checkpoint = {f"visual.{key}": value for key, value in source.tower.state_dict().items()}
    checkpoint |= {
        "positional_embedding": torch.zeros(77, 8),
        "logit_scale": torch.zeros(()),
        "visual.proj": torch.ones(64, 8),
    }
    torch.save({"epoch": 3, "state_dict": checkpoint}, tmp_path / "clip.pt")
    encoder = tiny_clip(weights=str(tmp_path / "clip.pt"))
    for key, value in encoder.tower.state_dict().items():
        assert torch.equal(value, source.tower.state_dict()[key]), key


def test_positions_are_resampled_to_another_image_size(tmp_path):
    save_file(tiny_eva(taps=(5,)).tower.state_dict(), tmp_path / "eva.safetensors")
    encoder = tiny_eva(weights=str(tmp_path / "eva.safetensors"), image_size=84)
    assert encoder.patches == 1 + 6 * 6
    assert [tuple(feature.shape) for feature in encoder(pictures(side=84))] == [(2, 37, 32)] * 3


def test_weights_of_another_tower_are_refused_by_name_of_the_tensor(tmp_path):
    state = tiny_eva().tower.state_dict()
    path = tmp_path / "eva.safetensors"
    save_file({key: value for key, value in state.items() if key != "blocks.1.attn.q_bias"}, path)
    with pytest.raises(ValueError, match=r"eva\.safetensors .*1 of .*missing \(blocks\.1\.attn\.q_bias"):
        tiny_eva(weights=str(path))
    save_file(state | {"blocks.1.ls1.gamma": torch.ones(32)}, path)
    with pytest.raises(ValueError, match=r"1 in its blocks are unknown \(blocks\.1\.ls1\.gamma"):
        tiny_eva(weights=str(path))
    with pytest.raises(ValueError, match=r"eva\.safetensors does not fit this tower"):
        save_file(state, path)
        tiny_eva(weights=str(path), tower_options=TINY_EVA | {"mlp_ratio": 2.0})


def test_pictures_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3, 28, 28\).*\(I, 3, 56, 56\)"):
        tiny_eva()(pictures(side=28))


@pytest.mark.parametrize("taps", [(), (0, 2), (2, 2), (6, 1), (1, -1)])
def test_taps_that_do_not_fit_are_refused(taps):
    with pytest.raises(ValueError, match=r"do not fit the 6 blocks of EVA01-g-14.*from 5 down to 0"):
        tiny_eva(taps=taps)


def test_an_unknown_tower_is_answered_with_names_like_it():
    with pytest.raises(ValueError, match=r"EVA01-g-15.*EVA01-g-14"):
        VisionEncoder("EVA01-g-15")


@pytest.mark.parametrize("tower", ["RN50", "vit_small_patch14_reg4_dinov2", "vit_base_patch16_siglip_224"])
def test_a_tower_without_exactly_one_class_token_is_refused(tower):
    with torch.device("meta"), pytest.raises(ValueError, match="exactly one class token"):
        VisionEncoder(tower, taps=(1, 0))


def test_timm_s_own_features_are_reproduced():
    encoder = VisionEncoder("vit_tiny_patch16_224", taps=(11,), image_size=32)
    model = timm.create_model("vit_tiny_patch16_224", img_size=32).eval()
    model.load_state_dict(encoder.tower.state_dict(), strict=False)
    (deepest_IPV,) = encoder(pixels := torch.randn(2, 3, 32, 32))
    torch.testing.assert_close(model.norm(deepest_IPV), model.forward_features(pixels))
