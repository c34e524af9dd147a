import pytest

from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import BadSampleError
from triscope.data.region_text import read_regions, write_region

PUBLISHED = "<Region><L120><L80><L431><L905></Region>"


def test_regions_become_markers_and_boxes_in_reading_order():
    text, boxes = read_regions(f"Is {PUBLISHED} left of <Region><L0><L0><L1000><L1000></Region>?", "here")
    assert text == "Is <region:1> left of <region:2>?"
    assert boxes == [Box(0.12, 0.08, 0.431, 0.905), Box(0, 0, 1, 1)]


def test_numbering_goes_on_behind_the_regions_of_earlier_turns():
    assert read_regions(f"And {PUBLISHED}?", "here", first=3)[0] == "And <region:3>?"


def test_a_region_is_written_as_it_is_read():
    _, (box,) = read_regions(PUBLISHED, "here")
    assert write_region(box) == PUBLISHED


def test_thousandths_are_rounded_and_stay_inside_the_picture():
    assert write_region(Box(-0.0004, 0.0004, 0.7777, 1.0004)) == "<Region><L0><L0><L778><L1000></Region>"


def test_a_box_in_pixels_is_not_taken_for_shares():
    with pytest.raises(ValueError, match="pixels"):
        write_region(Box(1, 2, 3, 4, BoxSpace.PIXELS))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<Region><L1><L2><L3><L4>", "the mark <Region>"),
        ("<L1><L2><L3><L4></Region>", "the mark <L1>"),
        ("dog</Region>", "the mark </Region>"),
        (f"<Region>{PUBLISHED}", "the mark <Region>"),
        ("<Region><L1><L2><L3></Region>", "whole regions"),
        ("<Region><L1><L2><L3><L4><L5></Region>", "whole regions"),
        ("<Region><L1><L-2><L3><L4></Region>", "whole regions"),
        ("<Region><L1><L2><L3><L1001></Region>", "thousandths of the picture, 0 to 1000"),
        ("<Region><L10><L20><L10><L40></Region>", "x1 < x2"),
        ("<Region><L30><L20><L10><L40></Region>", "x1 < x2"),
    ],
)
def test_what_is_no_region_is_refused_with_its_place(text, told):
    with pytest.raises(BadSampleError, match=rf"^file, turn 2.*{told}"):
        read_regions(f"What is {text}?", "file, turn 2")
