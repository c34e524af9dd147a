"""Boxes keep their space, survive conversion, and are refused when they would train wrongly."""

import itertools

import pytest

from triscope.data.boxes import Box, BoxSpace, intersection_over_union
from triscope.data.errors import BadSampleError

WIDTH, HEIGHT = 640, 427
BOX = Box(385.53, 60.03, 600.5, 357.19, BoxSpace.PIXELS)


@pytest.mark.parametrize("path", itertools.permutations(BoxSpace))
def test_a_box_comes_back_unchanged_from_a_round_trip_through_all_spaces(path: tuple[BoxSpace, ...]) -> None:
    box = BOX
    for space in (*path, BoxSpace.PIXELS):
        box = box.to(space, WIDTH, HEIGHT)
    assert box.space == BoxSpace.PIXELS
    assert box.corners == pytest.approx(BOX.corners, abs=1e-9)


def test_pixels_become_shares_and_thousandths_of_width_and_height() -> None:
    box = Box(64, 48, 320, 480, BoxSpace.PIXELS)
    assert box.to(BoxSpace.UNIT, 640, 480).corners == pytest.approx((0.1, 0.1, 0.5, 1.0))
    assert box.to(BoxSpace.THOUSANDTHS, 640, 480).corners == pytest.approx((100, 100, 500, 1000))


def test_a_box_from_x_y_width_height_ends_where_they_say() -> None:
    assert Box.from_xywh(10, 20, 30, 40, BoxSpace.PIXELS).corners == (10, 20, 40, 60)


@pytest.mark.parametrize("space", BoxSpace)
def test_a_flipped_box_stays_inside_the_picture_and_in_its_space(space: BoxSpace) -> None:
    flipped = BOX.to(space, WIDTH, HEIGHT).flipped(WIDTH, HEIGHT)
    flipped.check(WIDTH, HEIGHT, "here")
    pixels = flipped.to(BoxSpace.PIXELS, WIDTH, HEIGHT)
    assert pixels.corners == pytest.approx((WIDTH - 600.5, 60.03, WIDTH - 385.53, 357.19))


def test_flipping_twice_gives_the_box_back() -> None:
    assert BOX.flipped(WIDTH, HEIGHT).flipped(WIDTH, HEIGHT).corners == pytest.approx(BOX.corners)


def test_clipping_cuts_what_lies_outside_and_nothing_else() -> None:
    outside = Box(-5, 10, 700, 430, BoxSpace.PIXELS)
    assert outside.clipped(WIDTH, HEIGHT).corners == (0, 10, 640, 427)
    assert BOX.clipped(WIDTH, HEIGHT) == BOX


@pytest.mark.parametrize("corners", [(0.5, 0.1, 0.2, 0.9), (0.1, 0.9, 0.5, 0.2), (0.3, 0.3, 0.3, 0.6), (0.3, 0.3, 0.6, 0.3)])
def test_a_box_inside_out_or_without_area_is_refused(corners: tuple[float, ...]) -> None:
    with pytest.raises(BadSampleError, match=r"shard 3, key 'a', regions\[0\].*x1 < x2 and y1 < y2"):
        Box(*corners).check(WIDTH, HEIGHT, "shard 3, key 'a', regions[0]")


def test_pixels_read_as_shares_are_refused_with_the_space_and_the_picture_named() -> None:
    with pytest.raises(BadSampleError, match=r"\(unit\).*0 to 1 across.*Check the box's space"):
        Box(*BOX.corners, BoxSpace.UNIT).check(WIDTH, HEIGHT, "here")


@pytest.mark.parametrize("corners", [(-0.01, 0, 0.5, 0.5), (0, -0.01, 0.5, 0.5), (0.5, 0.5, 1.01, 1), (0.5, 0.5, 1, 1.01)])
def test_a_box_beyond_any_edge_is_refused(corners: tuple[float, ...]) -> None:
    with pytest.raises(BadSampleError, match="inside the picture"):
        Box(*corners).check(WIDTH, HEIGHT, "here")


def test_a_corner_outside_by_rounding_passes() -> None:
    Box(0, 0, 640.3, 427.2, BoxSpace.PIXELS).check(WIDTH, HEIGHT, "here")


def test_overlap_is_shared_area_over_joint_area() -> None:
    first, second = Box(0, 0, 0.5, 0.5), Box(0.25, 0.25, 0.75, 0.75)
    assert intersection_over_union(first, second) == pytest.approx(0.0625 / 0.4375)
    assert intersection_over_union(first, first) == pytest.approx(1)
    assert intersection_over_union(first, Box(0.5, 0.5, 1, 1)) == 0


def test_a_box_is_told_without_the_noise_of_its_arithmetic() -> None:
    assert str(Box.from_xywh(601.86, 216.64, 16.72, 5.42, BoxSpace.PIXELS)) == "(601.86, 216.64, 618.58, 222.06)"


def test_boxes_of_different_spaces_are_not_compared() -> None:
    with pytest.raises(ValueError, match="pixels and one in unit"):
        intersection_over_union(BOX, Box(0, 0, 1, 1))
