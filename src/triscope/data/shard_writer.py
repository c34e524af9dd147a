"""Writing shards: each appears under its name when it is complete, and the same samples give the same bytes."""

import io
import json
import os
import re
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from triscope.data.errors import BadSampleError, BadShardError
from triscope.data.folder import PART_SUFFIX, sha256_of, write_whole
from triscope.data.sample import Sample
from triscope.data.shard_index import INDEX_FILE, INDEX_SCHEMA, Counts, Shard, offsets_file
from triscope.data.shards import MAX_ENTRY_BYTES, ShardSet, tar_samples

MAX_KEY_CHARACTERS = 80  # an entry's name must fit the 100 characters of a USTAR header
_IMAGE = re.compile(r"(\d+)\.(?:jpg|jpeg|png|webp)")


class ShardFile:
    """One shard while it is written. It appears under its name, with its index, when it is complete.

    The same samples give the same bytes.

    Args:
        path: of the tar to be.
        keys: of samples that were written before; those of this shard are added.
    """

    def __init__(self, path: Path, keys: set[str] | None = None) -> None:
        self.path = path
        self.counts = Counts()
        self._keys = set() if keys is None else keys
        self._part = path.with_name(f".{path.name}.{os.getpid()}{PART_SUFFIX}")  # no other process writes the same file
        self._tar = tarfile.open(self._part, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        self._offsets: list[int] = []

    def write(self, sample: Sample, images: Sequence[bytes]) -> None:
        """Append a sample.

        Args:
            sample: checked here.
            images: encoded pictures, one for each of `sample.images`.

        Raises:
            BadSampleError: the sample is unusable, its key was written before, or the pictures differ from its record.
        """
        where = f"{self.path.parent}, key {sample.key!r}"
        sample.check(where)
        if sample.key in self._keys:
            raise BadSampleError(where, "a key that was written before", "unique keys", "name samples by their ids")
        _check_entries(sample, images, where)
        self._offsets.append(self._tar.offset)
        _add(self._tar, f"{sample.key}.json", sample.to_json().encode())
        for image, content in zip(sample.images, images, strict=True):
            _add(self._tar, f"{sample.key}.{image.file}", content)
        self._keys.add(sample.key)
        self.counts.add(sample)

    def finish(self) -> Shard:
        """Complete the shard and write the index beside it."""
        offsets = [*self._offsets, self._tar.offset]
        self._tar.close()
        os.replace(self._part, self.path)
        return _index_shard(self.path, offsets)

    def abandon(self) -> None:
        """Leave nothing of the shard behind."""
        self._tar.close()
        self._part.unlink(missing_ok=True)


class ShardWriter:
    """Writes samples to shards and, when all went well, the set's index.

    A shard appears under its name when it is complete; the set counts as complete when `index.json` is there. The same
    samples give the same bytes.

        with ShardWriter("data/captions") as writer:
            writer.write(sample, [jpeg_bytes])

    Args:
        folder: made if absent; must be empty.
        samples_per_shard: the last shard may hold fewer.

    Raises:
        BadShardError: the folder has files in it.
    """

    def __init__(self, folder: Path | str, samples_per_shard: int = 1000) -> None:
        self.folder = Path(folder)
        self.samples_per_shard = samples_per_shard
        self.counts = Counts()
        self.folder.mkdir(parents=True, exist_ok=True)
        if any(self.folder.iterdir()):
            raise BadShardError(str(self.folder), "files", "an empty folder", "name another folder or empty this one")
        self._shards: list[Shard] = []
        self._keys: set[str] = set()
        self._file: ShardFile | None = None

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        elif self._file is not None:
            self._file.abandon()

    def write(self, sample: Sample, images: Sequence[bytes]) -> None:
        """Append a sample to the shard that is being written; arguments and errors are those of `ShardFile.write`."""
        if self._file is None:
            self._file = ShardFile(self.folder / shard_name(len(self._shards)), self._keys)
        self._file.write(sample, images)
        if self._file.counts.samples == self.samples_per_shard:
            self._finish_shard()

    def close(self) -> None:
        """Finish the last shard and write the index."""
        if self._file is not None and self._file.counts.samples:
            self._finish_shard()
        elif self._file is not None:
            self._file.abandon()
        write_summary(self.folder, self._shards, self.counts)

    def _finish_shard(self) -> None:
        assert self._file is not None
        self._shards.append(self._file.finish())
        self.counts.merge(self._file.counts)
        self._file = None


def shard_name(number: int) -> str:
    """Name of a set's shard, counted from 0."""
    return f"shard-{number:06d}.tar"


def write_shard(path: Path, samples: Iterable[tuple[Sample, Sequence[bytes]]]) -> Shard:
    """Write one shard of a set and the offsets beside it; the set's index is left to `write_summary`.

    Args:
        path: of the tar; it appears there when it is complete.
        samples: with the encoded pictures of each.

    Raises:
        BadSampleError: a sample is unusable, or its pictures differ from its record.
    """
    shard = ShardFile(path)
    try:
        for sample, images in samples:
            shard.write(sample, images)
        return shard.finish()
    except BaseException:
        shard.abandon()
        raise


def written_shard(path: Path) -> Shard | None:
    """A shard that `write_shard` has finished, or None if it has not."""
    beside = path.with_name(offsets_file(path.name))
    if not path.is_file() or not beside.is_file():
        return None
    samples = len(json.loads(beside.read_bytes())["offsets"]) - 1
    return Shard(path.name, samples, path.stat().st_size, sha256_of(path))


def index_folder(folder: Path | str) -> ShardSet:
    """Read all tars of a folder once and write their indexes.

    For shards in the layout above that came without an index or were written with other tools.

    Raises:
        BadShardError: no tar there, or a damaged one.
        BadSampleError: an unusable sample, or a key that occurs twice.
    """
    folder = Path(folder)
    paths = sorted(folder.glob("*.tar"))
    if not paths:
        raise BadShardError(str(folder), "no .tar file", "shards", "write them with `python -m data_pipelines convert`")
    counts, keys, shards = Counts(), set[str](), []
    for path in paths:
        offsets = [0]
        with open(path, "rb") as file:
            for raw, end in tar_samples(file, str(path), complete=True):
                sample, _ = raw.parse()
                if sample.key in keys:
                    raise BadSampleError(raw.where, "a key that occurs twice", "unique keys", "convert the data again")
                keys.add(sample.key)
                counts.add(sample)
                offsets.append(end)
        shards.append(_index_shard(path, offsets))
    write_summary(folder, shards, counts)
    return ShardSet.open(folder)


def write_summary(folder: Path, shards: Sequence[Shard], counts: Counts) -> None:
    """Write the set's index: the set is complete."""
    index = {"schema": INDEX_SCHEMA, **vars(counts), "shards": [asdict(shard) for shard in shards]}
    write_whole(folder / INDEX_FILE, json.dumps(index, indent=1))


def _index_shard(path: Path, offsets: list[int]) -> Shard:
    """Write the offsets of a shard beside it and sum it up."""
    index = {"schema": INDEX_SCHEMA, "offsets": offsets}
    write_whole(path.with_suffix(".index.json"), json.dumps(index, separators=(",", ":")))
    return Shard(path.name, len(offsets) - 1, path.stat().st_size, sha256_of(path))


def _check_entries(sample: Sample, images: Sequence[bytes], where: str) -> None:
    if len(sample.key) > MAX_KEY_CHARACTERS:
        raise BadSampleError(where, f"{len(sample.key)} characters", f"at most {MAX_KEY_CHARACTERS}", "shorten the key")
    if len(images) != len(sample.images):
        raise BadSampleError(
            f"{where}, images", f"{len(images)} picture(s)", f"{len(sample.images)}, as the record says", "pass all"
        )
    for index, (image, content) in enumerate(zip(sample.images, images, strict=True)):
        name = _IMAGE.fullmatch(image.file)
        if name is None or int(name[1]) != index:
            expected = f"{index}.jpg, .jpeg, .png or .webp"
            raise BadSampleError(f"{where}, images[{index}].file", repr(image.file), expected, "rename it")
        if not 0 < len(content) <= MAX_ENTRY_BYTES:
            raise BadSampleError(f"{where}, images[{index}]", f"{len(content)} bytes", f"1 to {MAX_ENTRY_BYTES}", "leave it out")


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)  # mtime, uid and gid are 0: the same samples give the same bytes
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
