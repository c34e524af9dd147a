import pytest

from triscope.data.box_text import format_box, parse_box
from triscope.data.boxes import Box, BoxSpace

BOX = Box(0.12, 0.44, 0.35, 0.98)


@pytest.mark.parametrize(("box_format", "text"), [("decimal", "[0.120,0.440,0.350,0.980]"), ("percent", "[12,44,35,98]")])
def test_a_written_box_is_read_back(box_format, text):
    assert format_box(BOX, box_format) == text
    read = parse_box(f"at {text} and [0,0,1,1]", box_format)
    assert read is not None
    assert read.corners == pytest.approx(BOX.corners)
    assert read.space == BoxSpace.UNIT


@pytest.mark.parametrize(
    "text", ["", "[0.1,0.2,0.3]", "[0.5,0.2,0.3,0.4]", "[0.1,0.2,0.3,1.4]", "0.1,0.2,0.3,0.4", "[a,b,c,d]", "[0..1,0,1,1]"]
)
def test_what_is_not_a_box_is_not_read_as_one(text):
    assert parse_box(text, "decimal") is None


def test_a_box_as_squares_covers_what_its_corners_round_to():
    assert format_box(BOX, "squares") == "[c7,f15]"
    assert parse_box("at [c7, f15]", "squares") == Box(2 / 16, 7 / 16, 6 / 16, 1.0)


@pytest.mark.parametrize("box", [Box(0, 0, 0.01, 0.01), Box(0.99, 0.99, 1, 1), Box(0.5, 0.5, 0.51, 0.51), Box(0, 0, 1, 1)])
def test_every_box_has_at_least_one_square(box):
    read = parse_box(format_box(box, "squares"), "squares")
    assert read is not None
    assert read.area >= 1 / 256


@pytest.mark.parametrize("text", ["[c7]", "[f15,c7]", "[c7,q8]", "[c7,f16]", "c7,f15", "[12,44,35,98]"])
def test_what_is_not_two_squares_is_not_read_as_a_box(text):
    assert parse_box(text, "squares") is None


def test_a_box_in_pixels_is_not_written_as_shares():
    with pytest.raises(ValueError, match=r"Box\.to"):
        format_box(Box(10, 20, 30, 40, BoxSpace.PIXELS), "decimal")
