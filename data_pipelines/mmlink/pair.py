"""What every domain makes: two pictures with one element in common, one instruction and one answer."""

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from PIL import Image as Picture

from data_pipelines.wordings import word
from triscope.data.boxes import Box, BoxSpace
from triscope.data.sample import Conversation, Image, Level, Region, Sample, Turn

JPEG_QUALITY = 90
IMAGES = "<image:1> <image:2>"
HELD_OUT_EACH = 8  # of so many sources one is shown in the split `test_objects` alone
HELD_OUT_SPLIT = "test_objects"

Item = TypeVar("Item")
PixelBox = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom are the first pixels outside


@dataclass(frozen=True, slots=True)
class Placement:
    """A source seen in one of the two pictures.

    Args:
        picture: 0 or 1.
        source: id of the drawing, photo or cover.
        name: what it is.
        box: of its visible pixels.
        shared: whether it is the element that both pictures show.
    """

    picture: int
    source: str
    name: str
    box: PixelBox
    shared: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """One MmLINK sample before it is written.

    Args:
        pictures: the two, RGB.
        placements: everything in them.
        instruction, answer: the text.
        provenance: what else it was made from, as JSON can hold it.
    """

    pictures: tuple[Picture.Image, Picture.Image]
    placements: tuple[Placement, ...]
    instruction: str
    answer: str
    provenance: dict[str, Any] = field(default_factory=dict)


def pair_generator(domain: str, seed: int, split: str, index: int) -> random.Random:
    """The generator of one pair: a pure function of these four."""
    return random.Random(f"mmlink/{domain}/{seed}/{split}/{index}")


def of_split(items: Sequence[Item], split: str) -> list[Item]:
    """The sources that a split may show: `test_objects` those that no other split does."""
    held_out = split == HELD_OUT_SPLIT
    return [item for number, item in enumerate(items) if (number % HELD_OUT_EACH == 0) == held_out]


def instruction(domain: str, rng: random.Random) -> str:
    """One of our wordings of the domain's instruction."""
    return word(f"link_{domain}", rng, images=IMAGES)


def pair_key(domain: str, seed: int, split: str, index: int) -> str:
    """The key of a pair's sample."""
    return f"{domain}-{split}-{seed}-{index:07d}"


def encoded(pair: Pair, domain: str, seed: int, split: str, index: int) -> tuple[Sample, tuple[bytes, ...]]:
    """The pair as a sample with two JPEG pictures; `extra["mmlink"]` tells all that it was made from."""
    provenance = {
        "domain": domain,
        "seed": seed,
        "split": split,
        "index": index,
        **pair.provenance,
        "placements": [
            {"image": one.picture, "source": one.source, "name": one.name, "box": list(one.box), "shared": one.shared}
            for one in pair.placements
        ],
    }
    sample = Sample(
        key=pair_key(domain, seed, split, index),
        images=tuple(Image(f"{number}.jpg", *picture.size) for number, picture in enumerate(pair.pictures)),
        regions=tuple(Region(one.picture, _pixel_box(*one.box)) for one in pair.placements),
        conversations=(Conversation(f"link_{domain}", Level.IMAGE, (Turn(pair.instruction, (pair.answer,)),)),),
        source=f"mmlink_{domain}",
        extra={"mmlink": provenance},
    )
    return sample, tuple(_jpeg(picture) for picture in pair.pictures)


def _pixel_box(left: int, top: int, right: int, bottom: int) -> Box:
    return Box(float(left), float(top), float(right), float(bottom), BoxSpace.PIXELS)


def _jpeg(picture: Picture.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
