"""What is known of pictures, as text for a language model that does not see them.

Facts are read from the conversations of shard sets: captions, and region-level answers of the tasks in `TASKS`. Several sets
about the same pictures (names from one, attributes and relations from others) are joined by the pictures themselves.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import TriscopeError
from triscope.data.sample import MARKER, Sample, Turn
from triscope.data.shards import RawSample, ShardSet

TASKS = {
    "caption": "a sentence about the whole picture",
    "recognition": "the name of what is in a region",
    "description": "a phrase about a region",
    "attribute": "what something in a region is like",
    "relationship": "how two regions are related",
    "text": "what is written in a region",
}


@dataclass(frozen=True)
class Thing:
    """A region and what is known of it.

    Args:
        box: in unit space.
        names: the first is used to find several of a kind.
        attributes: such as `red`.
        phrases: such as `a dog with a red collar`.
        text: what is written there.
    """

    box: Box
    names: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    text: str = ""

    def describe(self, number: int) -> str:
        """A line for the model, which calls the region `<region:number>`."""
        known = [", ".join(self.names), ", ".join(self.attributes), *(f'"{phrase}"' for phrase in self.phrases)]
        known += [f"written there: {self.text!r}"] if self.text else []
        corners = ", ".join(f"{corner:.3f}" for corner in self.box.corners)
        return f"<region:{number}> {'; '.join(filter(None, known))} [{corners}]"


@dataclass(frozen=True)
class Relation:
    """How one thing is related to another: `words` such as `behind`, the things by their index."""

    first: int
    words: str
    second: int


@dataclass(frozen=True)
class Facts:
    """All that is known of a picture."""

    captions: tuple[str, ...] = ()
    things: tuple[Thing, ...] = ()
    relations: tuple[Relation, ...] = ()

    def of(self, chosen: Sequence[int]) -> "Facts":
        """The facts about some of the things only, in the order given."""
        place = {index: number for number, index in enumerate(chosen)}
        relations = tuple(
            Relation(place[relation.first], relation.words, place[relation.second])
            for relation in self.relations
            if relation.first in place and relation.second in place
        )
        return Facts(self.captions, tuple(self.things[index] for index in chosen), relations)

    def describe(self) -> str:
        """The facts as the model reads them; the k-th thing is `<region:k>`."""
        parts = []
        if self.captions:
            parts.append("Captions by different people:\n" + "\n".join(f"- {caption}" for caption in self.captions))
        things = "\n".join(thing.describe(number) for number, thing in enumerate(self.things, start=1))
        parts.append(f"Regions [left, top, right, bottom, as shares of the picture]:\n{things}")
        if self.relations:
            lines = (f"<region:{one.first + 1}> {one.words} <region:{one.second + 1}>" for one in self.relations)
            parts.append("Relations:\n" + "\n".join(dict.fromkeys(lines)))
        return "\n\n".join(parts)


@dataclass
class _Known:
    """What is known of a box while samples are read; dicts keep the order and drop what is said twice."""

    box: Box
    names: dict[str, None] = field(default_factory=dict)
    attributes: dict[str, None] = field(default_factory=dict)
    phrases: dict[str, None] = field(default_factory=dict)
    text: str = ""


def read_pictures(folders: Sequence[Path]) -> Iterator[tuple[RawSample, Facts]]:
    """The pictures of the first shard set with what all sets know of them.

    Args:
        folders: of the shard sets. Samples with no picture or with several are left out.

    Raises:
        BadShardError, BadSampleError: a set is not in order; `lint` says all that is wrong.
        TriscopeError: a further set is about none of the pictures.
    """
    first, *others = (ShardSet.open(folder) for folder in folders)
    indexes = [_by_picture(shards) for shards in others]
    met = [False] * len(others)
    for raw in first:
        if len(raw.images) != 1:
            continue
        samples = [raw.parse()[0]]
        for number, (shards, index) in enumerate(zip(others, indexes, strict=True)):
            place = index.get(_digest(raw))
            if place is not None:
                met[number] = True
                samples += [found.parse()[0] for found in shards.read(place[0], [place[1]])]
        yield raw, facts_of(samples)
    for shards, was_met in zip(others, met, strict=True):
        if not was_met:
            found = f"none of the pictures of {first.folder}"
            raise TriscopeError(str(shards.folder), found, "the same pictures, byte by byte", "leave the set out")


def facts_of(samples: Sequence[Sample]) -> Facts:
    """What the conversations of samples about one picture say; things of the same box are one."""
    captions: dict[str, None] = {}
    known: dict[tuple, _Known] = {}
    relations: list[tuple[tuple, str, tuple]] = []
    for sample in samples:
        for conversation in sample.conversations:
            for turn in conversation.turns:
                if conversation.task == "caption":
                    captions |= dict.fromkeys(turn.answers)
                elif conversation.task in TASKS:
                    _add(turn, conversation.task, sample, known, relations)
    places = {key: index for index, key in enumerate(known)}
    return Facts(
        captions=tuple(captions),
        things=tuple(
            Thing(item.box, tuple(item.names), tuple(item.attributes), tuple(item.phrases), item.text) for item in known.values()
        ),
        relations=tuple(Relation(places[first], words, places[second]) for first, words, second in relations),
    )


def _add(turn: Turn, task: str, sample: Sample, known: dict[tuple, _Known], relations: list[tuple[tuple, str, tuple]]) -> None:
    """Add what a turn says about the regions in its question."""
    items = [_known(sample, int(number), known) for kind, number in MARKER.findall(turn.prompt) if kind == "region"]
    answer = turn.answers[0]
    match task, items:
        case "recognition", [(_, item)]:
            item.names |= dict.fromkeys(turn.answers)
        case "description", [(_, item)]:
            item.phrases |= {answer: None}
        case "attribute", [(_, item)]:
            item.attributes |= {answer: None}
        case "text", [(_, item)]:
            item.text = answer
        case "relationship", [(first, subject), (second, thing)]:
            relations.append((first, answer, second))
            for item, name in zip((subject, thing), _names_in(turn), strict=False):
                item.names |= {name: None}


def _known(sample: Sample, number: int, known: dict[tuple, _Known]) -> tuple[tuple, _Known]:
    """The box of a region with what is known of it, under a key that is the same in all sets."""
    region = sample.regions[number - 1]
    image = sample.images[region.image]
    box = region.box.to(BoxSpace.UNIT, image.width, image.height).clipped(image.width, image.height)
    key = tuple(round(corner, 3) for corner in box.corners)
    return key, known.setdefault(key, _Known(box))


def _names_in(turn: Turn) -> list[str]:
    """The two names in `the cup on the table`, the second reference of a relationship whose first is `on`."""
    sentence = turn.answers[1] if len(turn.answers) > 1 else ""
    before, between, after = sentence.partition(f" {turn.answers[0]} the ")
    return [before.removeprefix("the "), after] if between else []


def _by_picture(shards: ShardSet) -> dict[bytes, tuple[int, int]]:
    """Where the sample about each picture lies: number of the shard, number in it."""
    return {
        _digest(raw): (shard, number)
        for shard in range(len(shards.shards))
        for number, raw in enumerate(shards.read(shard))
        if len(raw.images) == 1
    }


def _digest(raw: RawSample) -> bytes:
    (content,) = raw.images.values()
    return hashlib.blake2b(content, digest_size=16).digest()
