"""A shard set written anew with other tags: shard by shard, by any engine, going on where it was cut off."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from triscope.data.errors import BadShardError
from triscope.data.folder import write_whole
from triscope.data.sample import Sample, Tag
from triscope.data.shard_index import Shard
from triscope.data.shard_writer import write_shard, write_summary, written_shard
from triscope.data.shards import ShardSet, scan

ORIGIN_FILE = "tags.json"

Packed = tuple[Sample, list[bytes]]  # a sample and its encoded pictures
Rewrite = Callable[[Iterable[Packed]], Iterator[Packed]]  # the samples of one shard, in order
Engine = Callable[[Callable[[int], tuple[Shard, Counter]], Iterable[int]], Iterable[tuple[Shard, Counter]]]


def rewrite_shards(source: ShardSet, folder: Path, rewrite: Rewrite, origin: dict[str, Any], engine: Engine) -> Counter:
    """Write every shard of a set to another folder, its samples changed in their tags alone.

    Each shard is there whole or not at all. A run that was cut off goes on with the shards that are missing, and refuses to
    if it would mix tags of two origins.

    Args:
        source: the set; not touched.
        folder: for the new set.
        rewrite: gives the samples of a shard with their new tags; can be pickled.
        origin: what the tags depend on beside the source; kept in `tags.json`.
        engine: maps over the numbers of the shards, in order.

    Returns:
        `pictures`, how many of them are `tagged`, and how many `tags` they have.

    Raises:
        BadShardError: the folder holds something else.
        BadSampleError: a sample is unusable.
    """
    _begin(source, folder, {"source": source.fingerprint, **origin})
    finished, total = [], Counter[str]()
    work = engine(partial(_rewrite_shard, source, folder, rewrite), range(len(source.shards)))
    for shard, tally in tqdm(work, total=len(source.shards), desc="tags", unit=" shards", disable=None):
        finished.append(shard)
        total += tally
    write_summary(folder, finished, source.counts)
    return total


def with_tags(sample: Sample, tags: Iterable[tuple[Tag, ...]]) -> Sample:
    """A sample with other tags, one tuple a picture."""
    images = zip(sample.images, tags, strict=True)
    return replace(sample, images=tuple(replace(image, tags=names) for image, names in images))


def _begin(source: ShardSet, folder: Path, origin: dict[str, Any]) -> None:
    """Claim the folder, or make sure that it was claimed for the same."""
    file = folder / ORIGIN_FILE
    if Path(str(source.folder)).resolve() == folder.resolve():
        raise BadShardError(str(folder), "the shards that are read", "another folder to write to", "name a new one with --out")
    if file.is_file():
        found = json.loads(file.read_text())
        for key in sorted(found.keys() | origin.keys()):
            if found.get(key) != origin.get(key):
                place = f"{file}, {key}"
                remedy = "name another folder, or call it as before to go on"
                raise BadShardError(place, f"{found.get(key)!r}", f"{origin.get(key)!r}, as asked for now", remedy)
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise BadShardError(str(folder), "files", "an empty folder", "name another folder or empty this one")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps(origin, indent=1))


def _rewrite_shard(source: ShardSet, folder: Path, rewrite: Rewrite, number: int) -> tuple[Shard, Counter]:
    """One shard, unless it is there already; and the tally of its tags."""
    path = folder / source.shards[number].file
    finished = written_shard(path)
    if finished is not None:
        return finished, sum((_tally(raw.parse()[0]) for raw in scan(path)), Counter())
    tally = Counter[str]()

    def counted() -> Iterator[Packed]:
        for sample, contents in rewrite(raw.parse() for raw in source.read(number)):
            tally.update(_tally(sample))
            yield sample, contents

    return write_shard(path, counted()), tally


def _tally(sample: Sample) -> Counter:
    return Counter(
        pictures=len(sample.images),
        tagged=sum(bool(image.tags) for image in sample.images),
        tags=sum(len(image.tags) for image in sample.images),
    )
