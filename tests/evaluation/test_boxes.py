import pytest

from triscope.data.boxes import Box, BoxSpace
from triscope.evaluation.boxes import hits, overlaps, well_formed

TRUTH = Box(0.0, 0.0, 0.5, 0.5)


def test_an_overlap_of_one_half_is_a_hit_and_less_is_a_miss():
    half, less = Box(0.0, 0.0, 0.5, 0.25), Box(0.0, 0.0, 0.5, 0.24)
    assert overlaps([half, less], [TRUTH, TRUTH]).tolist() == pytest.approx([0.5, 0.48])
    assert hits([half, less], [TRUTH, TRUTH]).tolist() == [1.0, 0.0]


def test_an_answer_without_a_box_is_a_miss_and_not_well_formed():
    assert overlaps([None], [TRUTH]).tolist() == [0.0]
    assert hits([None], [TRUTH]).tolist() == [0.0]
    assert well_formed([None, TRUTH]).tolist() == [0.0, 1.0]


def test_a_box_turned_inside_out_is_neither_well_formed_nor_an_overlap():
    inside_out = Box(0.5, 0.5, 0.0, 0.0)
    assert well_formed([inside_out]).tolist() == [0.0]
    assert overlaps([inside_out], [TRUTH]).tolist() == [0.0]


def test_boxes_in_pixels_are_not_compared_with_unit_boxes():
    with pytest.raises(ValueError, match="convert one"):
        overlaps([Box(0, 0, 10, 10, BoxSpace.PIXELS)], [TRUTH])
