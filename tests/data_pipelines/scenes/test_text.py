"""Scenes as text."""

import random
import re
from collections import Counter

import pytest

from data_pipelines.scenes.compose import compose, scene_generator
from data_pipelines.scenes.text import CELLS, LISTED, NOTHING, board, listing, phrase, squares, text_samples
from triscope.data.box_text import parse_box
from triscope.data.phrases import PHRASE_BEGIN, PHRASE_END
from triscope.data.sample import Sample

PHRASE = re.compile(f"{PHRASE_BEGIN}.*?{PHRASE_END}")
TOLD = re.compile(rf"{PHRASE_BEGIN} ([^|]*)\|(\w)\|(\d+)\|(\w)\|(\d+){PHRASE_END}")
BOX = re.compile(r"\[[a-p]\d+,[a-p]\d+\]")


def scene(index: int):
    return compose(scene_generator(0, "train", index), "train")


def cells(told: str) -> list[str]:
    """What stands in each cell: a phrase or nothing."""
    return re.findall(f"{PHRASE.pattern}|{re.escape(NOTHING)}", told)


def told_boxes(sample: Sample) -> set[str]:
    """Boxes of all things that the first prompt tells of."""
    prompt = sample.conversations[0].turns[0].prompt
    return {f"[{left}{top},{right}{bottom}]" for _, left, top, right, bottom in TOLD.findall(prompt)}


def test_a_range_is_a_slice_of_the_whole():
    whole = [sample.to_json() for sample in text_samples(1, "train", 0, 40)]
    assert [sample.to_json() for sample in text_samples(1, "train", 20, 5)] == whole[20:25]


def test_every_sample_is_one_conversation_without_pictures_or_markers():
    for sample in text_samples(0, "train", 0, 200):
        sample.check()
        (conversation,) = sample.conversations
        assert (conversation.task, sample.images, sample.regions) == ("scene_text", (), ())
        assert not re.search(r"<(image|region):", sample.to_json())


def test_scenes_are_told_as_boards_as_lists_and_as_both_and_albums_as_lists():
    told = Counter(len(cells(sample.conversations[0].turns[0].prompt)) > CELLS**2 for sample in text_samples(0, "train", 0, 300))
    assert min(told.values()) > 100
    asked = " ".join(turn.prompt for sample in text_samples(0, "train", 0, 300) for turn in sample.conversations[0].turns)
    assert "tags" in asked
    assert re.search("pictures", asked)


def test_the_board_has_a_cell_for_every_pooled_patch_and_one_for_the_whole():
    for index in range(50):
        assert len(cells(board(scene(index)))) == CELLS**2 + 1


def test_the_cell_under_the_middle_of_a_thing_holds_it():
    for index in range(50):
        told = cells(board(scene(index)))[1:]
        for thing in scene(index).things:
            column, row = (int(CELLS * middle / 224) for middle in thing.center)
            assert told[row * CELLS + column] == phrase(thing)


def test_a_list_holds_every_thing_and_is_padded_to_at_least_its_shortest_length():
    rng = random.Random(0)
    for index in range(50):
        told = cells(listing(scene(index), rng))
        assert set(told) - {NOTHING} == {phrase(thing) for thing in scene(index).things}
        assert len(told) >= LISTED[0]


def test_a_box_that_is_pointed_to_has_been_told():
    boxes = 0
    for sample in text_samples(0, "train", 0, 200):
        answered = {box for turn in sample.conversations[0].turns for box in BOX.findall(turn.answers[0])}
        assert answered <= told_boxes(sample)
        boxes += len(answered)
    assert boxes > 50


def test_no_box_of_a_thing_is_told_twice_by_questions_and_answers():
    for sample in text_samples(0, "train", 0, 200):
        first, *others = sample.conversations[0].turns
        turns = [PHRASE.sub("", first.prompt) + first.answers[0], *(turn.prompt + turn.answers[0] for turn in others)]
        boxes = Counter(box for turn in turns for box in BOX.findall(turn))
        things = Counter(f"[{left}{top},{right}{bottom}]" for _, left, top, right, bottom in set(TOLD.findall(first.prompt)))
        assert len(others) == 0 or not boxes - things  # two things may lie over the same squares


def test_short_questions_look_up_every_thing_of_a_scene():
    for sample in text_samples(0, "train", 0, 200):
        turns = sample.conversations[0].turns
        if len(turns) > 1:
            boxes = {box for turn in turns for box in BOX.findall(PHRASE.sub("", turn.prompt) + turn.answers[0])}
            assert boxes == told_boxes(sample)
            answers = Counter(turn.answers[0] for turn in turns if re.search(r"Any [^?]*\?$", turn.prompt))
            assert answers["yes"] == answers["no"]


@pytest.mark.parametrize("split", ["train", "test_objects"])
def test_squares_lie_over_the_thing(split):
    for index in range(50):
        for thing in compose(scene_generator(0, split, index), split).things:
            box = parse_box(squares(thing), "squares")
            assert box is not None
            assert max(abs(a - b / 224) for a, b in zip(box.corners, thing.box, strict=True)) <= 1 / 32 + 1e-6
