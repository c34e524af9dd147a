"""Scenes as text."""

import re

from data_pipelines.scenes.compose import compose, scene_generator
from data_pipelines.scenes.text import EMPTY_CELL, GRID_SIDE, GRID_START, covered_cells, grid, percent_box, text_samples
from triscope.data.sample import Sample

BOX = re.compile(r"\[(\d+),(\d+),(\d+),(\d+)\]")


def telling(sample: Sample) -> str:
    """The line before the first question."""
    return sample.conversations[0].turns[0].prompt.split("\n")[0]


def test_a_range_is_a_slice_of_the_whole():
    whole = [sample.to_json() for sample in text_samples(1, "train", 0, 40)]
    assert [sample.to_json() for sample in text_samples(1, "train", 20, 5)] == whole[20:25]


def test_every_sample_is_one_conversation_without_pictures_or_markers():
    for sample in text_samples(0, "train", 0, 300):
        sample.check()
        (conversation,) = sample.conversations
        assert (conversation.task, sample.images, sample.regions) == ("scene_text", (), ())
        assert not re.search(r"<(image|region):", sample.to_json())


def test_about_two_thirds_are_grids():
    tellings = [telling(sample) for sample in text_samples(0, "train", 0, 600)]
    assert 0.55 < sum(told.startswith(GRID_START) for told in tellings) / 600 < 0.75


def test_the_grid_shows_each_thing_where_its_box_is():
    for index in range(150):
        things = compose(scene_generator(0, "train", index), "train").things
        start, *words = grid(things, covered_cells(things)).split(" ")
        assert (start, len(words)) == (GRID_START, GRID_SIDE**2)
        rows = [words[first : first + GRID_SIDE] for first in range(0, GRID_SIDE**2, GRID_SIDE)]
        for row, row_words in enumerate(rows):
            for column, word in enumerate(row_words):
                x, y = (column + 0.5) * 224 / GRID_SIDE, (row + 0.5) * 224 / GRID_SIDE
                under = [one.name for one in things if one.box[0] <= x < one.box[2] and one.box[1] <= y < one.box[3]]
                near = [one.name for one in things if _reaches(one.box, row, column)]
                assert word == EMPTY_CELL or word in near
                assert not under or word in near


def test_grids_ask_nothing_about_colours_and_sizes():
    for sample in text_samples(0, "train", 0, 300):
        if not telling(sample).startswith(GRID_START):
            continue
        asked = " ".join(f"{turn.prompt} {turn.answers[0]}" for turn in sample.conversations[0].turns)
        assert not re.search(r"\b(color|small|large|red|blue|green|yellow|purple)\b", asked)


def test_a_list_tells_the_box_that_is_pointed_to():
    boxes_of_list = 0
    for sample in text_samples(0, "train", 0, 300):
        if not telling(sample).startswith(GRID_START):
            told = BOX.findall(telling(sample))
            answered = [box for turn in sample.conversations[0].turns for box in BOX.findall(turn.answers[0])]
            assert set(answered) <= set(told)
            boxes_of_list += len(answered)
    assert boxes_of_list > 50


def test_the_list_and_the_picture_tell_of_the_same_scene():
    for index in range(30):
        things = compose(scene_generator(0, "val", index), "val").things
        (sample,) = text_samples(0, "val", index, 1)
        told = telling(sample)
        if told.startswith(GRID_START):
            assert set(told.split()) - {EMPTY_CELL, GRID_START} == {one.name for one in things}
        else:
            assert {f"[{','.join(box)}]" for box in BOX.findall(told)} == {percent_box(one) for one in things}


def _reaches(box: tuple[int, int, int, int], row: int, column: int) -> bool:
    left, top, right, bottom = (corner / 224 * GRID_SIDE for corner in box)
    return left < column + 1 and right > column and top < row + 1 and bottom > row
