import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
import torch

from tests.data.tiny import ask, decoded_sizes, jpeg, picture, sample
from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import BadSampleError
from triscope.data.sample import Image
from triscope.data.transforms import Normalisation, PictureTransform, flip_allowed


def encoded(pixels_HWC: np.ndarray, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels_HWC).save(buffer, form)
    return buffer.getvalue()


def half_black() -> tuple[bytes, Image]:
    pixels_HWC = np.zeros((30, 40, 3), dtype=np.uint8)
    pixels_HWC[:, 20:] = 255
    return encoded(pixels_HWC), Image("0.png", 40, 30)


def test_a_picture_becomes_a_square_of_bytes():
    pixels_CHW = PictureTransform(16).pixels(jpeg(200), picture(), False, "here")
    assert pixels_CHW.shape == (3, 16, 16)
    assert pixels_CHW.dtype == torch.uint8
    assert (pixels_CHW.int() - 200).abs().max() <= 2


@pytest.mark.parametrize("size", [(64, 48), (33, 70), (16, 16)])
def test_pixels_are_pil_s_exactly_without_draft_and_nearly_with_it(size: tuple[int, int]):
    smooth_HWC = np.random.default_rng(0).integers(64, 192, (6, 8, 3), dtype=np.uint8)
    picture = PIL.Image.fromarray(smooth_HWC).resize(size, PIL.Image.Resampling.BICUBIC)
    expected_CHW = torch.tensor(np.asarray(picture.resize((24, 24), PIL.Image.Resampling.BICUBIC))).permute(2, 0, 1)
    content, image = encoded(np.asarray(picture)), Image("0.png", *size)
    exact, drafted = (PictureTransform(24, draft=draft).pixels(content, image, False, "here") for draft in (False, True))
    assert torch.equal(exact, expected_CHW)
    assert (drafted.int() - expected_CHW.int()).abs().max() <= 1


def test_a_mirrored_picture_has_its_right_side_on_the_left():
    content, image = half_black()
    pixels_CHW = PictureTransform(8).pixels(content, image, True, "here")
    assert pixels_CHW[:, :, 0].min() > 250
    assert pixels_CHW[:, :, -1].max() < 5


def test_pixels_are_normalised_only_if_told_how_and_those_for_regions_in_their_own_way():
    content, image = half_black()
    bytes_, floats = (
        PictureTransform(8, region_sides=(60, 100), normalisation=how)
        for how in (Normalisation(), Normalisation(lambda pixels: pixels / 255, lambda pixels: -pixels.float()))
    )
    for read, expected in (("pixels", lambda pixels: pixels / 255), ("region_pixels", lambda pixels: -pixels.float())):
        pixels_CHW = getattr(bytes_, read)(content, image, True, "here")
        assert pixels_CHW.dtype == torch.uint8
        assert torch.equal(getattr(floats, read)(content, image, True, "here"), expected(pixels_CHW))


def test_a_box_follows_its_picture():
    content, image = half_black()
    one = sample(boxes=[Box(20, 0, 40, 30, BoxSpace.PIXELS)])
    transform = PictureTransform(8)
    for flipped in (False, True):
        (box,) = transform.boxes(one, flipped, np.random.default_rng(0))
        left, right = round(8 * box.x1), round(8 * box.x2)
        assert transform.pixels(content, image, flipped, "here")[:, :, left:right].float().mean() > 245


def test_a_drafted_picture_is_nearly_the_same():
    ramp = np.tile(np.linspace(0, 255, 640, dtype=np.uint8)[None, :, None], (480, 1, 3))
    content, image = encoded(ramp, "JPEG"), Image("0.jpg", 640, 480)
    exact, drafted = (PictureTransform(32, draft=draft).pixels(content, image, False, "") for draft in (False, True))
    assert (exact.int() - drafted.int()).abs().max() <= 6


@pytest.mark.parametrize(("draft", "decoded"), [(False, (640, 480)), (True, (80, 60))])
def test_of_a_large_jpeg_a_draft_decodes_an_eighth_each_way(monkeypatch, draft, decoded):
    sizes = decoded_sizes(monkeypatch)
    content, image = encoded(np.zeros((480, 640, 3), dtype=np.uint8), "JPEG"), Image("0.jpg", 640, 480)
    PictureTransform(32, draft=draft).pixels(content, image, False, "here")
    assert set(sizes) == {decoded}


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1"])
def test_every_colour_mode_becomes_rgb(mode):
    buffer = io.BytesIO()
    PIL.Image.new(mode, (40, 30)).save(buffer, "PNG")
    assert PictureTransform(8).pixels(buffer.getvalue(), picture(), False, "here").shape == (3, 8, 8)


@pytest.mark.parametrize("content", [b"", b"text", jpeg()[:200]], ids=["empty", "text", "cut"])
def test_bytes_that_do_not_decode_are_a_bad_sample(content):
    with pytest.raises(BadSampleError, match=r"shard-0, key a, 0\.jpg: found bytes that do not decode"):
        PictureTransform(8).pixels(content, picture(), False, "shard-0, key a")


def test_a_picture_of_another_form_is_refused():
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (40, 30)).save(buffer, "GIF")
    with pytest.raises(BadSampleError, match="JPEG, PNG or WebP"):
        PictureTransform(8).pixels(buffer.getvalue(), picture(), False, "here")


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded():
    with pytest.raises(BadSampleError, match="40x30 pixels; expected at most 1000 pixels"):
        PictureTransform(8, max_pixels=1000).pixels(jpeg()[:-40], picture(), False, "here")


def test_a_decompression_bomb_is_refused():
    content, _ = half_black()
    header = b"IHDR" + struct.pack(">II", 20_000, 20_000) + content[24:29]
    bomb = content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
    with pytest.raises(BadSampleError, match="400000000 pixels"):
        PictureTransform(8).pixels(bomb, Image("0.png", 20_000, 20_000), False, "here")


def test_a_picture_of_another_size_than_recorded_is_refused():
    with pytest.raises(BadSampleError, match="40x30 pixels; expected 30x40, as the record says"):
        PictureTransform(8).pixels(jpeg(), Image("0.jpg", 30, 40), False, "here")


@pytest.mark.parametrize(
    ("prompt", "answer", "allowed"),
    [
        ("What is this?", "the dog", True),
        ("What is left of the dog?", "the cat", False),
        ("Where?", "On the Right.", False),
        ("Which is the leftmost dog?", "one", False),
        ("Is the light bright?", "upright", True),
        ("What is <region:1>?", "the dog", False),
        ("Where is the dog?", "<region:1>", False),
    ],
)
def test_mirroring_is_allowed_only_where_neither_side_nor_box_is_spoken_of(prompt, answer, allowed):
    silent = ask(("What is this?", "the dog"))
    one = sample(conversations=[silent, ask((prompt, answer))], boxes=[Box(0.1, 0.2, 0.3, 0.4)])
    assert flip_allowed(one) is allowed


def test_mirroring_is_off_unless_asked_for():
    generator = np.random.default_rng(0)
    assert not any(PictureTransform(8).flips(sample(), generator) for _ in range(50))
    drawn = [PictureTransform(8, flip_probability=0.5).flips(sample(), generator) for _ in range(200)]
    assert 60 < sum(drawn) < 140


# Regions --------------------------------------------------------------------------------------------------------------

BOX = Box(0.2, 0.4, 0.6, 0.5)


def test_jitter_moves_each_corner_by_its_share_of_the_box_and_never_out_of_the_picture():
    one, generator = sample(boxes=[BOX, Box(0, 0, 1, 1)]), np.random.default_rng(0)
    moved = [PictureTransform(8, box_jitter=0.02).boxes(one, False, generator) for _ in range(200)]
    shifts = np.array([np.subtract(box.corners, BOX.corners) for box, _ in moved])
    limits = 0.02 * np.array([0.4, 0.1, 0.4, 0.1])
    assert (np.abs(shifts) <= limits + 1e-9).all() and (np.abs(shifts).max(0) > 0.9 * limits).all()
    assert np.abs(np.corrcoef(shifts.T) - np.eye(4)).max() < 0.3  # each on its own
    whole = np.array([box.corners for _, box in moved])
    assert whole.min() >= 0 and whole.max() <= 1


def test_without_jitter_a_box_stays_and_nothing_is_drawn():
    generator = np.random.default_rng(0)
    assert PictureTransform(8).boxes(sample(boxes=[BOX]), False, generator) == (BOX,)
    assert generator.random() == np.random.default_rng(0).random()


def test_a_region_encoder_s_picture_keeps_its_proportions_and_is_mirrored_with_the_square():
    content, image = half_black()
    transform = PictureTransform(8, region_sides=(60, 100))
    pixels_CHW = transform.region_pixels(content, image, False, "here")
    assert pixels_CHW.shape == (3, 60, 80) and pixels_CHW.dtype == torch.uint8
    assert torch.equal(transform.region_pixels(content, image, True, "here"), pixels_CHW.flip(2))


def test_a_picture_too_thin_for_a_region_encoder_is_refused():
    content, image = encoded(np.zeros((3, 400, 3), dtype=np.uint8)), Image("0.png", 400, 3)
    with pytest.raises(BadSampleError, match=r"here, 0\.png: found 400x3 pixels, 1333x10 .*at least 16 pixels"):
        PictureTransform(8, region_sides=(800, 1333)).region_pixels(content, image, False, "here")
