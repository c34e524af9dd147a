"""Scenes as text."""

import random
import re
from collections import Counter

import pytest

import data_pipelines.scenes.text
from data_pipelines.scenes.album_questions import compose_album
from data_pipelines.scenes.compose import PICTURE_SIDE, compose, scene_generator
from data_pipelines.scenes.questions import caption
from data_pipelines.scenes.text import (
    AGGREGATOR,
    ALBUM_SHARE,
    LISTED,
    MISREAD,
    MOST_TURNS,
    QFORMER,
    QUESTIONS,
    board,
    listing,
    phrase,
    squares,
    text_samples,
)
from data_pipelines.wordings import WORDINGS
from triscope.data.box_text import parse_box
from triscope.data.boxes import BoxSpace, intersection_over_union
from triscope.data.phrases import NOTHING, PHRASE_BEGIN, PHRASE_END

PHRASE = re.compile(f"{PHRASE_BEGIN}.*?{PHRASE_END}")
BOX = re.compile(r"\[[a-p]\d+,[a-p]\d+\]")


def scene(index: int):
    return compose(scene_generator(0, "train", index), "train")


def cells(told: str) -> list[str]:
    """What stands in each cell: a phrase or nothing."""
    return re.findall(f"{PHRASE.pattern}|{re.escape(NOTHING)}", told)


def boxes_of(index: int) -> Counter[str]:
    """Boxes of all things that the text of a number is about."""
    rng = scene_generator(0, "train/text", index)
    panels = compose_album(rng, "train").panels if rng.random() < ALBUM_SHARE else (compose(rng, "train"),)
    return Counter(squares(thing) for panel in panels for thing in panel.things)


def test_a_range_is_a_slice_of_the_whole():
    whole = [sample.to_json() for sample in text_samples(1, "train", 0, 40)]
    assert [sample.to_json() for sample in text_samples(1, "train", 20, 5)] == whole[20:25]


def test_every_sample_is_one_conversation_without_pictures_or_markers():
    for sample in text_samples(0, "train", 0, 200):
        sample.check()
        (conversation,) = sample.conversations
        assert (conversation.task, sample.images, sample.regions) == ("scene_text", (), ())
        assert not re.search(r"<(image|region):", sample.to_json())


def test_scenes_are_told_as_boards_of_each_bridge_as_both_and_as_lists():
    told = Counter(len(cells(sample.conversations[0].turns[0].prompt)) for sample in text_samples(0, "train", 0, 300))
    both = AGGREGATOR**2 + 1 + QFORMER**2
    assert told[both] > told[AGGREGATOR**2 + 1] > 20
    assert sum(count for length, count in told.items() if length < AGGREGATOR**2) > 80  # the Q-Former's, lists and albums
    asked = " ".join(turn.prompt for sample in text_samples(0, "train", 0, 300) for turn in sample.conversations[0].turns)
    assert "tags" in asked
    assert re.search("pictures", asked)


def test_a_board_has_as_many_cells_as_its_bridge_has_tokens():
    rng = random.Random(0)
    for index in range(50):
        assert len(cells(board(scene(index), AGGREGATOR, rng))) == AGGREGATOR**2 + 1
        assert len(cells(board(scene(index), QFORMER, rng))) == QFORMER**2


def test_the_cell_under_the_middle_of_a_thing_names_it_or_is_misread_in_one_trait():
    rng, right, misread = random.Random(0), 0, 0
    for index in range(200):
        told = cells(board(scene(index), AGGREGATOR, rng))[1:]
        for thing in scene(index).things:
            column, row = (int(AGGREGATOR * middle / 224) for middle in thing.center)
            said, true = told[row * AGGREGATOR + column], phrase(thing)
            if said == true:
                right += 1
            elif said != NOTHING:  # of a slight thing over the corner of four cells
                misread += 1
                words = [re.findall(r"\w+", text.replace("phrase", "")) for text in (said, true)]
                assert sum(a != b for a, b in zip(*words, strict=True)) == 1
    assert 0.5 * MISREAD < misread / (right + misread) < 1.2 * MISREAD  # some a mistake that changes nothing


def test_a_list_holds_every_thing_and_is_padded_to_at_least_its_shortest_length():
    rng = random.Random(0)
    for index in range(50):
        told = cells(listing(scene(index), rng))
        assert set(told) - {NOTHING} == {phrase(thing) for thing in scene(index).things}
        assert len(told) >= LISTED[0]


def test_a_box_that_is_pointed_to_is_that_of_a_thing():
    boxes = 0
    for index, sample in enumerate(text_samples(0, "train", 0, 200)):
        answered = {box for turn in sample.conversations[0].turns for box in BOX.findall(turn.answers[0])}
        assert answered <= set(boxes_of(index))
        boxes += len(answered)
    assert boxes > 50


def test_no_box_of_a_thing_is_told_twice_by_questions_and_answers():
    for index, sample in enumerate(text_samples(0, "train", 0, 200)):
        first, *others = sample.conversations[0].turns
        turns = [PHRASE.sub("", first.prompt) + first.answers[0], *(turn.prompt + turn.answers[0] for turn in others)]
        boxes = Counter(box for turn in turns for box in BOX.findall(turn))
        assert len(others) == 0 or not boxes - boxes_of(index)  # two things may lie over the same squares


def test_a_scene_is_asked_about_in_any_order_and_never_at_greater_length_than_most_turns():
    first = Counter()
    for sample in text_samples(0, "train", 0, 400):
        turns = sample.conversations[0].turns
        assert len(turns) <= MOST_TURNS
        first.update([re.sub(r".*[\].>]", "", turns[0].prompt[:-1])[:3]])
    assert len(first) > 10


def test_every_scene_is_asked_once_for_its_caption():
    for index, sample in enumerate(text_samples(0, "train", 0, 200)):
        rng = scene_generator(0, "train/text", index)
        if rng.random() >= ALBUM_SHARE:
            answers = [turn.answers[0] for turn in sample.conversations[0].turns]
            assert answers.count(caption(compose(rng, "train").things)) == 1


def test_questions_alone_ask_of_each_scene_one_caption_and_words_numbers_and_boxes():
    samples = list(text_samples(0, "train", 0, 200, dialogues=False))
    scenes = [sample for sample in samples if len(sample.conversations) > 1]
    assert len(scenes) > 0.95 * (1 - ALBUM_SHARE) * len(samples)
    turns = []
    for sample in scenes:
        asked = [turn for (turn,) in (conversation.turns for conversation in sample.conversations)]
        assert sum(turn.prompt.endswith(WORDINGS["caption"]) for turn in asked) == 1
        assert len(set(asked)) == len(asked)
        turns += asked
    answers = [turn.answers[0] for turn in turns]
    assert len(turns) > QUESTIONS / 2 * len(scenes)
    assert sum(bool(BOX.fullmatch(answer)) for answer in answers) > len(scenes)
    assert sum(answer.isdigit() for answer in answers) > len(scenes) / 2
    assert sum(bool(BOX.search(PHRASE.sub("", turn.prompt))) for turn in turns) > len(scenes)


def test_questions_alone_are_told_the_same_text():
    for sample in text_samples(0, "train", 0, 50, dialogues=False):
        prompts = [conversation.turns[0].prompt for conversation in sample.conversations]
        ends = [prompt.rfind(PHRASE_END) for prompt in prompts]
        assert len({prompt[:end] for prompt, end in zip(prompts, ends, strict=True)}) == 1


def test_what_is_in_a_box_is_asked_about_first_of_all(monkeypatch):
    def asked() -> float:
        texts = [sample.conversations[0].turns for sample in text_samples(0, "train", 0, 200)]
        return sum(bool(BOX.search(PHRASE.sub("", turn.prompt))) for turns in texts for turn in turns) / len(texts)

    first = asked()
    monkeypatch.setattr(data_pipelines.scenes.text, "IN_BOXES", 0)
    assert first > 1.2 * asked()


def test_yes_is_the_answer_as_often_as_no():
    turns = [turn for sample in text_samples(0, "train", 0, 600) for turn in sample.conversations[0].turns]
    answers = Counter(turn.answers[0] for turn in turns if turn.answers[0] in ("yes", "no"))
    assert answers.total() > 300
    assert abs(answers["yes"] - answers["no"]) < 4 * answers.total() ** 0.5


@pytest.mark.parametrize("split", ["train", "test_objects"])
def test_squares_lie_over_the_thing(split):
    for index in range(50):
        for thing in compose(scene_generator(0, split, index), split).things:
            box = parse_box(squares(thing), "squares")
            assert box is not None
            assert max(abs(a - b / 224) for a, b in zip(box.corners, thing.box, strict=True)) <= 1 / 32 + 1e-6


def test_boxes_in_squares_are_good_for_pointing_but_not_for_a_mean_iou_of_one():
    """The README tells the figures, as the best that a model which writes squares can do."""
    things = [thing for index in range(400) for thing in compose(scene_generator(0, "test", index), "test").things]
    read = [parse_box(squares(thing), "squares") for thing in things]
    true = [thing.pixel_box.to(BoxSpace.UNIT, PICTURE_SIDE, PICTURE_SIDE) for thing in things]
    overlaps = [intersection_over_union(box, best) for box, best in zip(read, true, strict=True) if box]
    assert sum(overlaps) / len(things) == pytest.approx(0.746, abs=0.01)
    assert sum(overlap >= 0.5 for overlap in overlaps) / len(things) == pytest.approx(0.992, abs=0.01)
