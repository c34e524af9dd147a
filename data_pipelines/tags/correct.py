"""Tags corrected by hand: a CSV of `key,tag,change[,image]`, where a change is `add` or `drop`."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import read_rows
from data_pipelines.tags.rewrite import Engine, Packed, rewrite_shards, with_tags
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Sample, Tag
from triscope.data.shards import ShardSet

COLUMNS = ("key", "tag", "change")
CHANGES = ("add", "drop")
SHOWN_KEYS = 5


@dataclass(frozen=True)
class Correction:
    """A tag that a picture has, or does not have, whatever a tagger said.

    Args:
        line: of the file, for messages.
        tag: the name.
        change: `add` or `drop`.
        image: index of the picture in its sample, from 0.
    """

    line: int
    tag: str
    change: str
    image: int


@dataclass(frozen=True)
class Correcting:
    """Merges corrections into the samples of a shard.

    Args:
        file: of the corrections, for messages.
        corrections: by the key of the sample.
    """

    file: str
    corrections: dict[str, list[Correction]]

    def __call__(self, samples: Iterable[Packed]) -> Iterator[Packed]:
        """The samples with their tags corrected, in order."""
        for sample, contents in samples:
            yield self.corrected(sample), contents

    def corrected(self, sample: Sample) -> Sample:
        """A sample with its tags corrected.

        Raises:
            ConfigurationError: a tag to drop that is not there, one to add that is, or a picture that the sample has not.
        """
        tags = [list(image.tags) for image in sample.images]
        for correction in self.corrections.get(sample.key, ()):
            where = f"{self.file}, line {correction.line}, key {sample.key!r}"
            if not 0 <= correction.image < len(tags):
                raise ConfigurationError(where, f"image {correction.image}", f"0 to {len(tags) - 1}", "correct the number")
            _apply(correction, tags[correction.image], where)
        return with_tags(sample, map(tuple, tags))


def correct(source: ShardSet, folder: Path, file: Path, engine: Engine) -> Counter:
    """Write a set anew with tags corrected. Every correction is checked before anything is written.

    Args:
        source: the set.
        folder: for the corrected set.
        file: CSV with a header; columns `key`, `tag`, `change` (add or drop) and, if wanted, `image` (from 0; default 0).
        engine: maps over shards.

    Returns:
        The tally of `rewrite_shards`.

    Raises:
        TriscopeError: the file has another form, names a key that is not in the set, drops a tag that is not there or
            adds one that is.
        BadShardError: the folder holds something else, or a shard is damaged.
    """
    correcting = Correcting(str(file), read_corrections(file))
    _check(correcting, source)
    origin = {"corrections": hashlib.sha256(file.read_bytes()).hexdigest()}
    return rewrite_shards(source, folder, correcting, origin, engine)


def read_corrections(file: Path) -> dict[str, list[Correction]]:
    """The corrections of a file, by the key of the sample, in the order of the file.

    Raises:
        TriscopeError: no such file, a column is missing, or a line is not a correction.
    """
    corrections = defaultdict(list)
    for line, row in read_rows(file, COLUMNS, ["image"]):
        key, correction = _correction(line, row, f"{file}, line {line}")
        corrections[key].append(correction)
    return dict(corrections)


def _correction(line: int, row: dict[str, str], where: str) -> tuple[str, Correction]:
    key, tag, change, image = row.values()
    if not key or not tag:
        raise ConfigurationError(where, f"{list(row.values())}", "a key, a tag and a change", "correct the line")
    if change not in CHANGES:
        raise ConfigurationError(f"{where}, change", repr(change), " or ".join(CHANGES), "correct the line")
    if image and not image.isdecimal():
        raise ConfigurationError(f"{where}, image", repr(image), "the number of a picture, from 0", "correct the line")
    return key, Correction(line, tag, change, int(image or 0))


def _apply(correction: Correction, tags: list[Tag], where: str) -> None:
    names = [tag.name for tag in tags]
    present = correction.tag in names
    if present == (correction.change == "add"):
        found = f"{correction.change} {correction.tag!r}, with tags {', '.join(names) or 'none'}"
        expected = "a tag to add that is missing" if present else "a tag to drop that is there"
        raise ConfigurationError(where, found, expected, "take the line out, or correct the tag")
    if present:
        del tags[names.index(correction.tag)]
    else:
        tags.append(Tag(correction.tag))


def _check(correcting: Correcting, source: ShardSet) -> None:
    """Every key is in the set, and every correction can be made."""
    unseen = dict.fromkeys(correcting.corrections)
    for raw in source:
        if raw.key in correcting.corrections:
            unseen.pop(raw.key)
            correcting.corrected(raw.parse()[0])
    if unseen:
        named = ", ".join(f"{key} (line {correcting.corrections[key][0].line})" for key in list(unseen)[:SHOWN_KEYS])
        more = f" and {len(unseen) - SHOWN_KEYS} more" if len(unseen) > SHOWN_KEYS else ""
        raise ConfigurationError(
            correcting.file, f"{len(unseen)} unknown key(s): {named}{more}", f"keys of {source.folder}", "correct them"
        )
