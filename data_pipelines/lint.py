"""Opens every sample of a shard set once and says what is wrong, where, and what to do."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PillowImage
from tqdm import tqdm

from data_pipelines.engine import in_order
from triscope.data.errors import BadSampleError, BadShardError, TriscopeError
from triscope.data.folder import sha256_of
from triscope.data.sample import Sample
from triscope.data.shards import RawSample, ShardSet, scan

MOST_LISTED = 1000  # more faults than this are one fault repeated


@dataclass(frozen=True)
class LintReport:
    """What was looked at and what was wrong with it.

    Args:
        folder: of the set.
        shards, samples: how many were read.
        faults: in reading order.
    """

    folder: Path
    shards: int
    samples: int
    faults: tuple[TriscopeError, ...]

    def text(self) -> str:
        """The report in Markdown."""
        lines = [
            f"# {self.folder}",
            "",
            f"{self.shards} shards, {self.samples} samples: {len(self.faults) or 'no'} fault(s).",
        ]
        if self.faults:
            lines.append("")
        for fault in self.faults[:MOST_LISTED]:
            lines += [
                f"- **{fault.where}**",
                f"  found {fault.found}; expected {fault.expected}. To do: {fault.remedy}.",
            ]
        if len(self.faults) > MOST_LISTED:
            lines.append(f"- and {len(self.faults) - MOST_LISTED} more")
        return "\n".join(lines) + "\n"


def lint(folder: Path, workers: int = 1) -> LintReport:
    """Check a folder of shards: the index, each record, each picture, and that keys are unique.

    Args:
        folder: of the shards; a missing or wrong index is a fault like others.
        workers: processes, one shard at a time each.

    Returns:
        every fault, named by file, key and field.

    Raises:
        BadShardError: there is no shard at all.
    """
    paths = sorted(folder.glob("*.tar"))
    if not paths:
        raise BadShardError(str(folder), "no .tar file", "shards", "check the path")
    faults: list[TriscopeError] = list(_index_faults(folder))
    shard_of: dict[str, Path] = {}
    samples = 0
    results = in_order(lint_shard, paths, workers, chunk=1)
    for path, (keys, found) in zip(paths, tqdm(results, total=len(paths), unit=" shards", disable=None), strict=True):
        faults += found
        samples += len(keys)
        for key in keys:
            if key in shard_of:
                before = f"in {shard_of[key].name}" if shard_of[key] != path else "earlier in this shard"
                where, seen = f"{path}, key {key!r}", f"a key that is also {before}"
                faults.append(BadSampleError(where, seen, "keys unique in the set", "convert the data again"))
            shard_of.setdefault(key, path)
    return LintReport(folder, len(paths), samples, tuple(faults))


def lint_shard(path: Path) -> tuple[list[str], list[TriscopeError]]:
    """Keys and faults of one shard; a damaged tar is read as far as it goes."""
    keys: list[str] = []
    faults: list[TriscopeError] = []
    try:
        for raw in scan(path):
            keys.append(raw.key)
            faults += _sample_faults(raw)
    except BadShardError as error:
        faults.append(error)
    return keys, faults


def _index_faults(folder: Path) -> Iterator[BadShardError]:
    try:
        shards = ShardSet.open(folder)
    except BadShardError as error:
        yield error
        return
    for shard in shards.shards:
        path = folder / shard.file
        if sha256_of(path) != shard.sha256:
            yield BadShardError(str(path), "another content", "the one that was indexed", "copy or index it again")
    for path in sorted(folder.glob("*.tar")):
        if path.name not in {shard.file for shard in shards.shards}:
            yield BadShardError(str(path), "a shard that is not in the index", "all shards indexed", "index the folder")


def _sample_faults(raw: RawSample) -> Iterator[BadSampleError]:
    try:
        sample = Sample.from_json_unchecked(raw.json, raw.where)
    except BadSampleError as error:
        yield error
        return
    yield from sample.problems(raw.where)
    yield from raw.problems(sample)
    for index, image in enumerate(sample.images):
        if image.file in raw.images:
            where = f"{raw.where}, images[{index}] ({image.file})"
            yield from _picture_faults(raw.images[image.file], image.width, image.height, where)


def _picture_faults(content: bytes, width: int, height: int, where: str) -> Iterator[BadSampleError]:
    try:
        with PillowImage.open(io.BytesIO(content)) as picture:
            picture.load()
    except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError) as error:
        yield BadSampleError(where, f"a picture that cannot be decoded ({error})", "a whole picture", "replace it")
        return
    if picture.size != (width, height):
        found = f"a picture of {picture.width}x{picture.height}"
        yield BadSampleError(where, found, f"{width}x{height}, as the record says", "convert the data again")
