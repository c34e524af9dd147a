"""Pictures to look at: boxes, shares of patches, sheets."""

import pytest
import torch
from PIL import Image, ImageColor

from triscope.data.boxes import Box, BoxSpace
from triscope.drawing import colored, outlined, picture_of, shaded, side_by_side


def test_boxes_are_drawn_at_their_places_and_the_picture_is_left_alone():
    picture = Image.new("RGB", (100, 50), "black")
    drawn = outlined(picture, [(Box(0.2, 0.4, 0.6, 1.0), "#ff0000"), (Box(10, 5, 20, 15, BoxSpace.PIXELS), "#00ff00")])
    assert drawn.getpixel((20, 35)) == drawn.getpixel((40, 49)) == (255, 0, 0)
    assert drawn.getpixel((10, 10)) == (0, 255, 0)
    assert drawn.getpixel((40, 35)) == (0, 0, 0)
    assert picture.getcolors() == [(5000, (0, 0, 0))]
    assert outlined(picture, [], (30, 30)).size == (30, 30)


def test_a_patch_is_the_darker_the_smaller_its_share():
    shares = torch.tensor([1.0, 0.5, 0.0, 1.0])
    drawn = shaded(Image.new("RGB", (8, 8), (200, 100, 0)), shares)
    assert drawn.getpixel((1, 1)) == drawn.getpixel((6, 6)) == (200, 100, 0)
    assert drawn.getpixel((6, 1)) == (112, 56, 0) and drawn.getpixel((1, 6)) == (24, 12, 0)


@pytest.mark.parametrize(("columns", "size"), [(4, (4 * 26, 2 * 36)), (None, (5 * 26, 36))])
def test_a_sheet_has_a_place_for_every_picture(columns, size):
    colors = ("red", "lime", "blue", "yellow", "cyan")
    sheet = side_by_side([Image.new("RGB", (20, 30), color) for color in colors], columns)
    assert {color for _, color in sheet.getcolors()} >= {ImageColor.getrgb(color) for color in colors}
    assert sheet.size == size


def test_a_row_of_a_sheet_is_as_high_as_its_highest_picture():
    colors = {"red": 30, "lime": 50, "blue": 20}
    sheet = side_by_side([Image.new("RGB", (20, height), color) for color, height in colors.items()], 2)
    assert sheet.size == (2 * 26, 56 + 26)
    shown = {color: count for count, color in sheet.getcolors()}
    assert [shown[ImageColor.getrgb(color)] for color in colors] == [20 * height for height in colors.values()]


def test_what_a_model_reads_is_shown_as_it_is():
    pixels_CHW = torch.arange(2 * 3 * 3, dtype=torch.uint8).view(3, 2, 3)
    picture = picture_of(pixels_CHW)
    assert picture.size == (3, 2) and picture.getpixel((2, 1)) == (5, 11, 17)


def test_patches_that_differ_are_coloured_differently_and_equal_ones_alike():
    features_PV = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [1.0, 0, 0, 0], [0, 0, 1.0, 0]])
    shown = colored(features_PV, (8, 8))
    first, second, third, fourth = (shown.getpixel(place) for place in ((1, 1), (6, 1), (1, 6), (6, 6)))
    assert first == third and len({first, second, fourth}) == 3
