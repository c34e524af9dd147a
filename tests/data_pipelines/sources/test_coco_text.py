"""COCO-Text's layout becomes questions about what is written in a box, and these facts for written dialogues."""

import json
from pathlib import Path

from PIL import Image as PillowImage

from data_pipelines.convert import convert
from data_pipelines.generate.facts import read_pictures
from data_pipelines.generate.kinds import KINDS
from data_pipelines.sources.coco_text import CocoText
from triscope.data.sample import Level
from triscope.data.shards import ShardSet

FILE = "COCO_train2014_000000000009.jpg"
SIGN = {"utf8_string": "STOP ", "bbox": [20.0, 10.0, 60.0, 30.0], "legibility": "legible"}
ANNOTATIONS = {
    "45346": SIGN,
    "45347": {"bbox": [5, 5, 20, 10], "legibility": "illegible"},
    "45348": {"utf8_string": "", "bbox": [5, 5, 20, 10], "legibility": "legible"},
    "45349": {"utf8_string": "EXIT", "bbox": [5, 5, 0, 10], "legibility": "legible"},
}


def source(folder: Path) -> CocoText:
    """A file in the official layout, with one picture of 200x100."""
    (folder / "train2014").mkdir()
    PillowImage.new("RGB", (200, 100)).save(folder / "train2014" / FILE)
    usual = {"image_id": 9, "class": "machine printed", "language": "english", "area": 400.0, "mask": [20.0, 10.0, 80.0, 10.0]}
    content = {
        "cats": {},
        "anns": {number: {"id": int(number), **usual, **each} for number, each in ANNOTATIONS.items()},
        "imgs": {"9": {"id": 9, "set": "train", "width": 200, "height": 100, "file_name": FILE}},
        "imgToAnns": {"9": [int(number) for number in ANNOTATIONS]},
        "info": {},
    }
    (folder / "cocotext.v2.json").write_text(json.dumps(content))
    return CocoText(folder / "cocotext.v2.json", (folder / "train2014",))


def test_what_is_written_is_asked_and_what_nobody_could_read_is_counted(tmp_path):
    report = convert(source(tmp_path), tmp_path / "shards")
    assert report.dropped == {"illegible": 2, "box_without_area": 1}
    (sample,) = [raw.parse()[0] for raw in ShardSet.open(tmp_path / "shards")]
    (conversation,) = sample.conversations
    assert (conversation.task, conversation.level) == ("text", Level.REGION)
    assert conversation.turns[0].answers == ("STOP",) and "<region:1>" in conversation.turns[0].prompt
    assert sample.regions[0].box.corners == (20, 10, 80, 40)


def test_its_pictures_suit_dialogues_about_text(tmp_path):
    convert(source(tmp_path), tmp_path / "shards")
    ((_, facts),) = read_pictures([tmp_path / "shards"])
    assert [thing.text for thing in facts.things] == ["STOP"]
    assert KINDS["text_in_picture"].focus(facts) == (0,)
