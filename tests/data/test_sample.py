"""Samples survive storage, and each fault is told with file, key and field."""

import json
import pickle
from dataclasses import replace

import pytest

from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import BadSampleError
from triscope.data.sample import Conversation, Image, Level, Region, Sample, Tag, Turn

TURN = Turn("Where is the dog in <image:2>?", ("<region:1>", "left"), ("left", "right"))
SAMPLE = Sample(
    key="pair-7",
    images=(Image("0.jpg", 640, 427, (Tag("dog", 0.9),)), Image("1.png", 100, 50)),
    conversations=(Conversation("pointing", Level.REGION, (TURN,)),),
    regions=(Region(1, Box(10, 10, 60, 40, BoxSpace.PIXELS)), Region(0, Box(0.1, 0.2, 0.3, 0.4))),
    source="made up",
    extra={"objects": [{"name": "dog", "box": [0.1, 0.2, 0.6, 0.8]}]},
)
WHERE = "shard-000000.tar, key 'pair-7'"


def asked(turn: Turn, task: str = "pointing") -> Sample:
    """The sample with another turn or task."""
    return replace(SAMPLE, conversations=(Conversation(task, Level.REGION, (turn,)),))


def stored(**changes: object) -> str:
    """The sample's JSON with fields changed."""
    return json.dumps(json.loads(SAMPLE.to_json()) | changes)


def test_a_sample_comes_back_equal_from_its_json() -> None:
    assert Sample.from_json(SAMPLE.to_json(), WHERE) == SAMPLE


def test_a_sample_without_pictures_is_fine() -> None:
    text = Sample("text", (), (Conversation("question", Level.IMAGE, (Turn("2 + 2?", ("4",)),)),))
    assert Sample.from_json(text.to_json(), WHERE) == text


@pytest.mark.parametrize(
    ("sample", "field"),
    [
        (replace(SAMPLE, key="a.b"), "key 'a.b'"),
        (replace(SAMPLE, key="../a"), "key '../a'"),
        (replace(SAMPLE, images=(Image("0.jpg", 0, 5), SAMPLE.images[1])), r"images\[0\]: found size 0x5"),
        (replace(SAMPLE, regions=(Region(2, Box(0, 0, 1, 1)),)), r"regions\[0\]: found image 2; expected 0 to 1"),
        (replace(SAMPLE, regions=(Region(0, Box(0, 0, float("nan"), 1)),)), r"regions\[0\]: found box .*finite"),
        (replace(SAMPLE, regions=(Region(0, Box(0, 0, 400, 300)),)), r"regions\[0\]: found box .*inside the picture"),
        (replace(SAMPLE, regions=(Region(0, Box(0.9, 0, 0.1, 1)),)), r"regions\[0\]: found box .*x1 < x2"),
        (replace(SAMPLE, conversations=()), "no conversation"),
        (asked(TURN, task="Find It"), r"conversations\[0\]\.task: found 'Find It'"),
        (replace(SAMPLE, conversations=(Conversation("a", Level.IMAGE, ()),)), r"conversations\[0\]: found no turn"),
        (asked(replace(TURN, prompt=" ")), r"conversations\[0\]\.turns\[0\]\.prompt: found no text"),
        (asked(replace(TURN, answers=())), r"turns\[0\]\.answers: found \[\]"),
        (asked(replace(TURN, answers=("yes", ""))), r"turns\[0\]\.answers: found \['yes', ''\]"),
        (asked(replace(TURN, prompt="<image:3>?")), r"turns\[0\]\.prompt: found <image:3>; expected at most 2 image"),
        (asked(replace(TURN, prompt="<image:0>?")), r"turns\[0\]\.prompt: found <image:0>"),
        (asked(replace(TURN, candidates=("<region:9>",))), r"turns\[0\]\.candidates: found <region:9>"),
        (asked(replace(TURN, answers=("<region:3>",))), r"turns\[0\]\.answers: found <region:3>"),
        (asked(replace(TURN, prompt="What is <Region><L1>?")), r"turns\[0\]\.prompt: found the mark <Region> .*whole regions"),
    ],
)
def test_a_fault_is_told_with_file_key_and_field(sample: Sample, field: str) -> None:
    with pytest.raises(BadSampleError, match=rf"shard-000000\.tar, key '.*{field}"):
        sample.check(f"shard-000000.tar, key {sample.key!r}")


def test_all_faults_of_a_sample_are_listed_in_reading_order() -> None:
    bad = replace(SAMPLE, key="a.b", regions=(), conversations=(Conversation("a", Level.IMAGE, ()),))
    assert [fault.found for fault in bad.problems(WHERE)] == ["key 'a.b'", "no turn"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no record"),
        ("{", "not JSON"),
        (b"\xff", "not JSON"),
        ("[]", "no schema number"),
        (stored(schema=2), "no schema number, or another"),
        (stored(colour="red"), "unknown fields \\['colour'\\]"),
        (stored(images=[{"file": "0.jpg", "width": 5}]), "images\\[0\\]: found no field 'height'"),
        (stored(images=["0.jpg"]), "images\\[0\\]: found 'str' object has no attribute"),
        (
            stored(regions=[{"image": 0, "box": {"x1": 0, "y1": 0, "x2": 1, "y2": 1, "space": "inches"}}]),
            "regions\\[0\\]: found 'inches' is not",
        ),
        (stored(conversations=[{"task": "a", "level": "planet", "turns": []}]), "conversations\\[0\\]: found 'planet'"),
        (
            stored(conversations=[{"task": "a", "level": "image", "turns": [{"prompt": "p", "answers": "yes"}]}]),
            "conversations\\[0\\]: found answers 'yes' is not a list",
        ),
    ],
)
def test_a_record_of_another_form_is_refused(text: str | bytes, found: str) -> None:
    with pytest.raises(BadSampleError, match=rf"shard-000000\.tar, key 'pair-7'.*{found}"):
        Sample.from_json(text, WHERE)


def test_errors_cross_process_borders_whole() -> None:
    error = BadSampleError(WHERE, "this", "that", "mend it")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error) == f"{WHERE}: found this; expected that. Mend it."
