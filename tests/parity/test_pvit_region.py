"""Region features against recorded numbers of RegionCLIP's code, at the tolerances of the fixture's README."""

import io
from collections.abc import Sequence

import numpy as np
import open_clip
import PIL.Image
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from tests.parity.fixture import Fixture, for_each_fixture
from triscope.components.pixels import normalised
from triscope.components.region_clip import RegionClipEncoder
from triscope.components.roi_align import roi_align
from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import BadSampleError
from triscope.data.sample import Image
from triscope.data.transforms import PictureTransform, region_size

PICTURES, BOXES = ("image0_u8", "image1_u8"), ("boxes0", "boxes1")
FEATURES = {"atol": 3e-4, "rtol": 1e-4}


def encoder(fixture: Fixture, folder) -> RegionClipEncoder:
    """RN50x4 at the fixture's size, filled from a file with the original's names."""
    config = fixture.config
    save_file(fixture.under("weights/"), folder / "regionclip.safetensors")
    sizes = {"width": config["width"], "layers": config["blocks"], "embed_dim": config["output_dim"]}
    return RegionClipEncoder(1, 4, 5, weights=str(folder / "regionclip.safetensors"), tower_options=sizes)


def shares(boxes_G4: Tensor, picture: Tensor) -> Tensor:
    """Boxes in pixels as shares of their picture."""
    height, width = picture.shape[-2:]
    return boxes_G4 / torch.tensor([width, height, width, height])


def features(model: RegionClipEncoder, pictures: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
    """The features of all boxes of all pictures in one call, by picture."""
    counts = [len(of_picture) for of_picture in boxes]
    image_G = torch.repeat_interleave(torch.arange(len(pictures)), torch.tensor(counts))
    boxes_G4 = torch.cat([shares(*of_picture) for of_picture in zip(boxes, pictures, strict=True)])
    return list(model.features([], pictures, image_G, boxes_G4).split(counts))


@for_each_fixture("pvit", "pvit_region")
def test_features_are_those_of_each_picture_alone_whatever_its_neighbour(fixture, tmp_path):
    pictures, boxes = ([fixture[f"inputs/{name}"] for name in names] for names in (PICTURES, BOXES))
    for number, found in enumerate(features(encoder(fixture, tmp_path), pictures, boxes)):
        assert_close(found, fixture[f"outputs/alone/features{number}"], **FEATURES)


@for_each_fixture("pvit", "pvit_region")
def test_given_the_padded_pictures_of_the_original_features_are_the_original_s(fixture, tmp_path):
    pictures, boxes = ([fixture[f"inputs/{name}"] for name in names] for names in (PICTURES, BOXES))
    for number, found in enumerate(features(encoder(fixture, tmp_path), padded(pictures), boxes)):
        assert_close(found, fixture[f"outputs/batch/features{number}"], **FEATURES)


@for_each_fixture("pvit", "pvit_region")
def test_at_the_border_features_follow_the_compiled_operator(fixture, tmp_path):
    (found,) = features(encoder(fixture, tmp_path), [fixture["inputs/edge/image_u8"]], [fixture["inputs/edge/boxes"]])
    assert_close(found, fixture["outputs/edge/features_compiled_op"], **FEATURES)
    assert (found - fixture["outputs/edge/features_python_fallback"]).abs().max() > 1


@for_each_fixture("pvit", "pvit_region")
def test_what_lies_under_a_box_is_the_original_s(fixture):
    map_CHW, boxes_G4 = fixture["intermediate/batch/res4"][0, :16], fixture["inputs/boxes0"][[0, 2, 5]]
    scale = fixture.config["spatial_scale"]
    found = roi_align(map_CHW, boxes_G4 * scale, fixture.config["pooler_resolution"])
    assert_close(found, fixture["intermediate/batch/pooled_sel"], **FEATURES)


def padded(pictures: Sequence[Tensor]) -> list[Tensor]:
    """Pictures as the original sees them: normalised, then zeros right and below, to the size of the largest."""
    height, width = (max(picture.shape[side] for picture in pictures) for side in (1, 2))
    whole = [
        normalised(picture[None], open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD, torch.float32)[0]
        for picture in pictures
    ]
    return [F.pad(pixels, (0, width - pixels.shape[2], 0, height - pixels.shape[1])) for pixels in whole]


# Sizes and pixels -----------------------------------------------------------------------------------------------------


@for_each_fixture("pvit", "pvit_region")
def test_pictures_are_scaled_to_the_original_s_sizes(fixture):
    rule = fixture.description["resize_rule"]
    for width, height, new_width, new_height in rule["table"]:
        assert region_size(width, height, rule["shortest"], rule["longest"]) == (new_width, new_height)


def of_formula(fixture: Fixture) -> np.ndarray:
    """The picture that the fixture describes, (H, W, 3)."""
    picture = fixture.description["formula_picture"]
    y, x, channel = np.ogrid[: picture["height"], : picture["width"], :3]
    return (((x * 7 + y * 13 + channel * 29) // 4) % 251).astype(np.uint8)


def stored(pixels_HWC: np.ndarray) -> tuple[bytes, Image]:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels_HWC).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue(), Image("0.png", pixels_HWC.shape[1], pixels_HWC.shape[0])


def check_probes(pixels_CHW: Tensor, fixture: Fixture, prefix: str) -> None:
    """The normalised pixels agree with the recorded ones, at recorded places and on average."""
    config = fixture.config
    (found_CHW,) = normalised(pixels_CHW[None], config["pixel_mean"], config["pixel_std"], torch.float32)
    rows, columns = fixture[f"{prefix}probe_yx"].unbind(1)
    assert_close(found_CHW[:, rows, columns].T, fixture[f"{prefix}probe_values"], atol=1e-5, rtol=1e-5)
    assert_close(found_CHW.mean((1, 2)), fixture[f"{prefix}channel_mean"], atol=1e-5, rtol=1e-5)


@for_each_fixture("pvit", "pvit_region")
@pytest.mark.parametrize("name", ["resize0", "resize1", "formula"])
def test_a_picture_for_the_region_encoder_has_the_original_s_pixels_and_boxes(fixture, name):
    is_given = name != "formula"
    pixels_HWC = fixture[f"inputs/{name}/image_u8"].permute(1, 2, 0).numpy() if is_given else of_formula(fixture)
    content, image = stored(pixels_HWC)
    pixels_CHW = PictureTransform(224, draft=False, region_sides=(800, 1333)).region_pixels(content, image, False, "here")
    assert list(pixels_CHW.shape[1:]) == fixture[f"outputs/{name}/size_hw"].tolist()
    check_probes(pixels_CHW, fixture, f"outputs/{name}/")
    for given, expected in zip(fixture[f"inputs/{name}/boxes"], fixture[f"outputs/{name}/boxes"], strict=True):
        box = Box(*given.tolist(), BoxSpace.PIXELS)
        if box.area == 0:  # inside out: the original sorts its corners, here it is refused
            with pytest.raises(BadSampleError, match="x1 < x2"):
                box.check(image.width, image.height, "here")
            continue
        height, width = pixels_CHW.shape[1:]
        share = torch.tensor(box.to(BoxSpace.UNIT, image.width, image.height).corners)
        assert_close(share * torch.tensor([width, height, width, height]), expected, atol=1e-3, rtol=0)


@for_each_fixture("pvit", "pvit_region")
def test_the_square_of_the_vision_encoder_has_the_original_s_pixels(fixture):
    check_probes(
        PictureTransform(224, draft=False).pixels(*stored(of_formula(fixture)), False, "here"), fixture, "outputs/formula/clip_"
    )
