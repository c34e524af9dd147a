"""COCO's published layouts become questions with exact boxes; what is left out is counted."""

import json
from pathlib import Path

import pytest
from PIL import Image as PillowImage

from data_pipelines.convert import convert
from data_pipelines.make_shards import Made
from data_pipelines.report import Fault
from data_pipelines.sources.coco import CocoCaptions, CocoInstances, CocoRecognition
from data_pipelines.sources.coco_names import longer_names, names_of
from data_pipelines.sources.source import convert_entry
from tests.conftest import shared
from triscope.data.boxes import BoxSpace
from triscope.data.errors import TriscopeError
from triscope.data.sample import Level, Sample
from triscope.data.shards import ShardSet


def one_picture(folder: Path, annotations: list[dict], **image: object) -> Made:
    """Convert a picture of 200x100 with the annotations given, as one of the instances file."""
    PillowImage.new("RGB", (200, 100)).save(folder / "a.jpg")
    content = {
        "images": [{"id": 5, "file_name": "train2017/a.jpg", "width": 200, "height": 100} | image],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
        "annotations": [
            {"id": number, "image_id": 5, "category_id": 1, "iscrowd": 0, "bbox": [10, 10, 50, 50]} | annotation
            for number, annotation in enumerate(annotations)
        ],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    source = CocoInstances(folder / "instances.json", (folder,))
    return convert_entry(source, 0, next(source.entries()))


def tasks(sample: Sample | None) -> list[tuple[str, str]]:
    """Task and answer of each question."""
    assert sample is not None
    return [(conversation.task, conversation.turns[0].answers[0]) for conversation in sample.conversations]


def test_captions_of_a_picture_are_the_references_of_one_question(tmp_path: Path) -> None:
    folder = shared("coco_sample")
    source = CocoCaptions(folder / "annotations" / "captions.json", (folder / "images" / "train2017",))
    report = convert(source, tmp_path / "out")
    assert (report.samples_read, report.samples_written, dict(report.dropped)) == (80, 80, {})
    samples = [raw.parse()[0] for raw in ShardSet.open(tmp_path / "out")]
    assert all(len(sample.conversations) == 1 and sample.conversations[0].level == Level.IMAGE for sample in samples)
    assert sum(len(sample.conversations[0].turns[0].answers) for sample in samples) == 400


def test_instances_are_named_and_found(tmp_path: Path) -> None:
    folder = shared("coco_sample")
    source = CocoInstances(folder / "annotations" / "instances.json", (folder / "images" / "train2017",))
    report = convert(source, tmp_path / "out")
    assert (report.samples_read, report.samples_written) == (119, 119)
    assert report.questions_written == {"recognition": 870, "pointing": 241}
    assert report.dropped == {"box_tiny": 102, "crowd": 8}
    assert sum(report.dropped.values()) + report.questions_written["recognition"] == 980  # each annotation is accounted for
    sample, _ = next(ShardSet.open(tmp_path / "out").read(0, [0])).parse()
    box = sample.regions[0].box
    assert (sample.key, box.space) == ("coco_instances-25", BoxSpace.PIXELS)
    assert box.corners == pytest.approx((385.53, 60.03, 600.5, 357.19))  # bbox 385.53, 60.03, 214.97, 297.16
    unit = box.to(BoxSpace.UNIT, sample.images[0].width, sample.images[0].height)
    assert sample.extra["objects"][0] == {"name": "giraffe", "box": pytest.approx(unit.corners, abs=1e-5)}


def test_only_an_object_that_is_alone_of_its_kind_is_asked_to_be_found(tmp_path: Path) -> None:
    result = one_picture(tmp_path, [{}, {"category_id": 2}, {"bbox": [90, 10, 50, 50]}])
    assert tasks(result.sample) == [
        ("recognition", "dog"),
        ("recognition", "cat"),
        ("pointing", "<region:2>"),
        ("recognition", "dog"),
    ]


def test_a_crowd_and_a_tiny_object_keep_their_kind_from_being_unique(tmp_path: Path) -> None:
    result = one_picture(tmp_path, [{}, {"iscrowd": 1}, {"category_id": 2}, {"category_id": 2, "bbox": [1, 1, 3, 90]}])
    assert tasks(result.sample) == [("recognition", "dog"), ("recognition", "cat")]
    assert [drop.reason for drop in result.drops] == ["crowd", "box_tiny"]


def test_a_box_outside_by_rounding_is_clipped_and_one_further_out_is_dropped(tmp_path: Path) -> None:
    result = one_picture(tmp_path, [{"bbox": [150, 50, 50.6, 50.4]}, {"bbox": [150, 50, 60, 20]}])
    assert result.sample is not None
    assert [region.box.corners for region in result.sample.regions] == [(150, 50, 200, 100)]
    assert [drop.reason for drop in result.drops] == ["box_outside_picture"]
    assert "coco_instances-5, annotation 1" in result.drops[0].example


@pytest.mark.parametrize(
    ("annotation", "reason", "fault"),
    [
        ({"bbox": [10, 10, 0, 50]}, "box_without_area", Fault.RECORD),
        ({"bbox": [60, 60, -50, -50]}, "box_without_area", Fault.RECORD),
        ({"bbox": [300, 10, 50, 50]}, "box_outside_picture", Fault.RECORD),
        ({"category_id": 77}, "unknown_category", Fault.RECORD),
        ({"iscrowd": 1}, "crowd", None),
    ],
)
def test_an_annotation_left_out_is_told_with_its_reason(
    tmp_path: Path, annotation: dict, reason: str, fault: Fault | None
) -> None:
    result = one_picture(tmp_path, [annotation])
    assert result.sample is None and result.fault is None
    assert [(drop.reason, drop.fault) for drop in result.drops] == [(reason, fault), ("nothing_to_ask", None)]


@pytest.mark.parametrize(
    ("annotation", "image", "reason"),
    [
        ({"bbox": [10, 10, 50]}, {}, "record_unusable"),
        ({"bbox": None}, {}, "record_unusable"),
        ({}, {"width": 100}, "picture_of_other_size"),
        ({}, {"file_name": "b.jpg"}, "picture_missing"),
    ],
)
def test_a_picture_lost_to_a_fault_is_told(tmp_path: Path, annotation: dict, image: dict, reason: str) -> None:
    result = one_picture(tmp_path, [annotation], **image)
    assert result.sample is None and result.fault is not None
    assert (result.fault.reason, result.fault.example[:16]) == (reason, "coco_instances-5")


def test_a_picture_cut_short_is_lost(tmp_path: Path) -> None:
    one_picture(tmp_path, [{}])
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-200])
    source = CocoInstances(tmp_path / "instances.json", (tmp_path,))
    result = convert_entry(source, 0, next(source.entries()))
    assert result.fault is not None and result.fault.reason == "picture_unreadable"


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(TriscopeError, match=r"captions\.json: found no file"):
        list(CocoCaptions(tmp_path / "captions.json", (tmp_path,)).entries())
    one_picture(tmp_path, [{}])
    with pytest.raises(TriscopeError, match=r"photos: found no folder"):
        list(CocoInstances(tmp_path / "instances.json", (tmp_path / "photos",)).entries())


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("{", "not JSON"),
        ("{}", "list of records under 'images'"),
        ('{"images": [7], "annotations": []}', "an item that is 7"),
        ('{"images": [{"id": 1}], "annotations": [{"id": 1}]}', r"record 0: found fields \['id'\]; expected a field 'image_id'"),
    ],
)
def test_a_file_of_another_layout_is_told(tmp_path: Path, content: str, found: str) -> None:
    (tmp_path / "captions.json").write_text(content)
    with pytest.raises(TriscopeError, match=rf"captions\.json.*{found}"):
        list(CocoCaptions(tmp_path / "captions.json", (tmp_path,)).entries())


def test_recognition_asks_about_each_true_box_and_knows_other_names(tmp_path: Path) -> None:
    one_picture(tmp_path, [{}, {"iscrowd": 1}, {"category_id": 2, "bbox": [1, 1, 2, 2]}, {"bbox": [1, 1, 0, 9]}])
    source = CocoRecognition(tmp_path / "instances.json", (tmp_path,))
    made = convert_entry(source, 0, next(source.entries()))
    assert tasks(made.sample) == [("object_name", "dog"), ("object_name", "cat")]
    assert made.sample is not None and made.sample.conversations[1].turns[0].answers == ("cat", "kitten")
    assert (made.sample.conversations[1].turns[0].content, made.sample.conversations[1].turns[0].id) == ("<region:2>", "2")
    assert [drop.reason for drop in made.drops] == ["crowd", "box_without_area"]
    assert made.sample.extra["longer_names"] == {"dog": ["hot dog"]}


def test_a_category_knows_the_names_of_others_that_hold_one_of_its_own() -> None:
    assert longer_names("bear") == ["teddy bear", "stuffed bear"]
    assert "wine glass" in longer_names("cup") and longer_names("wine glass") == []
    assert longer_names("tennis racket") == [] and names_of("bench") == ("bench",)
