"""Items to shards, by processes: a shard is the unit of work, and a finished shard is never made again.

    FOLDER/.unfinished/settings.json       what is being made
    FOLDER/.unfinished/000012.json         shard 12 is finished: what it holds and what was left out of it
    FOLDER/shard-000012.tar, .index.json   the shard
    FOLDER/report.json, index.json         at the end; `.unfinished` is then removed

Shard k holds what became of the k-th thousand items. So its bytes depend on its items alone: not on the number of
processes, nor on how often the work was stopped and started again.
"""

import contextlib
import hashlib
import itertools
import json
import shutil
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from data_pipelines.engine import in_order
from data_pipelines.report import Budget, Drop, Fault, Report
from triscope.data.errors import BadShardError, TriscopeError
from triscope.data.folder import PART_SUFFIX, write_whole
from triscope.data.sample import Sample
from triscope.data.shard_index import Counts, Shard
from triscope.data.shard_writer import ShardFile, shard_name, write_summary
from triscope.data.shards import scan

REPORT_FILE = "report.json"
UNFINISHED = ".unfinished"

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Made:
    """What became of an item.

    Args:
        sample: none if there is nothing to write.
        images: its encoded pictures.
        drops: what was left out.
        records: how many annotation records the item held.
    """

    sample: Sample | None = None
    images: tuple[bytes, ...] = ()
    drops: tuple[Drop, ...] = ()
    records: int = 1

    @property
    def fault(self) -> Drop | None:
        """Why the sample was lost, if that is a fault of the data."""
        return next((drop for drop in self.drops if drop.fault == Fault.SAMPLE), None)


@dataclass
class Part:
    """A shard's share of the work.

    Args:
        report: of its items.
        shard: none if none of them became a sample.
        counts: what it holds.
        keys: a hash of each sample's key.
        faults: of the data, in order; no more than the budget allows.
    """

    report: Report
    shard: Shard | None = None
    counts: Counts = field(default_factory=Counts)
    keys: list[int] = field(default_factory=list)
    faults: list[Drop] = field(default_factory=list)


def make_shards(
    name: str,
    make: Callable[[list[Item]], Iterable[Made]],
    items: Iterable[Item],
    folder: Path,
    settings: dict[str, Any],
    workers: int = 1,
    samples_per_shard: int = 1000,
    budget: Budget = Budget(),  # noqa: B008, it is frozen
) -> Report:
    """Make samples of items and write them as a set of shards; goes on where an earlier run was stopped.

    Args:
        name: of what is made, for the report.
        make: what becomes of the items of a shard, one after the other; called in any process.
        items: in a fixed order; read in this process, as they are needed.
        folder: where to write: absent, empty, or left unfinished by a run of the same settings.
        settings: all that the samples depend on, as JSON.
        workers: processes that make samples.
        samples_per_shard: how many items a shard is made of.
        budget: how many faults of the data are tolerated.

    Returns:
        what was read, written and left out; it is put into the folder too.

    Raises:
        TriscopeError: more faults than the budget, nothing to write, or keys that occur twice.
        BadShardError: the folder holds something else.
    """
    items = iter(items)
    first = list(itertools.islice(items, 1))  # missing files are told before the folder is made
    journal = _Journal.open(folder, settings | {"samples_per_shard": samples_per_shard})
    report, counts, shards, keys = Report(name), Counts(), [], array("Q")
    chunks = _numbered(itertools.chain(first, items), samples_per_shard, journal)
    parts = in_order(partial(_make_shard, name, make, journal, budget), chunks, workers, chunk=1)
    with tqdm(desc=name, unit=" samples", disable=None) as progress:
        for part in parts:
            report.check(budget, part.faults)
            report.merge(part.report)
            counts.merge(part.counts)
            keys.extend(part.keys)
            shards += [] if part.shard is None else [part.shard]
            progress.update(part.report.samples_read)
    if not shards:
        journal.close()  # the mended annotations shall not be refused as other ones
        reasons = "; ".join(f"{reason} {count}, such as {report.examples[reason][0]}" for reason, count in report.dropped.items())
        found = f"nothing to write; dropped: {reasons or 'nothing'}"
        raise TriscopeError(name, found, "at least one sample", "check that annotations and pictures fit")
    _check_unique(keys, folder, shards)
    write_whole(folder / REPORT_FILE, json.dumps(vars(report), indent=1, ensure_ascii=False))
    write_summary(folder, shards, counts)
    journal.close()
    return report


@dataclass(frozen=True)
class _Journal:
    """Which shards of an unfinished set are finished."""

    folder: Path

    @classmethod
    def open(cls, folder: Path, settings: dict[str, Any]) -> "_Journal":
        """Begin, or go on with what was begun with the same settings."""
        path = folder / UNFINISHED / "settings.json"
        text = json.dumps(settings, indent=1, ensure_ascii=False)
        if path.is_file():
            begun = json.loads(path.read_text(encoding="utf-8"))
            if begun != json.loads(text):
                differing = [name for name in begun | settings if begun.get(name) != settings.get(name)]
                raise BadShardError(
                    str(folder),
                    f"unfinished work with other {', '.join(differing)}",
                    "the settings that it was begun with",
                    "name another folder or empty this one",
                )
            for left in folder.glob(f".*{PART_SUFFIX}"):
                left.unlink(missing_ok=True)
        else:
            if folder.is_dir() and any(entry.name != UNFINISHED for entry in folder.iterdir()):
                raise BadShardError(str(folder), "files", "an empty folder", "name another folder or empty this one")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text)
        return cls(folder)

    def finished(self, number: int) -> Part | None:
        """What a finished shard holds; none if it is still to be made."""
        path = self._path(number)
        if not path.is_file():
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        counts = content["counts"]
        part = Part(
            report=Report.from_json(content["report"]),
            shard=None if content["shard"] is None else Shard(**content["shard"]),
            counts=Counts(**counts | {name: Counter(counts[name]) for name in ("tasks", "levels", "sources")}),
            keys=content["keys"],
            faults=[Drop(**drop) for drop in content["faults"]],
        )
        if part.shard is not None:
            tar = self.folder / part.shard.file
            if not tar.is_file() or tar.stat().st_size != part.shard.bytes:
                return None
        return part

    def finish(self, number: int, part: Part) -> None:
        """Note that a shard is finished."""
        write_whole(self._path(number), json.dumps(vars(part), default=_fields, ensure_ascii=False))

    def close(self) -> None:
        """The set is complete, or there is none; a folder in which nothing was written is removed."""
        shutil.rmtree(self.folder / UNFINISHED)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _path(self, number: int) -> Path:
        return self.folder / UNFINISHED / f"{number:06d}.json"


def _numbered(items: Iterator[Item], count: int, journal: _Journal) -> Iterator[tuple[int, list[Item]]]:
    """Numbers of shards with their items; finished shards need none."""
    for number in itertools.count():
        chunk = list(itertools.islice(items, count))
        if not chunk:
            return
        yield number, [] if journal.finished(number) else chunk


def _make_shard(
    name: str, make: Callable[[list[Item]], Iterable[Made]], journal: _Journal, budget: Budget, numbered: tuple[int, list[Item]]
) -> Part:
    """Make and write a shard, unless it is finished or its faults alone exceed the budget."""
    number, items = numbered
    finished = journal.finished(number)
    if finished is not None:
        return finished
    part = Part(Report(name))
    file = ShardFile(journal.folder / shard_name(number))
    try:
        for made in make(items):
            _count(made, part)
            if made.sample is not None:
                file.write(made.sample, made.images)
                part.keys.append(_hash(made.sample.key))
            if part.report.bad_samples > budget.bad_samples or part.report.bad_records > budget.bad_records:
                return part
        if part.keys:
            part.counts, part.shard = file.counts, file.finish()
    finally:
        if part.shard is None:
            file.abandon()
    journal.finish(number, part)
    return part


def _count(made: Made, part: Part) -> None:
    part.report.samples_read += 1
    part.report.records_read += made.records
    for drop in made.drops:
        part.report.drop(drop)
    part.faults += [drop for drop in made.drops if drop.fault is not None]
    if made.sample is not None:
        part.report.samples_written += 1
        part.report.questions_written.update(conversation.task for conversation in made.sample.conversations)


def _fields(value: Any) -> dict[str, Any]:
    """A dataclass as a dict; `asdict` cannot copy the counters of some."""
    return vars(value) if isinstance(value, Report | Counts) else asdict(value)


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())


def _check_unique(keys: array, folder: Path, shards: list[Shard]) -> None:
    """Refuse keys that occur in two shards; eight bytes a sample are held for it."""
    hashes = np.frombuffer(keys, dtype=np.uint64)
    order = np.argsort(hashes, kind="stable")
    again = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
    if not len(again):
        return
    ends = np.cumsum([shard.samples for shard in shards])
    first, second = (folder / shards[np.searchsorted(ends, order[at], side="right")].file for at in (again[0], again[0] + 1))
    both = {raw.key for raw in scan(first)} & {raw.key for raw in scan(second)}
    if both:
        where, found = f"{first} and {second.name}", f"samples {sorted(both)} in both"
        raise BadShardError(where, found, "unique keys", "take repeated records out of the annotations")
