"""Instructions about several pictures: MIMIC-IT, DEMON, Mantis, LLaVA-Interleave, and the test files of SAM's authors."""

import base64
from pathlib import Path
from typing import Any

import pytest

from data_pipelines.sources.demon import Demon
from data_pipelines.sources.interleaved import LlavaInterleave, MantisInstruct
from data_pipelines.sources.mimic_it import MimicIt
from data_pipelines.sources.sam_test import SamTest
from tests.data_pipelines.made_up import picture
from tests.data_pipelines.sources.published import converted, dropped, lines, photo, turns, written
from triscope.data.errors import TriscopeError


def mimic(folder: Path, instructions: dict, pictures: dict[str, str]) -> MimicIt:
    return MimicIt(
        written(folder / "SD_instructions.json", {"meta": {"version": "0.0.1"}, "data": instructions}),
        written(folder / "SD.json", pictures),
    )


def test_mimic_it_pictures_are_decoded_and_shared(tmp_path: Path) -> None:
    one, two = picture(), picture(32, 32)
    record = {"instruction": "What changed?", "answer": "A car left.", "image_ids": ["SD_1", "SD_2"], "rel_ins_ids": []}
    instructions = {"SD_INS_1": record, "SD_INS_2": record | {"instruction": "Why?", "answer": " "}}
    instructions |= {"SD_INS_3": record | {"image_ids": ["SD_1", "SD_9"]}, "SD_INS_4": record | {"image_ids": ["SD_3"]}}
    pictures = {"SD_1": base64.b64encode(one).decode(), "SD_2": base64.urlsafe_b64encode(two).decode().rstrip("="), "SD_3": "§"}
    whole, gone, broken = converted(mimic(tmp_path, instructions, pictures))
    assert whole.images == (one, two)
    assert whole.sample is not None and whole.sample.key == "mimic_it-SD_INS_1"
    assert turns(whole) == [("What changed?", "A car left.")]
    assert dropped(whole) == [("turn_empty", "record")]
    assert (dropped(gone), dropped(broken)) == ([("picture_missing", "sample")], [("picture_unreadable", "sample")])


def demon(folder: Path, **changes: Any) -> Demon:
    for number in (1, 2):
        photo(folder / "images" / f"{number}.jpg")
    instance = {"context": "{image#1}A dog. {image#2}", "images_path": ["1.jpg", "2.jpg"]} | changes
    record = {"sample_id": 3, "task_instruction_id": "1", "task_instance": instance, "response": "It sleeps."}
    metadata = {"dataset": "VIST", "split": "test", "task_instruction": ["Go on.", "End the story."], "num_sample": 1}
    return Demon(written(folder / "core.json", {"metadata": metadata, "data": [record]}), (folder / "images",))


def test_demon_puts_the_chosen_instruction_before_the_context(tmp_path: Path) -> None:
    (made,) = converted(demon(tmp_path))
    assert turns(made) == [("End the story. <image:1>A dog. <image:2>", "It sleeps.")]
    assert made.sample is not None
    assert (made.sample.key, made.sample.conversations[0].task) == ("demon-vist-3", "vist")


def test_demon_choices_are_the_candidates(tmp_path: Path) -> None:
    (made,) = converted(demon(tmp_path, choice_list=["It sleeps.", "It runs."]))
    assert made.sample is not None
    turn = made.sample.conversations[0].turns[0]
    assert turn.candidates == ("It sleeps.", "It runs.") and turn.prompt.endswith("Choices: ['It sleeps.', 'It runs.']")


def test_a_count_of_marks_that_does_not_match_is_told_with_the_key(tmp_path: Path) -> None:
    (made,) = converted(demon(tmp_path, context="{image#1} only"))
    assert dropped(made)[0] == ("image_marks_unequal", "record")
    assert "demon-vist-3, record 3: found marks of the images [1]" in made.drops[0].example


def said(*texts: str, role: str = "from", text: str = "value", names: tuple[str, str] = ("human", "gpt")) -> list[dict]:
    return [{role: names[number % 2], text: content} for number, content in enumerate(texts)]


def test_mantis_spellings_are_read(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        photo(tmp_path / "nlvr2" / name)
    new = said("<image> or <image>?", "The first image.", role="role", text="content", names=("user", "assistant"))
    images = [{"path": "nlvr2/a.jpg", "bytes": None}, {"path": "nlvr2/b.jpg"}]
    records = [
        {"id": "m1", "images": ["nlvr2/a.jpg", "b.jpg"], "conversations": said("What is new?", "A dog.")},
        {"id": "m2", "images": images, "conversation": new},
        {"id": "m3", "images": ["nlvr2/a.jpg", "nlvr2/b.jpg"], "conversations": said("<image>?", "A dog.")},
        {"id": "m4", "images": None, "conversations": said("Say hello.", "Hello.")},
    ]
    for file in (written(tmp_path / "train.json", records), lines(tmp_path / "train.jsonl", records)):
        first, second, third, fourth = converted(MantisInstruct(file, (tmp_path, tmp_path / "nlvr2")))
        assert turns(first) == [("What is new?", "A dog.")]
        assert turns(second) == [("<image:1> or <image:2>?", "The first image.")]
        assert dropped(third)[0] == ("image_marks_unequal", "record")
        assert fourth.sample is not None and fourth.sample.images == ()


def test_pictures_inside_the_file_are_told(tmp_path: Path) -> None:
    record = {"id": "m1", "images": [{"bytes": "abc", "path": None}], "conversations": said("?", "!")}
    with pytest.raises(TriscopeError, match=r"record 0, picture.*Unpack the pictures"):
        list(MantisInstruct(written(tmp_path / "a.json", [record]), (tmp_path,)).entries())


def test_interleaved_rows_have_a_picture_or_a_list(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        photo(tmp_path / "HQ" / name)
    records = [
        {"id": "x", "image": ["HQ/a.jpg", "HQ/b.jpg"], "conversations": said("<image><image> What changed?", "The sky.")},
        {"sample_id": 4, "image": "HQ/a.jpg", "conversations": said("<image>\nWhat?", "A sky.", "Sure?", "Yes.")},
        {"id": "x", "image": ["../a.jpg"], "conversations": said("<image>\nWhat?", "A sky.")},
    ]
    source = LlavaInterleave(written(tmp_path / "m4.json", records), (tmp_path / "HQ" / "..", tmp_path / "HQ"))
    pair, single, outside = converted(source)
    assert turns(pair) == [("<image:1><image:2> What changed?", "The sky.")]
    assert turns(single) == [("What?", "A sky."), ("Sure?", "Yes.")]
    assert outside.sample is not None  # found by its last part: a name never leads out of the folders
    keys = [made.sample.key for made in (pair, single) if made.sample]
    assert keys == ["llava_interleave-00000000", "llava_interleave-00000001"]


def test_the_authors_test_file_is_read_with_its_literal_marks(tmp_path: Path) -> None:
    for number in range(1, 6):
        photo(tmp_path / f"{number}.png")
    names = [f"{number}.png" for number in range(1, 6)]
    records = [
        {"id": 0, "img_list": names[:2], "instruction": "End it. {image#1}Caption#1: A. {image#2}Caption#2:", "output": "B."},
        {"id": 1, "img_list": names, "instruction": "What do they share?", "output": "a tree"},
    ]
    story, group = converted(SamTest(written(tmp_path / "test.json", records), (tmp_path,), "story_end"))
    assert turns(story) == [("End it. <image:1>Caption#1: A. <image:2>Caption#2:", "B.")]
    assert group.sample is not None
    assert (len(group.sample.images), group.sample.conversations[0].task) == (5, "story_end")
