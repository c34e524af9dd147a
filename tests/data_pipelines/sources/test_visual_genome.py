"""Visual Genome regions: describe the box, find the phrase."""

import json
from pathlib import Path

import pytest
from PIL import Image as PillowImage

from data_pipelines.convert import convert
from data_pipelines.sources.source import convert_picture
from data_pipelines.sources.visual_genome import VisualGenomeRegions
from tests.conftest import shared
from triscope.data.errors import TriscopeError
from triscope.data.shards import ShardSet


def test_regions_joined_with_sizes_are_described_and_found(tmp_path: Path) -> None:
    folder = shared("format_samples")
    source = VisualGenomeRegions(folder / "vgqa" / "vg_regions_joined.json", (folder / "images",))
    report = convert(source, tmp_path / "out")
    assert (report.pictures_read, report.samples_written) == (4, 4)
    assert report.questions_written == {"description": 400, "pointing": 372}
    assert report.dropped == {"phrase_of_several_boxes": 28}
    sample, _ = next(ShardSet.open(tmp_path / "out").read(0, [0])).parse()
    assert sample.regions[0].box.corners == (421, 57, 421 + 82, 57 + 139)
    assert sample.conversations[0].turns[0].answers == ("the clock is green in colour",)


def test_the_official_layout_gives_the_same_questions(tmp_path: Path) -> None:
    folder = shared("format_samples")
    official = folder / "official" / "visual_genome_region_descriptions.json"
    report = convert(VisualGenomeRegions(official, (folder / "images",)), tmp_path / "out")
    assert (report.pictures_read, report.samples_written, report.bad_samples) == (20, 4, 16)
    assert report.questions_written == {"description": 400, "pointing": 372}
    assert report.dropped == {"phrase_of_several_boxes": 28, "picture_missing": 16}


def test_empty_and_repeated_phrases_are_counted(tmp_path: Path) -> None:
    PillowImage.new("RGB", (20, 20)).save(tmp_path / "1.jpg")
    region = {"x": 1, "y": 1, "width": 9, "height": 9}
    regions = [region | {"region_id": number, "phrase": phrase} for number, phrase in enumerate(["a  cat.", " ", "a cat"])]
    (tmp_path / "regions.json").write_text(json.dumps([{"id": 1, "regions": regions}]))
    source = VisualGenomeRegions(tmp_path / "regions.json", (tmp_path,))
    result = convert_picture(source, 0, next(source.pictures()))
    assert result.sample is not None
    assert [conversation.task for conversation in result.sample.conversations] == ["description", "pointing"]
    assert result.sample.conversations[0].turns[0].answers == ("a cat",)
    assert [drop.reason for drop in result.drops] == ["empty_answer", "repeated"]


def test_another_layout_is_told(tmp_path: Path) -> None:
    (tmp_path / "regions.json").write_text('[{"id": 1, "objects": []}]')
    with pytest.raises(TriscopeError, match=r"record 0: found fields \['id', 'objects'\]; expected .*'regions'"):
        list(VisualGenomeRegions(tmp_path / "regions.json", (tmp_path,)).pictures())
