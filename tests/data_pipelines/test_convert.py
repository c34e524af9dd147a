"""A conversion depends on its source and seed alone, keeps to its error budget, and reports what it left out."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from data_pipelines.convert import convert
from data_pipelines.sources.source import Draft, Picture, Source
from tests.data_pipelines.made_up import picture
from triscope.data.errors import BadShardError, TriscopeError
from triscope.data.sample import Level
from triscope.data.shards import ShardSet


@dataclass(frozen=True)
class MadeUp(Source):
    """Pictures of which each third is missing."""

    name = "made_up"
    folder: Path
    count: int = 9

    def pictures(self) -> Iterator[Picture]:
        for number in range(self.count):
            path = self.folder / f"{number}.jpg"
            if number % 3 < 2:
                path.write_bytes(picture())
            yield Picture(f"made-{number}", path, (f"number {number}",))

    def ask(self, picture: Picture, draft: Draft) -> None:
        draft.ask("caption", Level.IMAGE, picture.records)
        draft.drop("second_caption", "the other one")


@pytest.fixture
def source(tmp_path: Path) -> MadeUp:
    (tmp_path / "photos").mkdir()
    return MadeUp(tmp_path / "photos")


def test_the_number_of_processes_changes_no_byte(source: MadeUp, tmp_path: Path) -> None:
    for workers in (1, 2):
        convert(source, tmp_path / str(workers), workers=workers, samples_per_shard=4)
    convert(source, tmp_path / "other", seed=1)
    files = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert files == ["index.json", "report.json", *(f"shard-00000{n}.{end}" for n in (0, 1) for end in ("index.json", "tar"))]
    assert all((tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes() for name in files)
    assert ShardSet.open(tmp_path / "1").fingerprint != ShardSet.open(tmp_path / "other").fingerprint


def test_everything_left_out_is_reported_with_examples(source: MadeUp, tmp_path: Path) -> None:
    report = convert(source, tmp_path / "out")
    assert (report.pictures_read, report.samples_written, report.bad_samples) == (9, 6, 3)
    assert report.dropped == {"second_caption": 6, "picture_missing": 3}
    assert "made-2" in report.examples["picture_missing"][0]
    assert "3  picture_missing\n            such as made-2, " in report.text()
    assert json.loads((tmp_path / "out" / "report.json").read_text())["dropped"] == report.dropped


def test_more_faults_than_the_budget_stop_the_conversion(source: MadeUp, tmp_path: Path) -> None:
    convert(source, tmp_path / "enough", bad_samples=3)
    with pytest.raises(TriscopeError, match=r"made-8, .*picture_missing, the 3\. picture lost.*--bad_samples"):
        convert(source, tmp_path / "out", bad_samples=2)
    with pytest.raises(BadShardError, match="index"):
        ShardSet.open(tmp_path / "out")


def test_a_folder_with_files_is_refused_before_anything_is_read(source: MadeUp, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(BadShardError, match="empty folder"):
        convert(source, tmp_path / "out")


def test_nothing_to_write_is_an_error(source: MadeUp, tmp_path: Path) -> None:
    with pytest.raises(TriscopeError, match="nothing to write"):
        convert(MadeUp(source.folder, count=0), tmp_path / "out")
