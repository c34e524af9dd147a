"""The command line: what it returns, and what it says about mistakes."""

from dataclasses import fields
from pathlib import Path

import pytest

from data_pipelines.__main__ import main
from data_pipelines.sources.catalogue import SOURCES
from data_pipelines.sources.source import Source
from tests.conftest import shared
from tests.data_pipelines.made_up import write_made_up
from triscope.data.shards import ShardSet


def test_public_data_is_converted_linted_described_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shared("coco_sample")
    out = str(tmp_path / "vqa")
    files = ["--annotations", str(folder / "annotations" / "vqa_v2_annotations.json")]
    files += ["--questions", str(folder / "annotations" / "vqa_v2_questions.json")]
    files += ["--images", str(folder / "images" / "train2017"), "--out", out]
    assert main(["convert", "vqa_v2", *files, "--workers", "1", "--samples_per_shard", "25"]) == 0
    assert "vqa_v2: 60 samples read (94 records), 60 written" in capsys.readouterr().out
    assert [shard.samples for shard in ShardSet.open(out).shards] == [25, 25, 10]
    assert main(["lint", out, "--workers", "1"]) == 0
    assert main(["info", out]) == 0
    assert "question" in capsys.readouterr().out
    assert main(["preview", out, "--out", str(tmp_path / "page.html"), "--count", "2"]) == 0
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_lint_says_by_its_exit_code_that_there_are_faults(tmp_path: Path) -> None:
    write_made_up(tmp_path / "set")
    (tmp_path / "set" / "index.json").unlink()
    report = tmp_path / "faults.md"
    assert main(["lint", str(tmp_path / "set"), "--out", str(report), "--workers", "1"]) == 1
    assert "no index.json" in report.read_text()
    assert main(["index", str(tmp_path / "set")]) == 0
    assert main(["lint", str(tmp_path / "set"), "--workers", "1"]) == 0


def test_a_mistake_is_told_in_a_line_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}: found no index.json; expected")
    assert main(["info", str(tmp_path / "nowhere")]) == 1
    assert "nowhere: found no such folder; expected a folder of shards" in capsys.readouterr().err
    files = ["--annotations", str(tmp_path / "none.json"), "--images", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["convert", "vsr", *files]) == 1
    assert "none.json: found no file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    write_made_up(tmp_path / "set")
    assert main(["preview", str(tmp_path / "set"), "--out", str(tmp_path / "new" / "page.html")]) == 0
    (tmp_path / "file").touch()
    assert main(["preview", str(tmp_path / "set"), "--out", str(tmp_path / "file" / "page.html")]) == 1
    assert f"error: {tmp_path}/file: found file exists; expected a path" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ("convert", "vsr", "--annotations", "a.json", "--images", "images"),
        ("scenes",),
        ("mmlink", "icons"),
        ("generate", "data/coco", "--model", "m"),
    ],
    ids=lambda command: command[0],
)
def test_shards_that_training_would_refuse_are_refused_before_they_are_made(tmp_path, monkeypatch, capsys, command) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main([*command, "--out", "out", "--samples_per_shard", "1000001"])
    assert "--samples_per_shard: 1000001 is more than the 1000000 samples that a shard may hold" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_unknown_source_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["convert", "imagenet"])
    message = capsys.readouterr().err
    assert all(source.name in message for source in SOURCES)


@pytest.mark.parametrize(
    "command", ["convert", "scenes", "mmlink", "generate", "lint", "info", "preview", "index", "tag", "retag", "calibrate"]
)
def test_every_command_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert f"python -m data_pipelines {command} " in capsys.readouterr().out


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_source_takes_its_files_as_arguments(source: type[Source], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["convert", source.name, "--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert f"python -m data_pipelines convert {source.name} --" in text
    assert all(f"--{argument.name}" in text for argument in fields(source))
