"""Scenes as text: what a small language model reads before it is frozen and given eyes, to learn what is asked of pictures.

A scene is told as the tokens of a picture will be, one phrase a token (`triscope.data.phrases`): as **boards**, each cell of
which names the thing that covers it, sometimes with a mistake, or as a **list** of things in any order, some more than once.
Then it is asked about as pictures are, and in short what else can be looked up: in a dialogue, from which most is learned a
token; or by questions that do not know of each other, as a picture will be. Albums are told picture by picture, each where it
would stand.
"""

import random
from collections.abc import Iterator
from dataclasses import replace

from data_pipelines.scenes.album_questions import compose_album
from data_pipelines.scenes.compose import LONG_SIDES, PICTURE_SIDE, Scene, Thing, compose, scene_generator
from data_pipelines.scenes.objects import COLORS
from data_pipelines.scenes.questions import TASKS, ask, description
from data_pipelines.scenes.samples import SOURCE, faulty_tags
from triscope.data.box_text import BOARD_SIDE, format_box
from triscope.data.boxes import BoxSpace
from triscope.data.cells import covering_things
from triscope.data.phrases import NOTHING, write_phrase
from triscope.data.prompts import HARD_PROMPT, TAG_SENTENCE
from triscope.data.sample import MARKER, Conversation, Level, Sample, Turn

ALBUM_SHARE = 0.15  # of the samples
AGGREGATOR, QFORMER = 8, 5  # cells of a board, across and down: as many tokens as those bridges have at the micro size
SCENE_BOARDS = ((AGGREGATOR,), (QFORMER,), (AGGREGATOR, QFORMER), (AGGREGATOR, QFORMER), ())  # each equally often; (): a list
ALBUM_BOARDS = ((QFORMER,), (QFORMER,), ())
SQUARE = PICTURE_SIDE // BOARD_SIDE  # pixels across of what boxes are written in
MISREAD = 0.05  # of a board's cells that name something: with one mistake
TAGGED_SHARE = 0.5  # of the scenes: with the sentence of image tags, so that its words are known too
LISTED = (6, 16)  # least and most phrases of a list, those for nothing included
TOLD_AGAIN = 2  # times at most that a list repeats a thing
BY_NAME = 0.3  # of the things that are alone of their name: asked for by it
MOST_TURNS = 8  # of a scene: asked of a picture, a question stands alone, right behind it
QUESTIONS = 12  # tasks that a scene is asked in, each question alone: a caption, and
ALONE = {  # how often a task is asked by the others: most often what is learned last
    **{"recognition": 3.0, "description": 1.5, "count": 3.0, "relation": 1.0, "color": 0.5, "yes_no": 0.3},
    **{"pointing": 1.0, "pointing_attribute": 1.0, "pointing_relation": 1.0},
}
IN_BOXES = 3  # of them at least, where there are so many: what is in a box, which takes longest to learn


def text_samples(seed: int, split: str, start: int, count: int, dialogues: bool = True) -> Iterator[Sample]:
    """Scenes and albums `start` to `start + count` of a split as text.

    Args:
        seed, split: as for `scene_samples`.
        start: index of the first scene.
        count: how many.
        dialogues: ask about each scene in one conversation; or in several of one question each. Albums are asked one question.

    Yields:
        A sample without pictures: conversations `scene_text`, whose first prompts begin with the scene as text.

    Raises:
        ConfigurationError: no such split.
    """
    for index in range(start, start + count):
        rng = scene_generator(seed, f"{split}/text", index)
        asked = _ask_album(rng, split) if rng.random() < ALBUM_SHARE else _ask_scene(rng, split, dialogues)
        yield Sample(
            key=f"{split}-{seed}-{index:07d}-text",
            images=(),
            conversations=tuple(Conversation("scene_text", Level.IMAGE, turns) for turns in asked),
            source=f"{SOURCE}_text",
        )


def squares(thing: Thing) -> str:
    """`[c3,f7]`: a thing's first and last square of the board over the picture."""
    return format_box(thing.pixel_box.to(BoxSpace.UNIT, PICTURE_SIDE, PICTURE_SIDE), "squares")


def phrase(thing: Thing) -> str:
    """A thing with its size, colour and place: `<phrase> small red car|c|3|f|7</phrase>`."""
    first, last = squares(thing).strip("[]").split(",")
    return write_phrase(description(thing), first[0], first[1:], last[0], last[1:])


def told(scene: Scene, sides: tuple[int, ...], rng: random.Random) -> str:
    """The scene as boards of so many cells across and down, one behind the other; as a list if there is no board."""
    return "".join(board(scene, side, rng) for side in sides) or listing(scene, rng)


def board(scene: Scene, side: int, rng: random.Random) -> str:
    """The scene cell by cell, row by row; the aggregator's behind a token that stands for the whole (a tower's class token)."""
    boxes = [[edge / PICTURE_SIDE for edge in thing.box] for thing in scene.things]
    cells = [
        NOTHING if number is None else phrase(_misread(scene, scene.things[number], rng))
        for number in covering_things(boxes, side)
    ]
    return NOTHING * (side == AGGREGATOR) + "".join(cells)


def listing(scene: Scene, rng: random.Random) -> str:
    """The things in any order, each once or more often, with nothing between."""
    phrases = [phrase(thing) for thing in scene.things for _ in range(rng.randint(1, 1 + TOLD_AGAIN))]
    phrases += [NOTHING] * (rng.randint(*LISTED) - len(phrases))
    rng.shuffle(phrases)
    return "".join(phrases)


def _ask_scene(rng: random.Random, split: str, dialogues: bool) -> list[tuple[Turn, ...]]:
    """What is asked about a scene, in conversations that each tell it before their first question."""
    scene = compose(rng, split)
    prefix = told(scene, rng.choice(SCENE_BOARDS), rng) + _tag_sentence(scene, rng)
    conversations = [_dialogue(scene, rng)] if dialogues else [[turn] for turn in _questions(scene, rng)]
    asked = []
    for turns in conversations:
        first, *others = (_with_boxes(turn, scene.things) for turn in turns)
        asked.append((Turn(f"{prefix}{first.prompt}", first.answers), *others))
    return asked


def _questions(scene: Scene, rng: random.Random) -> list[Turn]:
    """Different questions, one for a caption first."""
    tasks = ["caption", *rng.choices(tuple(ALONE), tuple(ALONE.values()), k=QUESTIONS - 1)]
    return list(dict.fromkeys(conversation.turns[0] for task in tasks for conversation in ask(scene, rng, [task])))


def _dialogue(scene: Scene, rng: random.Random) -> list[Turn]:
    """A caption and some of what else can be asked about a scene, in any order."""
    (caption,) = ask(scene, rng, ["caption"])
    short = [task for task in TASKS if task != "caption"]
    asked = ask(scene, rng, short) + ask(scene, rng, short)
    turns = _without_hints([*_lookups(scene, rng), *dict.fromkeys(conversation.turns[0] for conversation in asked)])
    rng.shuffle(turns)
    in_boxes = [turn for turn in turns if MARKER.search(turn.prompt)]
    turns = list(dict.fromkeys([caption.turns[0], *in_boxes[:IN_BOXES], *turns]))[:MOST_TURNS]
    rng.shuffle(turns)
    return turns


def _lookups(scene: Scene, rng: random.Random) -> list[Turn]:
    """Short questions for how much there is, and what is where, so that a text practises much more than it tells."""
    what, count = _count(scene, rng)
    links = [_link(scene, number, rng) for number in range(1, 1 + len(scene.things))]
    return [Turn(f"How many {what}?", (str(count),)), *links]


def _count(scene: Scene, rng: random.Random) -> tuple[str, int]:
    """Something that can be counted other than by name, and how much of it there is."""
    size, color = rng.choice(tuple(LONG_SIDES)), rng.choice([thing.color for thing in scene.things])
    counts = {"things": len(scene.things), f"{size} things": sum(thing.size == size for thing in scene.things)}
    if color:
        counts[f"{color} things"] = sum(thing.color == color for thing in scene.things)
    return rng.choice(tuple(counts.items()))


def _link(scene: Scene, number: int, rng: random.Random) -> Turn:
    """Asks for the box of a thing, if its name tells which, or for what is in its box."""
    thing = scene.things[number - 1]
    if len(scene.named(thing.name)) == 1 and rng.random() < BY_NAME:
        return Turn(f"Box of the {thing.name}?", (f"<region:{number}>",))
    return Turn(f"<region:{number}>?", (description(thing),))


def _without_hints(turns: list[Turn]) -> list[Turn]:
    """Turns in which no thing's name and place are brought together twice: the second need not be looked up. The last stays."""
    kept: list[Turn] = []
    linked: set[tuple[str, str]] = set()
    for turn in reversed(turns):
        regions = set(MARKER.findall(turn.prompt + turn.answers[0]))
        if not regions & linked:
            kept.append(turn)
            linked |= regions
    return kept[::-1]


def _ask_album(rng: random.Random, split: str) -> list[tuple[Turn, ...]]:
    """One question about an album, whose pictures are told where they stand in the question."""
    album, sides = compose_album(rng, split), rng.choice(ALBUM_BOARDS)
    asked = rng.choice(album.questions).conversation.turns[0]
    turn = _with_boxes(asked, [thing for panel in album.panels for thing in panel.things])
    prompt = turn.prompt.replace(" <image", "<image")  # a picture's tokens stand without blanks
    prompt = MARKER.sub(lambda marker: told(album.panels[int(marker[2]) - 1], sides, rng), prompt)
    return [(Turn(prompt, turn.answers),)]


def _misread(scene: Scene, thing: Thing, rng: random.Random) -> Thing:
    """The thing as a cell names it: now and then with another name, colour or size, or with a side that lies elsewhere."""
    if rng.random() >= MISREAD:
        return thing
    match rng.choice(("name", "color", "size", "box")):
        case "name":
            return replace(thing, name=scene.absent_name(rng))
        case "color":
            return replace(thing, color=rng.choice(tuple(COLORS)) if thing.color else None)
        case "size":
            return replace(thing, size="small" if thing.size == "large" else "large")
        case _:
            side, way = rng.randrange(4), rng.choice((-SQUARE, SQUARE))
            left, top, right, bottom = (edge + way * (number == side) for number, edge in enumerate(thing.box))
            return replace(thing, box=(left, top, right, bottom))


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
