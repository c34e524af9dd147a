"""Shards: WebDataset tars of samples, with an index beside them. No torch here.

    FOLDER/index.json                 per shard: file, samples, bytes, sha256; counts of the whole set
    FOLDER/shard-000000.tar           KEY.json KEY.0.jpg KEY.1.jpg ... of one sample after the other, uncompressed
    FOLDER/shard-000000.index.json    where each sample starts in that tar, and where the last one ends

The summary alone says how many samples each shard has, so skipping a million samples opens no tar; a sample's bytes are
found with one seek through its shard's own index. Tars may come from strangers: entries are regular files named by key
and known suffix, of bounded size, and are never unpacked to disk.
"""

import hashlib
import io
import itertools
import re
import tarfile
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import BinaryIO

from triscope.data.errors import BadSampleError, BadShardError
from triscope.data.folder import LocalFolder
from triscope.data.remote import RemoteFolder, ShardCache, is_remote
from triscope.data.sample import Sample
from triscope.data.shard_index import (
    INDEX_FILE,
    INDEX_SCHEMA,
    MAX_SAMPLE_BYTES,
    Counts,
    Shard,
    how_to_index,
    offsets_file,
    parse_offsets,
    parse_summary,
)

MAX_ENTRY_BYTES = 64 * 2**20  # no photo or annotation is larger; a header that says so is broken or hostile
_ENTRY = re.compile(r"([A-Za-z0-9_\-]+)\.(json|txt|\d+\.(?:jpg|jpeg|png|webp))")
_END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True, slots=True)
class RawSample:
    """A sample as it lies in its shard, nothing parsed or decoded.

    Args:
        key: of the sample.
        json: content of `KEY.json`.
        images: encoded pictures by their name in the shard without the key, such as `0.jpg`.
        where: shard and key, for messages.
    """

    key: str
    json: bytes
    images: dict[str, bytes]
    where: str

    def parse(self) -> tuple[Sample, list[bytes]]:
        """The checked sample and its encoded pictures, in the order of `Sample.images`.

        Raises:
            BadSampleError: no or bad record, another key in it, or pictures that differ from those it names.
        """
        sample = Sample.from_json(self.json, self.where)
        problem = next(self.problems(sample), None)
        if problem is not None:
            raise problem
        return sample, [self.images[image.file] for image in sample.images]

    def problems(self, sample: Sample) -> Iterator[BadSampleError]:
        """Where the shard's entries and the record in them disagree."""
        if sample.key != self.key:
            found = f"key {sample.key!r} in the record"
            yield BadSampleError(self.where, found, "the key of the entry's name", "convert the data again")
        files = [image.file for image in sample.images]
        if sorted(files) != sorted(self.images):
            yield BadSampleError(
                f"{self.where}, images",
                f"pictures {sorted(self.images)} in the shard",
                f"{sorted(files)}, as the record says",
                "put in the missing picture, or convert the data again",
            )


@dataclass(frozen=True)
class ShardSet:
    """A folder of shards, opened by its index.

        shards = ShardSet.open("data/captions")
        for raw in shards.read(shard=3, numbers=[7, 2]):
            sample, images = raw.parse()

    Args:
        folder: where the shards lie.
        shards: in order; a position is (number of the shard, number of the sample in it), both from 0.
        counts: of the whole set.
    """

    folder: LocalFolder | RemoteFolder
    shards: tuple[Shard, ...]
    counts: Counts

    @classmethod
    def open(cls, folder: Path | str, cache: ShardCache = ShardCache()) -> "ShardSet":  # noqa: B008  (frozen)
        """Open a set by its index; opens no tar.

        Args:
            folder: of this machine, or an address that fsspec knows: `https://`, `s3://`, `gs://`, `hf://`.
            cache: where shards of an address are kept.

        Raises:
            BadShardError: no index, another schema or impossible numbers, a local shard that is missing or of another size
                than indexed, or a remote one that is larger than the cache.
        """
        opened: LocalFolder | RemoteFolder
        if is_remote(folder):
            opened, content = RemoteFolder.of(str(folder), INDEX_FILE, cache)
        else:
            opened = LocalFolder(Path(folder))
            content = opened.read(INDEX_FILE)
        shards, counts = parse_summary(content, str(opened))
        for shard in shards:
            opened.check(shard.file, shard.bytes)
        return cls(opened, shards, counts)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the set's content: the same samples in the same shards, wherever the folder lies."""
        digests = "\n".join(shard.sha256 for shard in self.shards)
        return hashlib.sha256(f"{INDEX_SCHEMA}\n{digests}".encode()).hexdigest()

    def __len__(self) -> int:
        """How many samples the set holds."""
        return self.counts.samples

    def __iter__(self) -> Iterator[RawSample]:
        """Every sample, in order, read from end to end."""
        return itertools.chain.from_iterable(self._scan(shard) for shard in self.shards)

    def read(self, shard: int, numbers: Iterable[int] | None = None) -> Iterator[RawSample]:
        """Samples of one shard, each found with one seek.

        Args:
            shard: number of the shard.
            numbers: of samples in it, read in the order given; all of them if None.

        Raises:
            BadShardError: the shard or its index is missing or damaged.
            IndexError: no sample of that number.
        """
        where = f"{self.folder}/{self.shards[shard].file}"
        offsets = _offsets(self.folder, self.shards[shard])
        with _opened(self.folder, self.shards[shard]) as file:
            for number in range(len(offsets) - 1) if numbers is None else numbers:
                if not 0 <= number < len(offsets) - 1:
                    raise IndexError(f"{where}: sample {number} asked for, 0 to {len(offsets) - 2} there")
                start, end = offsets[number], offsets[number + 1]
                place = f"{where}, byte {start}"
                if end - start > MAX_SAMPLE_BYTES:
                    raise BadShardError(place, f"a sample of {end - start} bytes", f"at most {MAX_SAMPLE_BYTES}", "leave it out")
                file.seek(start)
                raw, _ = next(tar_samples(io.BytesIO(file.read(end - start)), where), (None, 0))
                if raw is None:
                    raise BadShardError(place, "no entry", "a sample", how_to_index(str(self.folder)))
                yield raw

    def _scan(self, shard: Shard) -> Iterator[RawSample]:
        with _opened(self.folder, shard) as file:
            for raw, _ in tar_samples(file, f"{self.folder}/{shard.file}", complete=True):
                yield raw


def scan(path: Path) -> Iterator[RawSample]:
    """Every sample of a tar from end to end, without an index.

    Raises:
        BadShardError: the tar is damaged or cut short, or an entry is not one of a shard.
    """
    with open(path, "rb") as file:
        for raw, _ in tar_samples(file, str(path), complete=True):
            yield raw


def tar_samples(file: BinaryIO, where: str, complete: bool = False) -> Iterator[tuple[RawSample, int]]:
    """Group consecutive entries of one key; yields the sample and the byte where it ends."""
    for key, group in itertools.groupby(_entries(file, where, complete), key=lambda entry: entry[0]):
        files: dict[str, bytes] = {}
        end = 0
        for _, suffix, content, end in group:  # noqa: B007, the last end is the sample's
            if suffix in files:
                raise BadShardError(f"{where}, key {key!r}", f"two entries {suffix}", "one", "convert the data again")
            files[suffix] = content
        record = files.pop("json", b"")
        files.pop("txt", None)
        yield RawSample(key, record, files, f"{where}, key {key!r}"), end


def _entries(file: BinaryIO, where: str, complete: bool) -> Iterator[tuple[str, str, bytes, int]]:
    """Key, suffix, content and end of each entry of a tar, or of a span of one if not `complete`."""
    end = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for entry in tar:
                key, suffix = _check_entry(entry, where)
                content = tar.extractfile(entry)
                assert content is not None  # _check_entry lets only regular files pass
                blocks = -(-entry.size // tarfile.BLOCKSIZE)
                end = entry.offset_data + blocks * tarfile.BLOCKSIZE
                yield key, suffix, content.read(), end
    except (tarfile.TarError, OSError) as error:
        raise BadShardError(where, f"a damaged tar ({error})", "a whole one", "copy or convert it again") from None
    if complete:
        file.seek(end)
        if file.read(len(_END_OF_TAR)) != _END_OF_TAR:
            raise BadShardError(where, f"a tar cut short after byte {end}", "a whole one", "copy or convert it again")


def _check_entry(entry: tarfile.TarInfo, where: str) -> tuple[str, str]:
    name = _ENTRY.fullmatch(entry.name)
    if name is None or not entry.isreg():
        raise BadShardError(
            where,
            f"entry {entry.name!r}" + ("" if entry.isreg() else " that is not a regular file"),
            "files KEY.json, KEY.txt and KEY.0.jpg (or .jpeg, .png, .webp), without folders",
            "take it out of the tar",
        )
    if entry.size > MAX_ENTRY_BYTES:
        place = f"{where}, entry {entry.name}"
        raise BadShardError(place, f"{entry.size} bytes", f"at most {MAX_ENTRY_BYTES}", "take it out of the tar")
    return name[1], name[2]


def _opened(folder: LocalFolder | RemoteFolder, shard: Shard) -> BinaryIO:
    return folder.open(shard.file, shard.bytes, shard.sha256)


@lru_cache(maxsize=64)
def _offsets(folder: LocalFolder | RemoteFolder, shard: Shard) -> array:
    """Where each sample of a shard starts, and where the last one ends."""
    return parse_offsets(folder.read(offsets_file(shard.file)), shard, str(folder))
