"""VSR: statements, true or false."""

import json
from pathlib import Path

import pytest

from data_pipelines.convert import convert
from data_pipelines.sources.vsr import Vsr
from tests.conftest import shared
from triscope.data.errors import TriscopeError
from triscope.data.shards import ShardSet


def test_statements_are_answered_yes_or_no_as_labelled(tmp_path: Path) -> None:
    folder = shared("coco_sample")
    path = folder / "annotations" / "vsr.jsonl"
    report = convert(Vsr(path, (folder / "images" / "train2017",)), tmp_path / "out")
    assert (report.samples_written, report.questions_written, dict(report.dropped)) == (15, {"statement": 26}, {})
    label = {record["caption"]: record["label"] for record in map(json.loads, path.read_text().splitlines())}
    for raw in ShardSet.open(tmp_path / "out"):
        for conversation in raw.parse()[0].conversations:
            (turn,) = conversation.turns
            statement = turn.prompt.split('"')[1]
            assert turn.answers == ("yes" if label[statement] else "no",)
            assert turn.candidates == ("yes", "no")


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "vsr.jsonl").write_text('{"image": "a.jpg"}\n{"image"\n')
    with pytest.raises(TriscopeError, match=r"vsr\.jsonl, line 2: found text that is not JSON"):
        list(Vsr(tmp_path / "vsr.jsonl", (tmp_path,)).entries())
