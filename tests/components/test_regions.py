import pytest
import torch
from torch.testing import assert_close

from triscope.components.linear import LinearBridge
from triscope.components.markers import Markers
from triscope.components.region_clip import RegionClipEncoder
from triscope.components.regions import PooledRegionEncoder, RegionEncoder

VISION_WIDTH, LANGUAGE_WIDTH, PATCHES = 6, 10, 17
TINY = {"width": 4, "layers": (1, 1, 1, 1), "embed_dim": 12}
IMAGE_G = torch.tensor([1, 0, 1])
BOXES_G4 = torch.tensor([[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0], [0.6, 0.6, 0.7, 0.7]])
NO_QUESTION = torch.zeros(2, 0, dtype=torch.long), torch.zeros(2, 0, dtype=torch.bool)
both = pytest.mark.parametrize("build", [PooledRegionEncoder, lambda *sizes: RegionClipEncoder(*sizes, tower_options=TINY)])


def tower(**changes) -> RegionClipEncoder:
    torch.manual_seed(0)
    return RegionClipEncoder(VISION_WIDTH, LANGUAGE_WIDTH, PATCHES, tower_options=TINY | changes)


def pictures(*sizes: tuple[int, int]) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(len(sizes))
    return tuple(torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes)


def inputs() -> dict:
    return {
        "features_LIPV": [torch.randn(2, PATCHES, VISION_WIDTH)],
        "pictures": pictures((48, 64), (64, 40)),
        "region_image_G": IMAGE_G,
        "boxes_G4": BOXES_G4,
    }


@both
def test_a_region_is_its_projected_feature_and_position_between_markers(build):
    encoder, given = build(VISION_WIDTH, LANGUAGE_WIDTH, PATCHES), inputs()
    encoder.markers.start_at(torch.full((LANGUAGE_WIDTH,), 7.0))
    tokens_GRD = encoder(**given)
    features_GF = encoder.features(**given)
    assert tokens_GRD.shape == (3, encoder.tokens, LANGUAGE_WIDTH)
    assert (tokens_GRD[:, [0, 2]] == 7).all()
    assert_close(tokens_GRD[:, 1], encoder.projector(features_GF) + encoder.position(BOXES_G4))
    encoder.position = None
    assert_close(encoder(**given)[:, 1], encoder.projector(features_GF))


@both
def test_of_a_region_that_is_not_shown_only_the_position_is_known(build):
    encoder = build(VISION_WIDTH, LANGUAGE_WIDTH, PATCHES)
    blind = inputs() | {"pictures": (), "region_image_G": torch.full((3,), -1)}
    assert_close(encoder(**blind)[:, 1], encoder.projector.bias + encoder.position(BOXES_G4))


@both
def test_only_projector_position_and_markers_learn(build):
    encoder: RegionEncoder = build(VISION_WIDTH, LANGUAGE_WIDTH, PATCHES)
    given = inputs() | {"features_LIPV": [torch.randn(2, PATCHES, VISION_WIDTH, requires_grad=True)]}
    encoder(**given).square().sum().backward()
    learns = {name.partition(".")[0] for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert learns == {"projector", "position", "markers"}
    assert given["features_LIPV"][0].grad is None


@both
def test_positions_keep_their_precision_under_bfloat16(build):
    encoder, given = build(VISION_WIDTH, LANGUAGE_WIDTH, PATCHES), inputs()
    near = given | {"boxes_G4": BOXES_G4 + 0.001, "region_image_G": torch.full((3,), -1)}  # less than bfloat16 can tell at 0.6
    far = near | {"boxes_G4": BOXES_G4}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = encoder(**near)[:, 1].float() - encoder(**far)[:, 1].float()
    assert_close(found, (encoder.position.weight.sum(1) * 0.001).expand(3, -1), atol=1e-6, rtol=1e-3)


# The tower of its own -------------------------------------------------------------------------------------------------


def test_rn50x4_has_the_size_of_regionclip_s_release():
    with torch.device("meta"):
        encoder = RegionClipEncoder(1024, 4096, 257)
    tensors = {name: value for name, value in encoder.encoder.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert len(tensors) == 434 and sum(tensor.numel() for tensor in tensors.values()) == 87_246_840
    assert (encoder.bins, encoder.feature_width, encoder.encoder.attnpool.num_heads) == (18, 640, 40)
    assert encoder.projector.weight.shape == (4096, 640) and encoder.position.weight.shape == (4096, 4)
    assert encoder.picture_sides == (800, 1333)


def test_a_picture_is_seen_once_for_all_its_regions_and_all_regions_in_one_pass():
    encoder, seen = tower(), {"conv1": [], "layer4": []}
    for name, calls in seen.items():
        encoder.encoder.get_submodule(name).register_forward_hook(lambda _, inputs, __, calls=calls: calls.append(len(inputs[0])))
    alike = pictures((48, 64), (32, 32), (48, 64))
    encoder.features([], alike, torch.tensor([0, 2, 0, 1, 0]), torch.rand(5, 4).sort(1).values)
    assert sorted(seen["conv1"]) == [1, 2] and seen["layer4"] == [5]


def test_a_picture_without_a_region_is_not_looked_at():
    encoder, seen = tower(), []
    encoder.encoder.conv1.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape))
    encoder.features([], pictures((48, 64), (32, 32)), torch.tensor([1]), BOXES_G4[:1])
    assert seen == [(1, 3, 32, 32)]


@pytest.mark.parametrize("neighbour", [(48, 64), (400, 300)], ids=["of its size", "larger"])
def test_features_do_not_depend_on_what_stands_beside_a_picture(neighbour):
    encoder, (own, other) = tower(), pictures((48, 64), neighbour)
    alone = encoder.features([], (own,), torch.tensor([0, 0]), BOXES_G4[:2])
    beside = encoder.features([], (other, own), torch.tensor([1, 0, 1]), BOXES_G4[[0, 2, 1]])
    assert_close(beside[[0, 2]], alone, atol=1e-5, rtol=1e-5)


def test_batch_norms_keep_their_statistics():
    encoder = tower().train()
    before = {name: value.clone() for name, value in encoder.encoder.state_dict().items()}
    encoder.features([], pictures((48, 64)), torch.tensor([0]), BOXES_G4[:1])
    assert all(torch.equal(value, before[name]) for name, value in encoder.encoder.state_dict().items())
    assert not any(module.training for module in encoder.encoder.modules())


@pytest.mark.parametrize(("prefix", "wrapped"), [("backbone.", "model"), ("visual.", "state_dict"), ("", None)])
def test_weights_are_found_in_the_files_that_there_are(tmp_path, prefix, wrapped):
    source = tower()
    state = {f"{prefix}{name}": value for name, value in source.encoder.state_dict().items() if "num_batches" not in name}
    state["lang_encoder.token_embedding.weight"] = torch.zeros(3, 2)
    torch.save({wrapped: state} if wrapped else state, tmp_path / "tower.pth")
    torch.manual_seed(1)
    filled = RegionClipEncoder(1, 2, 5, weights=str(tmp_path / "tower.pth"), tower_options=TINY)
    assert all(torch.equal(value, source.encoder.state_dict()[name]) for name, value in filled.encoder.state_dict().items())


def test_weights_of_another_tower_are_refused(tmp_path):
    state = tower().encoder.state_dict()
    torch.save({name: value for name, value in state.items() if name != "layer3.0.conv1.weight"}, tmp_path / "less.pth")
    with pytest.raises(ValueError, match=r"less\.pth .*1 of .*missing \(layer3\.0\.conv1\.weight"):
        RegionClipEncoder(1, 2, 5, weights=str(tmp_path / "less.pth"), tower_options=TINY)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth does not fit this tower"):
        RegionClipEncoder(1, 2, 5, weights=str(tmp_path / "other.pth"), tower_options=TINY | {"embed_dim": 16})
    with pytest.raises(ValueError, match="'ViT-L-14' is no CLIP ResNet"):
        RegionClipEncoder(1, 2, 5, tower="ViT-L-14")


def test_regions_without_their_pictures_are_told():
    with pytest.raises(ValueError, match=r"regions of image 1 need its picture, but found 0 pictures"):
        tower()(**inputs() | {"pictures": ()})


# The map of the main tower --------------------------------------------------------------------------------------------


def test_the_pooled_feature_of_a_quarter_is_the_patches_there():
    encoder = PooledRegionEncoder(VISION_WIDTH, LANGUAGE_WIDTH, PATCHES, bins=2)
    features_IPV = torch.randn(1, PATCHES, VISION_WIDTH)
    quarter = torch.tensor([[0.5, 0.0, 1.0, 0.5]])  # right, above: rows 0 and 1, columns 2 and 3 of 4 x 4 patches
    (found,) = encoder.features([features_IPV], (), torch.tensor([0]), quarter)
    patches = features_IPV[0, 1:].view(4, 4, VISION_WIDTH)[:2, 2:]
    assert_close(found.view(VISION_WIDTH, 2, 2), patches.permute(2, 0, 1))


def test_a_grid_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match="square grid of patches, found 16 vectors"):
        PooledRegionEncoder(VISION_WIDTH, LANGUAGE_WIDTH, 16)


# Markers --------------------------------------------------------------------------------------------------------------


def test_an_image_s_tokens_stand_between_markers_if_asked_for():
    bridge = LinearBridge(6, 10, 5, markers=True)
    bridge.markers.start_at(torch.ones(10))
    deepest_IPV, images_N = torch.randn(2, 5, 6), torch.tensor([1, 0])
    tokens_NQD = bridge([deepest_IPV], torch.arange(2), images_N, *NO_QUESTION)
    assert tokens_NQD.shape == (2, bridge.tokens, 10) and bridge.tokens == 6
    assert (tokens_NQD[:, [0, -1]] == 1).all()
    assert_close(tokens_NQD[:, 1:-1], bridge.projection(deepest_IPV[images_N, 1:]))


def test_markers_around_nothing_keep_their_shape_and_a_gradient():
    markers = Markers(4)
    markers(torch.zeros(0, 2, 4)).sum().backward()
    assert markers.start_D.grad.eq(0).all() and markers.end_D.grad.eq(0).all()
