"""A conversion depends on its source and seed alone, goes on where it was stopped, keeps to its error budget, and reports
what it left out.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from data_pipelines.convert import convert
from data_pipelines.report import Budget
from data_pipelines.sources.source import Draft, Entry, Picture, Source
from tests.conftest import REPOSITORY
from tests.data_pipelines.made_up import picture
from triscope.data.errors import BadSampleError, BadShardError, TriscopeError
from triscope.data.sample import Level
from triscope.data.shards import ShardSet


@dataclass(frozen=True)
class MadeUp(Source):
    """Pictures of which each third is missing."""

    name = "made_up"
    folder: Path
    count: int = 9

    def entries(self) -> Iterator[Entry]:
        for number in range(self.count):
            path = self.folder / f"{number}.jpg"
            if number % 3 < 2:
                path.write_bytes(picture())
            yield Entry(f"made-{number}", (Picture(path),), (f"number {number}",))

    def ask(self, entry: Entry, draft: Draft) -> None:
        draft.ask("caption", Level.IMAGE, entry.records)
        draft.drop("second_caption", "the other one")


class Failing(MadeUp):
    """Its power fails at the seventh picture."""

    def ask(self, entry: Entry, draft: Draft) -> None:
        if entry.key == "made-6":
            raise KeyboardInterrupt
        super().ask(entry, draft)


class Slow(MadeUp):
    """Takes a while, and notes for each entry which process worked on it."""

    def ask(self, entry: Entry, draft: Draft) -> None:
        time.sleep(0.02)
        with open(self.folder / "asked.txt", "a") as file:
            file.write(f"{os.getpid()}\n")
        super().ask(entry, draft)


class Repeated(MadeUp):
    """Two pictures of one key."""

    def entries(self) -> Iterator[Entry]:
        entries = list(super().entries())
        yield from (*entries[:5], entries[0], *entries[6:])


class Faulty(MadeUp):
    """Two of its annotations are faulty."""

    def ask(self, entry: Entry, draft: Draft) -> None:
        super().ask(entry, draft)
        if entry.key in ("made-1", "made-7"):
            draft.fault("object_missing", "object 5")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def runs(process: str) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_number_of_processes_changes_no_byte(photos: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        convert(MadeUp(photos), tmp_path / str(workers), workers=workers, samples_per_shard=4)
    convert(MadeUp(photos), tmp_path / "other", seed=1)
    files = contents(tmp_path / "1")
    assert [*files] == ["index.json", "report.json", *(f"shard-00000{n}.{end}" for n in (0, 1) for end in ("index.json", "tar"))]
    assert contents(tmp_path / "2") == files
    assert ShardSet.open(tmp_path / "1").fingerprint != ShardSet.open(tmp_path / "other").fingerprint


def test_everything_left_out_is_reported_with_examples(photos: Path, tmp_path: Path) -> None:
    report = convert(MadeUp(photos), tmp_path / "out", samples_per_shard=2)
    assert (report.samples_read, report.records_read, report.samples_written, report.bad_samples) == (9, 9, 6, 3)
    assert report.dropped == {"second_caption": 6, "picture_missing": 3}
    assert [example[:7] for example in report.examples["picture_missing"]] == ["made-2,", "made-5,", "made-8,"]
    assert "3  picture_missing\n            such as made-2, " in report.text()
    assert json.loads((tmp_path / "out" / "report.json").read_text())["dropped"] == report.dropped


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stopped_conversion_goes_on_with_what_is_not_finished(photos: Path, tmp_path: Path, workers: int) -> None:
    convert(MadeUp(photos), tmp_path / "undisturbed", samples_per_shard=2)
    with pytest.raises(KeyboardInterrupt):
        convert(Failing(photos), tmp_path / "out", samples_per_shard=2)
    with pytest.raises(BadShardError, match="index"):
        ShardSet.open(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tar")) == [f"shard-00000{number}.tar" for number in range(3)]
    assert not list((tmp_path / "out").glob(".*.part"))
    first = (tmp_path / "out" / "shard-000000.tar").stat().st_mtime_ns
    convert(MadeUp(photos), tmp_path / "out", workers=workers, samples_per_shard=2)
    assert (tmp_path / "out" / "shard-000000.tar").stat().st_mtime_ns == first
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def test_a_conversion_that_was_killed_goes_on(photos: Path, tmp_path: Path) -> None:
    convert(Slow(photos, count=30), tmp_path / "undisturbed", samples_per_shard=3)
    (photos / "asked.txt").unlink()
    out = tmp_path / "out"
    script = (
        "from pathlib import Path; from tests.data_pipelines.test_convert import *;"
        f"convert(Slow(Path({str(photos)!r}), count=30), Path({str(out)!r}), workers=2, samples_per_shard=3)"
    )
    search = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "src")])
    process = subprocess.Popen([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": search})
    deadline = time.monotonic() + 300
    while not (out / "shard-000001.tar").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    asked = (photos / "asked.txt").read_text().split()
    while any(map(runs, asked)) and time.monotonic() < deadline:
        time.sleep(0.05)  # until the workers have seen that their parent is gone
    asked = (photos / "asked.txt").read_text().split()
    assert not (out / "index.json").exists()
    finished = len(list((out / ".unfinished").glob("0*.json")))
    (photos / "asked.txt").unlink()
    convert(Slow(photos, count=30), out, samples_per_shard=3)
    again = len((photos / "asked.txt").read_text().split())
    assert 0 < len(asked) < 20 and finished >= 1
    assert again == 20 - 2 * finished
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_unfinished_work_of_other_settings_is_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        convert(Failing(photos), tmp_path / "out", samples_per_shard=2)
    with pytest.raises(BadShardError, match="unfinished work with other seed"):
        convert(MadeUp(photos), tmp_path / "out", samples_per_shard=2, seed=1)
    with pytest.raises(BadShardError, match="unfinished work with other count, samples_per_shard"):
        convert(MadeUp(photos, count=8), tmp_path / "out", samples_per_shard=3)


def test_more_lost_samples_than_the_budget_stop_the_conversion(photos: Path, tmp_path: Path) -> None:
    convert(MadeUp(photos), tmp_path / "enough", budget=Budget(bad_samples=3), samples_per_shard=2)
    with pytest.raises(TriscopeError, match=r"made-8, .*picture_missing, the 3\. sample lost.*--bad_samples"):
        convert(MadeUp(photos), tmp_path / "out", budget=Budget(bad_samples=2), samples_per_shard=2)
    with pytest.raises(BadShardError, match="index"):
        ShardSet.open(tmp_path / "out")
    convert(MadeUp(photos), tmp_path / "out", budget=Budget(bad_samples=3), samples_per_shard=2)
    assert contents(tmp_path / "out") == contents(tmp_path / "enough")


@pytest.mark.parametrize("samples_per_shard", [1, 100])
def test_more_faulty_records_than_the_budget_stop_the_conversion(photos: Path, tmp_path: Path, samples_per_shard: int) -> None:
    report = convert(Faulty(photos), tmp_path / "enough", budget=Budget(bad_records=2))
    assert (report.bad_records, report.samples_written) == (2, 6)
    with pytest.raises(TriscopeError, match=r"made-7, object 5: found object_missing, the 2\. record lost[ ;].*--bad_records"):
        convert(Faulty(photos), tmp_path / "out", budget=Budget(bad_records=1), samples_per_shard=samples_per_shard)


@pytest.mark.parametrize(("samples_per_shard", "error"), [(2, BadShardError), (100, BadSampleError)])
def test_a_key_that_occurs_twice_is_refused(photos: Path, tmp_path: Path, samples_per_shard: int, error: type) -> None:
    with pytest.raises(error, match=r"made-0.*unique keys"):
        convert(Repeated(photos), tmp_path / "out", samples_per_shard=samples_per_shard)
    assert not (tmp_path / "out" / "index.json").exists()


def test_a_folder_with_files_is_refused_before_anything_is_read(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(BadShardError, match="empty folder"):
        convert(MadeUp(photos), tmp_path / "out")


class Absent(MadeUp):
    """None of its pictures is there."""

    def entries(self) -> Iterator[Entry]:
        for number in range(self.count):
            yield Entry(f"absent-{number}", (Picture(self.folder / f"absent-{number}.jpg"),), ())


def test_what_leaves_nothing_to_write_is_told_with_an_example_and_does_not_stand_in_the_way(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(TriscopeError, match=r"nothing to write; dropped: picture_missing 9, such as .*absent-0"):
        convert(Absent(photos), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    convert(MadeUp(photos), tmp_path / "out")


def test_nothing_to_write_is_an_error(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(TriscopeError, match="nothing to write"):
        convert(MadeUp(photos, count=0), tmp_path / "out")


class Unlike(MadeUp):
    """Its third record lacks a field."""

    def entries(self) -> Iterator[Entry]:
        for number, entry in enumerate(super().entries()):
            yield {0: entry, 1: entry}[number]


def test_a_record_of_another_layout_is_told(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(TriscopeError, match="made_up: found a record with KeyError 2; expected annotations in their published"):
        convert(Unlike(photos), tmp_path / "out")
