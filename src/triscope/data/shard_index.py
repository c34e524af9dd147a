"""What the index of a shard set says: which shards there are, what they hold, and where each sample starts. No torch here.

An index may come from strangers and is checked before anything is read or reserved by its numbers.
"""

import json
import tarfile
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from triscope.data.errors import BadShardError
from triscope.data.sample import Sample

INDEX_SCHEMA = 1
INDEX_FILE = "index.json"
MIN_SAMPLE_BYTES = 2 * tarfile.BLOCKSIZE  # the header and the content of its record
MAX_SAMPLE_BYTES = 2**30  # is read at once
MAX_SHARD_SAMPLES = 10**6  # are shuffled in memory, some shards together
MAX_SET_SAMPLES = 10**8  # are planned in memory, an epoch at a time


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar of a set.

    Args:
        file: its name in the folder.
        samples: how many it holds.
        bytes: its size.
        sha256: of its content.
    """

    file: str
    samples: int
    bytes: int
    sha256: str


@dataclass
class Counts:
    """What a set holds: samples and images, conversations by task and level, samples by source."""

    samples: int = 0
    images: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def add(self, sample: Sample) -> None:
        """Count a sample."""
        self.samples += 1
        self.images += len(sample.images)
        self.tasks.update(conversation.task for conversation in sample.conversations)
        self.levels.update(str(conversation.level) for conversation in sample.conversations)
        self.sources[sample.source] += 1

    def merge(self, other: "Counts") -> None:
        """Add what another shard holds."""
        self.samples += other.samples
        self.images += other.images
        self.tasks.update(other.tasks)
        self.levels.update(other.levels)
        self.sources.update(other.sources)


def parse_summary(content: bytes, folder: str) -> tuple[tuple[Shard, ...], Counts]:
    """Shards and counts of a set, from its `index.json`.

    Raises:
        BadShardError: not an index, of another schema, or with impossible numbers.
    """
    where = f"{folder}/{INDEX_FILE}"
    index = _parse(content, where, folder)
    try:
        shards = tuple(Shard(**record) for record in index["shards"])
        counts = Counts(
            samples=index["samples"],
            images=index["images"],
            tasks=Counter(index["tasks"]),
            levels=Counter(index["levels"]),
            sources=Counter(index["sources"]),
        )
    except (KeyError, TypeError) as error:
        raise BadShardError(where, f"{type(error).__name__} {error}", "the fields of an index", how_to_index(folder)) from None
    for shard in shards:
        _check(shard, where, folder)
    total = sum(shard.samples for shard in shards)
    if counts.samples != total:
        raise BadShardError(where, f"{counts.samples} samples in all", f"the sum of the shards', {total}", how_to_index(folder))
    if total > MAX_SET_SAMPLES:
        remedy = "divide it into several sets"
        raise BadShardError(f"{where}, samples", f"{total}", f"at most {MAX_SET_SAMPLES}", remedy)
    return shards, counts


def parse_offsets(content: bytes, shard: Shard, folder: str) -> array:
    """Where each sample of a shard starts, and where the last one ends, from the index beside it.

    Raises:
        BadShardError: not an index, of another schema, or offsets that do not fit the shard.
    """
    where = f"{folder}/{offsets_file(shard.file)}"
    offsets = _parse(content, where, folder).get("offsets")
    if (
        not isinstance(offsets, list)
        or not all(type(offset) is int for offset in offsets)
        or len(offsets) != shard.samples + 1
        or offsets != sorted(set(offsets))
        or offsets[0] != 0
        or offsets[-1] > shard.bytes
    ):
        expected = f"{shard.samples + 1} ascending offsets"
        raise BadShardError(where, "offsets that do not fit the shard", expected, how_to_index(folder))
    return array("q", offsets)


def offsets_file(shard_file: str) -> str:
    """Name of the index beside a shard."""
    return Path(shard_file).stem + ".index.json"


def how_to_index(folder: str) -> str:
    """What to do about an index that is missing or does not fit."""
    return f"make it with `python -m data_pipelines index {folder}`; a conversion that was cut off has to be run again"


def _parse(content: bytes, where: str, folder: str) -> dict:
    try:
        index = json.loads(content)
    except ValueError as error:
        raise BadShardError(where, f"text that is not JSON ({error})", "an index", how_to_index(folder)) from None
    schema = index.get("schema") if isinstance(index, dict) else None
    if schema != INDEX_SCHEMA:
        raise BadShardError(where, f"schema {schema}", f"schema {INDEX_SCHEMA}", how_to_index(folder))
    return index


def _check(shard: Shard, where: str, folder: str) -> None:
    if not isinstance(shard.file, str) or Path(shard.file).name != shard.file or Path(shard.file).suffix != ".tar":
        raise BadShardError(f"{where}, file", repr(shard.file), "the name of a .tar in the folder", how_to_index(folder))
    numbers = type(shard.samples) is int and type(shard.bytes) is int
    most = shard.samples * MAX_SAMPLE_BYTES + tarfile.RECORDSIZE if numbers else 0  # a tar is filled up to a whole record
    if not numbers or not 0 <= shard.samples * MIN_SAMPLE_BYTES <= shard.bytes <= most:
        raise BadShardError(
            f"{where}, shard {shard.file}",
            f"{shard.samples!r} samples in {shard.bytes!r} bytes",
            f"{MIN_SAMPLE_BYTES} to {MAX_SAMPLE_BYTES} bytes a sample",
            how_to_index(folder),
        )
    if shard.samples > MAX_SHARD_SAMPLES:
        remedy = "convert the data again with fewer samples a shard (--samples_per_shard)"
        raise BadShardError(f"{where}, shard {shard.file}, samples", f"{shard.samples}", f"at most {MAX_SHARD_SAMPLES}", remedy)
