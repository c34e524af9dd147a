"""Scenes as text."""

import re
from collections import Counter

from data_pipelines.scenes.compose import compose, scene_generator
from data_pipelines.scenes.text import part_of, squares, text_samples
from triscope.data.prompts import parse_box
from triscope.data.sample import Sample

BOX = re.compile(r"\[[a-p]\d+,[a-p]\d+\]")


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


def test_one_to_four_things_are_told_and_each_number_is_frequent():
    told = Counter(len(BOX.findall(telling(sample))) for sample in text_samples(0, "train", 0, 600))
    assert set(told) == {1, 2, 3, 4}
    assert min(told.values()) > 60


def test_a_box_that_is_pointed_to_has_been_told():
    boxes = 0
    for sample in text_samples(0, "train", 0, 300):
        told = BOX.findall(telling(sample))
        answered = [box for turn in sample.conversations[0].turns for box in BOX.findall(turn.answers[0])]
        assert set(answered) <= set(told)
        boxes += len(answered)
    assert boxes > 50


def test_the_list_and_the_picture_tell_of_the_same_things():
    for index in range(30):
        scene = compose(scene_generator(0, "val", index), "val")
        (sample,) = text_samples(0, "val", index, 1)
        told = BOX.findall(telling(sample))
        assert sorted(told) == sorted(squares(thing) for thing in part_of(scene, len(told)).things)


def test_squares_lie_over_the_thing():
    for index in range(50):
        for thing in compose(scene_generator(0, "train", index), "train").things:
            box = parse_box(squares(thing), "squares")
            assert box is not None
            assert max(abs(a - b / 224) for a, b in zip(box.corners, thing.box, strict=True)) <= 1 / 32 + 1e-6
