"""Public data to shards: pictures in, samples out, and a report of what was left out and why."""

from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from data_pipelines.make_shards import Made, make_shards
from data_pipelines.report import Budget, Report
from data_pipelines.sources.source import Entry, Source, convert_entry
from triscope.data.errors import TriscopeError
from triscope.version import __version__


def convert(
    source: Source,
    folder: Path,
    workers: int = 1,
    budget: Budget = Budget(),  # noqa: B008, it is frozen
    samples_per_shard: int = 1000,
    seed: int = 0,
) -> Report:
    """Convert a data set to shards; the same source and seed give the same bytes with any number of workers.

    A conversion that was stopped goes on when it is started again: finished shards are not made twice.

    Args:
        source: what to read.
        folder: where to write: absent, empty, or left unfinished by the same conversion. `report.json` is put there too.
        workers: processes that read pictures.
        budget: how many faults of the data are tolerated before it stops.
        samples_per_shard: how many of the source's entries a shard is made of.
        seed: of the wordings.

    Returns:
        what was read, written and dropped.

    Raises:
        TriscopeError: files are missing or have another layout, the folder holds something else, more faults than the
            budget allows, or nothing to write.
    """
    settings = {"source": source.name, "version": __version__, "seed": seed} | _inputs(source)
    make = partial(_convert_entries, source, seed)
    return make_shards(source.name, make, _entries(source), folder, settings, workers, samples_per_shard, budget)


def _entries(source: Source) -> Iterator[Entry]:
    """A source's entries; what breaks while they are listed is a file of another layout, and told as such."""
    try:
        yield from source.entries()
    except TriscopeError:
        raise
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        found, expected = f"a record with {type(error).__name__} {error}", "annotations in their published layout"
        raise TriscopeError(source.name, found, expected, "check which files these are") from error


def _convert_entries(source: Source, seed: int, entries: list[Entry]) -> Iterator[Made]:
    return (convert_entry(source, seed, entry) for entry in entries)


def _inputs(source: Source) -> dict[str, Any]:
    """A source's arguments; of a file also size and time, so that another one of its name is not taken for it."""
    return {entry.name: _identity(getattr(source, entry.name)) for entry in fields(source)}


def _identity(value: Any) -> Any:
    if isinstance(value, Path):
        stat = value.stat() if value.is_file() else None
        return [str(value.resolve()), *([] if stat is None else [stat.st_size, stat.st_mtime_ns])]
    return [_identity(item) for item in value] if isinstance(value, tuple) else value
