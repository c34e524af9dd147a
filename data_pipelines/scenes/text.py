"""Scenes as text: what a small language model reads before it is frozen, to learn the tasks' words and to look things up.

    red car [c3,f7] ; dog [k12,m14]

A scene is told as a list of phrases with boxes, then asked about as pictures are. Most are told and asked about in part: a
model learns to look up among two phrases long before it does among four.
"""

import random
from collections.abc import Iterator
from dataclasses import replace

from data_pipelines.scenes.compose import PICTURE_SIDE, Scene, Thing, compose, scene_generator
from data_pipelines.scenes.questions import ask, description
from data_pipelines.scenes.samples import SOURCE, faulty_tags
from triscope.data.boxes import BoxSpace
from triscope.data.prompts import HARD_PROMPT, TAG_SENTENCE, format_box
from triscope.data.sample import MARKER, Conversation, Level, Sample, Turn

TOLD = (1, 2, 2, 3, 3, 4)  # things told of a scene, if it has as many; each equally often
LOOKUPS = ("color", "pointing", "recognition")  # answered by finding a phrase and copying from it
LOOKUP_SHARE = 0.6  # of the scenes: asked nothing but these, more often; looking up is what takes longest to learn
TAGGED_SHARE = 0.3  # of the scenes: with the sentence of image tags, so that its words are known too
QUESTIONS = 8  # at most, so that texts are of similar length


def text_samples(seed: int, split: str, start: int, count: int) -> Iterator[Sample]:
    """Scenes `start` to `start + count` of a split as text: those that `scene_samples` draws, told in part and asked anew.

    Args:
        seed, split: as for `scene_samples`.
        start: index of the first scene.
        count: how many.

    Yields:
        A sample without pictures: one conversation `scene_text`, whose first prompt begins with the scene as text.

    Raises:
        ConfigurationError: no such split.
    """
    for index in range(start, start + count):
        rng = scene_generator(seed, split, index)
        scene = part_of(compose(rng, split), rng.choice(TOLD))
        asked = [one for _ in range(3) for one in ask(scene, rng, LOOKUPS)] if rng.random() < LOOKUP_SHARE else []
        turns = list(dict.fromkeys(conversation.turns[0] for conversation in asked or ask(scene, rng)))
        first, *others = (_told(turn, scene) for turn in turns[:QUESTIONS])
        told = f" {listing(scene.things, rng)}\n"
        opening = replace(first, prompt=f"{told}{_tag_sentence(scene, rng)}{first.prompt}")
        yield Sample(
            key=f"{split}-{seed}-{index:07d}-text",
            images=(),
            conversations=(Conversation("scene_text", Level.IMAGE, (opening, *others)),),
            source=f"{SOURCE}_text",
        )


def part_of(scene: Scene, things: int) -> Scene:
    """The scene with its first things only."""
    kept = scene.things[:things]
    return replace(scene, things=kept, focus=kept[0].name)


def listing(things: tuple[Thing, ...], rng: random.Random) -> str:
    """The scene as phrases with boxes, in random order."""
    phrases = [f"{description(thing, size=False)} {squares(thing)}" for thing in things]
    rng.shuffle(phrases)
    return " ; ".join(phrases)


def squares(thing: Thing) -> str:
    """`[c3,f7]`: a thing's first and last square of the board over the picture."""
    return format_box(thing.pixel_box.to(BoxSpace.UNIT, PICTURE_SIDE, PICTURE_SIDE), "squares")


def _tag_sentence(scene: Scene, rng: random.Random) -> str:
    """LION's sentence with image tags, with as many faults as those of pictures; nothing for the other scenes."""
    if rng.random() >= TAGGED_SHARE:
        return ""
    before, after = TAG_SENTENCE
    names = ", ".join(tag.name for tag in faulty_tags(scene, rng, missing=0.1, wrong=0.1))
    return f"{before} {HARD_PROMPT}{after.format(tags=names)} "


def _told(turn: Turn, scene: Scene) -> Turn:
    """The question with boxes in place of region markers, and only the answer to train on."""
    prompt, answer = (
        MARKER.sub(lambda marker: squares(scene.things[int(marker[2]) - 1]), text) for text in (turn.prompt, turn.answers[0])
    )
    return Turn(prompt, (answer,))
