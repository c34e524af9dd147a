"""Published conversations: LLaVA's, SBU's with regions, and PVIT's released files as they are."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from data_pipelines.sources.llava_instruct import LlavaInstruct
from data_pipelines.sources.pvit_released import PvitReleased
from data_pipelines.sources.sbu_grounding import SbuGrounding
from tests.data_pipelines.sources.published import converted, dropped, photo, turns, written
from triscope.data.boxes import BoxSpace
from triscope.data.errors import TriscopeError
from triscope.data.sample import Level

REGION = "<Region><L120><L80><L431><L905></Region>"


def chat(*texts: str, image: str = "a.jpg", **fields: Any) -> dict:
    said = [{"from": ("human", "gpt")[number % 2], "value": text} for number, text in enumerate(texts)]
    return {"id": "1", "image": image, "conversations": said} | fields


def llava(folder: Path, *records: dict, kind: type = LlavaInstruct) -> Any:
    photo(folder / "a.jpg")
    return kind(written(folder / "chat.json", list(records)), (folder,))


def test_conversations_about_a_picture_are_one_sample(tmp_path: Path) -> None:
    records = [chat("<image>\nWhat is it?", "A dog."), chat("Where?\n<image>", "In a park.", "Sure?", "Yes.", id="2")]
    (made,) = converted(llava(tmp_path, *records))
    assert turns(made) == [("What is it?", "A dog."), ("Where?", "In a park."), ("Sure?", "Yes.")]
    assert made.sample is not None
    assert {(talk.task, talk.level) for talk in made.sample.conversations} == {("instruction", Level.IMAGE)}


def test_a_record_without_picture_is_text_alone(tmp_path: Path) -> None:
    record = chat("Say hello.", "Hello.", id="t9")
    del record["image"]
    made = converted(llava(tmp_path, record, chat("<image>What?", "A dog.")))
    assert [(item.sample.key, len(item.sample.images)) for item in made if item.sample] == [
        ("llava_instruct-a", 1),
        ("llava_instruct-text-t9", 0),
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (chat("What?"), ("conversation_broken", "record")),
        (chat("What?", "A dog.", "And?"), ("conversation_broken", "record")),
        (chat("What?", "  "), ("conversation_broken", "record")),
        (chat("<image>", "A dog."), ("turn_empty", "record")),
        (chat("<image> and <image>?", "A dog."), ("image_marks_unequal", "record")),
        (chat("What is in [0.1, 0.25, 0.3, 0.75]?", "A dog."), ("box_as_text", None)),
        (chat("What is in <Region><L120><L80></Region>?", "A dog."), ("region_broken", "record")),
        (chat(f"What is in {REGION[:-9]}?", "A dog."), ("region_broken", "record")),
        (chat("What is in <Region><L120><L80><L431><L1905></Region>?", "A dog."), ("region_broken", "record")),
        (chat("What is in <Region><L120><L80><L120><L905></Region>?", "A dog."), ("region_broken", "record")),
    ],
)
def test_what_cannot_be_used_is_counted_with_the_key(tmp_path: Path, record: dict, reason: tuple) -> None:
    (made,) = converted(llava(tmp_path, record, chat("<image>What?", "A dog.")))
    assert dropped(made) == [reason]
    assert made.drops[0].example.startswith("llava_instruct-a, record 1")
    assert turns(made) == [("What?", "A dog.")]


def test_published_regions_become_markers_and_boxes(tmp_path: Path) -> None:
    other = "<Region><L0><L0><L500><L1000></Region>"
    records = [chat(f"<image>\nName {REGION}.", "street lamp"), chat(f"Is {REGION} near {other}?", "yes")]
    (made,) = converted(llava(tmp_path, *records, kind=SbuGrounding))
    assert turns(made) == [("Name <region:1>.", "street lamp"), ("Is <region:2> near <region:3>?", "yes")]
    assert made.sample is not None
    boxes = [region.box for region in made.sample.regions]
    assert (boxes[0].corners, boxes[0].space, boxes[2].corners) == ((0.12, 0.08, 0.431, 0.905), BoxSpace.UNIT, (0, 0, 0.5, 1))
    assert {(talk.task, talk.level) for talk in made.sample.conversations} == {("description", Level.REGION)}


def test_a_picture_that_is_gone_from_the_web_is_no_fault(tmp_path: Path) -> None:
    (made,) = converted(llava(tmp_path, chat("<image>What?", "A dog.", image="gone.jpg"), kind=SbuGrounding))
    assert dropped(made) == [("picture_missing", None)]


def released(folder: Path, **mapping: Any) -> PvitReleased:
    photo(folder / "coco" / "a.jpg")
    photo(folder / "vg" / "a.jpg", (50, 50))
    written(folder / "1_small_objects.json", [chat(f"<image>\nWhat is {REGION}?", "a cup")])
    written(folder / "general.json", [chat("<image>\nWhat?", "a room"), chat("<image>\nWho?", "nobody")])
    written(folder / "4_attribute.json", [chat(f"<image>\nHow is {REGION}?", "red")])
    sets = {"1_small_objects": "coco2017", "4_attribute": "vg", "general": "coco2017"}
    content = {"image_paths": {"coco2017": "coco", "vg": str(folder / "vg")}, "mapping": sets} | mapping
    (folder / "mapping.yaml").write_text(yaml.safe_dump(content))
    return PvitReleased(folder / "mapping.yaml")


def test_released_files_are_read_by_their_mapping(tmp_path: Path) -> None:
    coco, genome = converted(released(tmp_path, count={"general": 2}))
    assert turns(coco) == [("What is <region:1>?", "a cup"), ("What?", "a room"), ("Who?", "nobody")]
    assert coco.sample is not None and genome.sample is not None
    assert [(talk.task, str(talk.level)) for talk in coco.sample.conversations] == [
        ("1_small_objects", "region"),
        ("general", "image"),
        ("general", "image"),
    ]
    assert (coco.sample.key, genome.sample.key) == ("pvit_released-coco2017-a", "pvit_released-vg-a")
    assert genome.sample.images[0].width == 50


@pytest.mark.parametrize(
    ("mapping", "found"),
    [
        ({"count": {"general": 3}}, r"general\.json: found 2 records; expected 3"),
        ({"mapping": {"general": "flickr"}}, r"mapping\.general: found 'flickr'"),
        ({"mapping": {"absent": "vg"}}, r"absent\.json: found no file"),
        ({"image_paths": None}, "another layout"),
    ],
)
def test_a_mapping_that_does_not_fit_is_told(tmp_path: Path, mapping: dict, found: str) -> None:
    with pytest.raises(TriscopeError, match=found):
        list(released(tmp_path, **mapping).entries())


def test_a_mapping_that_is_no_yaml_is_told(tmp_path: Path) -> None:
    source = released(tmp_path)
    source.mapping.write_text("image_paths: [")
    with pytest.raises(TriscopeError, match=r"mapping\.yaml: found no YAML \(.*line 1"):
        list(source.entries())
