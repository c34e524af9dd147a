"""Visual Genome: regions described and found, objects named, what they are like, and how two are related."""

import json
from pathlib import Path

import pytest
from PIL import Image as PillowImage

from data_pipelines.convert import convert
from data_pipelines.sources.source import convert_entry
from data_pipelines.sources.visual_genome import (
    VisualGenomeAttributes,
    VisualGenomeObjects,
    VisualGenomeRegions,
    VisualGenomeRelationships,
)
from tests.conftest import shared
from triscope.data.errors import TriscopeError
from triscope.data.shards import ShardSet


def test_regions_joined_with_sizes_are_described_and_found(tmp_path: Path) -> None:
    folder = shared("format_samples")
    source = VisualGenomeRegions(folder / "vgqa" / "vg_regions_joined.json", (folder / "images",))
    report = convert(source, tmp_path / "out")
    assert (report.samples_read, report.samples_written) == (4, 4)
    assert report.questions_written == {"description": 400, "pointing": 372}
    assert report.dropped == {"phrase_of_several_boxes": 28}
    sample, _ = next(ShardSet.open(tmp_path / "out").read(0, [0])).parse()
    assert sample.regions[0].box.corners == (421, 57, 421 + 82, 57 + 139)
    assert sample.conversations[0].turns[0].answers == ("the clock is green in colour",)
    pointing = sample.conversations[1].turns[0]  # phrases are often sentences, so they are quoted
    assert '"the clock is green in colour"' in pointing.prompt and pointing.content == "the clock is green in colour"
    assert pointing.answers == ("<region:1>",)


def test_the_official_layout_gives_the_same_questions(tmp_path: Path) -> None:
    folder = shared("format_samples")
    official = folder / "official" / "visual_genome_region_descriptions.json"
    report = convert(VisualGenomeRegions(official, (folder / "images",)), tmp_path / "out")
    assert (report.samples_read, report.samples_written, report.bad_samples) == (20, 4, 16)
    assert report.questions_written == {"description": 400, "pointing": 372}
    assert report.dropped == {"phrase_of_several_boxes": 28, "picture_missing": 16}


def test_empty_and_repeated_phrases_are_counted(tmp_path: Path) -> None:
    PillowImage.new("RGB", (20, 20)).save(tmp_path / "1.jpg")
    region = {"x": 1, "y": 1, "width": 9, "height": 9}
    regions = [region | {"region_id": number, "phrase": phrase} for number, phrase in enumerate(["a  cat.", " ", "a cat"])]
    (tmp_path / "regions.json").write_text(json.dumps([{"id": 1, "regions": regions}]))
    source = VisualGenomeRegions(tmp_path / "regions.json", (tmp_path,))
    result = convert_entry(source, 0, next(source.entries()))
    assert result.sample is not None
    assert [conversation.task for conversation in result.sample.conversations] == ["description", "pointing"]
    assert result.sample.conversations[0].turns[0].answers == ("a cat",)
    assert [drop.reason for drop in result.drops] == ["empty_answer", "repeated"]


def test_another_layout_is_told(tmp_path: Path) -> None:
    (tmp_path / "regions.json").write_text('[{"id": 1, "objects": []}]')
    with pytest.raises(TriscopeError, match=r"record 0: found fields \['id', 'objects'\]; expected .*'regions'"):
        list(VisualGenomeRegions(tmp_path / "regions.json", (tmp_path,)).entries())


def test_objects_of_the_official_file_are_named(tmp_path: Path) -> None:
    folder = shared("format_samples")
    source = VisualGenomeObjects(folder / "official" / "visual_genome_objects.json", (folder / "images",))
    report = convert(source, tmp_path / "out")
    assert (report.samples_read, report.samples_written, report.bad_samples) == (20, 4, 16)
    sample, _ = next(ShardSet.open(tmp_path / "out").read(0, [0])).parse()
    assert sample.regions[0].box.corners == (0, 0, 799, 557)
    assert (sample.conversations[0].task, sample.conversations[0].turns[0].answers) == ("recognition", ("trees",))
    pointed = [conversation.turns[0].prompt for conversation in sample.conversations if conversation.task == "pointing"]
    assert any("the sidewalk" in prompt for prompt in pointed)


def test_relationships_of_both_official_files_are_the_same_questions(tmp_path: Path) -> None:
    folder = shared("format_samples")
    asked = []
    for name in ("relationships", "scene_graphs"):
        source = VisualGenomeRelationships(folder / "official" / f"visual_genome_{name}.json", (folder / "images",))
        report = convert(source, tmp_path / name)
        assert (report.samples_written, report.bad_records) == (4, 0)
        sample, _ = next(ShardSet.open(tmp_path / name).read(0, [0])).parse()
        turn = sample.conversations[0].turns[0]
        assert (turn.answers[0], "<region:1>" in turn.prompt, "<region:2>" in turn.prompt) == ("on", True, True)
        asked.append(sum(report.questions_written.values()))
    assert asked[0] == asked[1] > 50


def made_up(folder: Path, content: dict) -> Path:
    """A file about picture 1."""
    PillowImage.new("RGB", (20, 20)).save(folder / "1.jpg")
    (folder / "a.json").write_text(json.dumps([{"image_id": 1} | content]))
    return folder / "a.json"


BOX = {"x": 1, "y": 1, "w": 9, "h": 9}


def test_attributes_are_the_answer_and_objects_without_any_are_counted(tmp_path: Path) -> None:
    attributes = [
        BOX | {"object_id": 1, "names": ["cup"], "attributes": ["green", " tall", "green"]},
        BOX | {"object_id": 2, "names": ["cup"]},
        BOX | {"object_id": 3, "names": ["cup"], "attributes": ["red"], "w": 0},
    ]
    source = VisualGenomeAttributes(made_up(tmp_path, {"attributes": attributes}), (tmp_path,))
    result = convert_entry(source, 0, next(source.entries()))
    assert result.sample is not None
    (conversation,) = result.sample.conversations
    assert conversation.turns[0].answers == ("green, tall",)
    assert [(drop.reason, str(drop.fault)) for drop in result.drops] == [("no_attribute", "None"), ("box_without_area", "record")]


def test_a_relationship_to_a_missing_object_is_a_counted_fault(tmp_path: Path) -> None:
    content = {
        "objects": [BOX | {"object_id": 5, "names": ["cup"]}, BOX | {"object_id": 6, "names": ["table"], "x": 5}],
        "relationships": [
            {"relationship_id": 1, "predicate": "ON", "subject_id": 5, "object_id": 6},
            {"relationship_id": 2, "predicate": "near", "subject_id": 6, "object_id": 5},
            {"relationship_id": 3, "predicate": "of", "subject_id": 5, "object_id": 7},
        ],
    }
    source = VisualGenomeRelationships(made_up(tmp_path, content), (tmp_path,))
    result = convert_entry(source, 0, next(source.entries()))
    assert result.sample is not None
    assert [conversation.turns[0].answers for conversation in result.sample.conversations] == [
        ("on", "the cup on the table"),
        ("near", "the table near the cup"),
    ]
    assert len(result.sample.regions) == 2  # an object is one region, however often it is named
    assert [(drop.reason, drop.example) for drop in result.drops] == [
        ("object_missing", "visual_genome_relationships-1, relationship 3: object [7]")
    ]
