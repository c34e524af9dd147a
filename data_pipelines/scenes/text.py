"""Scenes as text: what a small language model reads before it is frozen and given eyes, to learn what is asked of pictures.

A scene is told as the tokens of a picture will be, one phrase a token (`triscope.data.phrases`): as a **board** of 8 x 8
cells, each of which holds the thing that covers it; as a **list** of things in any order, some more than once; or as both.
Then it is asked about as pictures are, and in short about all the rest that can be looked up. Albums are told as lists, each
where its picture would stand.
"""

import random
from collections.abc import Iterator

from data_pipelines.scenes.album_questions import compose_album
from data_pipelines.scenes.compose import PICTURE_SIDE, Scene, Thing, compose, scene_generator
from data_pipelines.scenes.objects import plural
from data_pipelines.scenes.questions import ask, description
from data_pipelines.scenes.samples import SOURCE, faulty_tags
from triscope.data.box_text import format_box
from triscope.data.boxes import BoxSpace
from triscope.data.phrases import write_phrase
from triscope.data.prompts import HARD_PROMPT, TAG_SENTENCE
from triscope.data.sample import MARKER, Conversation, Level, Sample, Turn

ALBUM_SHARE = 0.15  # of the samples
FORMS = ("board", "list", "list", "both")  # of a scene, each equally often
TAGGED_SHARE = 0.5  # of the scenes: with the sentence of image tags, so that its words are known too
CELLS = 8  # of the board, across and down: a tower's patches, pooled
COVERED = 0.3  # a cell holds a thing that covers so much of it
LISTED = (6, 16)  # least and most phrases of a list, those for nothing included
TOLD_AGAIN = 2  # times at most that a list repeats a thing
NOTHING = " ."
BY_NAME = 0.6  # of the things that are alone of their name: asked for by it


def text_samples(seed: int, split: str, start: int, count: int) -> Iterator[Sample]:
    """Scenes and albums `start` to `start + count` of a split as text.

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
        rng = scene_generator(seed, f"{split}/text", index)
        turns = _album_turns(rng, split) if rng.random() < ALBUM_SHARE else _scene_turns(rng, split)
        yield Sample(
            key=f"{split}-{seed}-{index:07d}-text",
            images=(),
            conversations=(Conversation("scene_text", Level.IMAGE, turns),),
            source=f"{SOURCE}_text",
        )


def squares(thing: Thing) -> str:
    """`[c3,f7]`: a thing's first and last square of the board over the picture."""
    return format_box(thing.pixel_box.to(BoxSpace.UNIT, PICTURE_SIDE, PICTURE_SIDE), "squares")


def phrase(thing: Thing) -> str:
    """A thing with its size, colour and place: `<phrase> small red car|c|3|f|7</phrase>`."""
    first, last = squares(thing).strip("[]").split(",")
    return write_phrase(description(thing), first[0], first[1:], last[0], last[1:])


def board(scene: Scene) -> str:
    """The scene cell by cell, left to right and top to bottom, behind one that stands for the whole (a tower's class token)."""
    cells = [_covering(scene, column, row) for row in range(CELLS) for column in range(CELLS)]
    return NOTHING + "".join(phrase(thing) if thing else NOTHING for thing in cells)


def listing(scene: Scene, rng: random.Random) -> str:
    """The things in any order, each once or more often, with nothing between."""
    phrases = [phrase(thing) for thing in scene.things for _ in range(rng.randint(1, 1 + TOLD_AGAIN))]
    phrases += [NOTHING] * (rng.randint(*LISTED) - len(phrases))
    rng.shuffle(phrases)
    return "".join(phrases)


def _scene_turns(rng: random.Random, split: str) -> tuple[Turn, ...]:
    """All that is asked about a scene, which is told before the first question."""
    scene = compose(rng, split)
    form = rng.choice(FORMS)
    told = board(scene) if form != "list" else ""
    told += listing(scene, rng) if form != "board" else ""
    first, *others = (_with_boxes(turn, scene.things) for turn in _without_hints([*_lookups(scene, rng), *_asked(scene, rng)]))
    return Turn(f"{told}{_tag_sentence(scene, rng)}{first.prompt}", first.answers), *others


def _asked(scene: Scene, rng: random.Random) -> list[Turn]:
    """What is asked of pictures, captions last, because they name what is there."""
    asked = sorted(ask(scene, rng), key=lambda conversation: conversation.task == "caption")
    return [conversation.turns[0] for conversation in asked]


def _lookups(scene: Scene, rng: random.Random) -> list[Turn]:
    """Short questions for what is there, how often, and where, so that a text practises much more than it tells."""
    names = list(dict.fromkeys(thing.name for thing in scene.things))
    rng.shuffle(names)
    counted, *checked = names
    existence = [(name, "yes") for name in checked] + [(scene.absent_name(rng), "no") for _ in checked]
    turns = [Turn(f"Any {name}?", (answer,)) for name, answer in existence]
    turns += [Turn(f"How many {plural(counted)}?", (str(len(scene.named(counted))),))]
    rng.shuffle(turns)
    return turns + [_link(scene, number, rng) for number in rng.sample(range(1, 1 + len(scene.things)), len(scene.things))]


def _link(scene: Scene, number: int, rng: random.Random) -> Turn:
    """Asks for the box of a thing, if its name tells which, or for what is in its box."""
    thing = scene.things[number - 1]
    if len(scene.named(thing.name)) == 1 and rng.random() < BY_NAME:
        return Turn(f"Box of the {thing.name}?", (f"<region:{number}>",))
    return Turn(f"<region:{number}>?", (description(thing),))


def _without_hints(turns: list[Turn]) -> list[Turn]:
    """Turns in which no thing's name and place are brought together twice: the second need not be looked up."""
    kept: list[Turn] = []
    linked: set[tuple[str, str]] = set()
    for turn in reversed(turns):
        regions = set(MARKER.findall(turn.prompt + turn.answers[0]))
        if not regions & linked:
            kept.append(turn)
            linked |= regions
    return kept[::-1]


def _album_turns(rng: random.Random, split: str) -> tuple[Turn, ...]:
    """One question about an album, whose pictures are told where they stand in the question."""
    album = compose_album(rng, split)
    asked = rng.choice(album.questions).conversation.turns[0]
    turn = _with_boxes(asked, [thing for panel in album.panels for thing in panel.things])
    prompt = turn.prompt.replace(" <image", "<image")  # a picture's tokens stand without blanks
    told = MARKER.sub(lambda marker: listing(album.panels[int(marker[2]) - 1], rng), prompt)
    return (Turn(told, turn.answers),)


def _covering(scene: Scene, column: int, row: int) -> Thing | None:
    """The thing that covers most of a cell, if it covers enough."""
    shares = {thing: _covered(thing, column) * _covered(thing, row, axis=1) for thing in scene.things}
    most = max(shares, key=shares.__getitem__)
    return most if shares[most] > COVERED else None


def _covered(thing: Thing, cell: int, axis: int = 0) -> float:
    """How much of a cell's width (axis 0) or height (1) lies inside a thing's box."""
    side = PICTURE_SIDE / CELLS
    return max(0.0, min(thing.box[axis + 2], side * (cell + 1)) - max(thing.box[axis], side * cell)) / side


def _tag_sentence(scene: Scene, rng: random.Random) -> str:
    """LION's sentence with image tags, with as many faults as those of pictures; nothing for the other scenes."""
    if rng.random() >= TAGGED_SHARE:
        return ""
    before, after = TAG_SENTENCE
    names = ", ".join(tag.name for tag in faulty_tags(scene, rng, missing=0.1, wrong=0.1))
    return f"{before} {HARD_PROMPT}{after.format(tags=names)}"


def _with_boxes(turn: Turn, things: list[Thing] | tuple[Thing, ...]) -> Turn:
    """The question with boxes in place of region markers, and only the answer to train on."""

    def write(marker) -> str:
        return squares(things[int(marker[2]) - 1]) if marker[1] == "region" else marker[0]

    prompt, answer = (MARKER.sub(write, text) for text in (turn.prompt, turn.answers[0]))
    return Turn(prompt, (answer,))
