"""Scenes as text: what a small language model reads before it is frozen, to learn the tasks' words and what boxes mean.

A scene is told either as a grid, one word a cell, row by row,

    | . . dog dog . . . .  . . dog dog . . . .  ...

or as a list, `red car [12,34,56,78] ; dog [60,10,90,40]`. Boxes are left, top, right, bottom in percent of the picture.
Half of the scenes have the sentence with image tags between scene and question, so that its words are known too.
"""

import random
from collections.abc import Iterator
from dataclasses import replace

from data_pipelines.scenes.compose import PICTURE_SIDE, Scene, Thing, compose, scene_generator
from data_pipelines.scenes.questions import TASKS, ask, description
from data_pipelines.scenes.samples import SOURCE, faulty_tags
from triscope.data.boxes import BoxSpace
from triscope.data.prompts import HARD_PROMPT, TAG_SENTENCE
from triscope.data.sample import MARKER, Conversation, Level, Sample, Turn

GRID_SHARE = 0.9  # of the scenes that a grid can tell: two thirds of all become grids
GRID_SIDE = 8  # cells
TAGGED_SHARE = 0.5  # of the scenes
QUESTIONS = 6  # at most, so that texts are of similar length
COVERED_SHARE = 0.3  # of a cell: covered so far, a cell names the thing even where its middle is free
EMPTY_CELL = "."
GRID_START = "|"
GRID_TASKS = tuple(task for task in TASKS if task not in ("color", "description", "pointing_attribute"))

_CELL = PICTURE_SIDE / GRID_SIDE  # pixels


def text_samples(seed: int, split: str, start: int, count: int) -> Iterator[Sample]:
    """Scenes `start` to `start + count` of a split as text: those that `scene_samples` draws, asked anew.

    A grid hides colours and exact sizes, so nothing is asked about these there. A scene whose grid would show two
    things of one name as one is told as a list.

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
        scene = compose(rng, split)
        cells = covered_cells(scene.things)
        if rng.random() < GRID_SHARE and not _merges_things(scene, cells):
            told = grid(scene.things, cells)
            colorless = replace(scene, things=tuple(replace(thing, color=None) for thing in scene.things))
            questions = ask(colorless, rng, GRID_TASKS)
        else:
            told = listing(scene.things, rng)
            questions = ask(scene, rng)
        first, *others = (_told(conversation.turns[0], scene) for conversation in questions[:QUESTIONS])
        turns = (replace(first, prompt=f"{told}\n{_tag_sentence(scene, rng)}{first.prompt}"), *others)
        yield Sample(
            key=f"{split}-{seed}-{index:07d}-text",
            images=(),
            conversations=(Conversation("scene_text", Level.IMAGE, turns),),
            source=f"{SOURCE}_text",
        )


def covered_cells(things: tuple[Thing, ...]) -> list[list[int | None]]:
    """Which thing each cell names, row by row; None for background.

    A cell names the thing whose box covers most of it, if it covers the cell's middle or `COVERED_SHARE` of the cell. A
    thing that no cell names so gets the cell of which it covers most.
    """
    cells: list[list[int | None]] = [[None] * GRID_SIDE for _ in range(GRID_SIDE)]
    best_shares = [[0.0] * GRID_SIDE for _ in range(GRID_SIDE)]
    for number, thing in enumerate(things):
        shares = {(row, column): share for row, column, share in _cover(thing)}
        named = [cell for cell, share in shares.items() if share >= COVERED_SHARE or _covers_middle(thing, *cell)]
        for row, column in named or [max(shares, key=lambda cell: shares[cell])]:
            if shares[row, column] > best_shares[row][column]:
                cells[row][column] = number
                best_shares[row][column] = shares[row, column]
    return cells


def grid(things: tuple[Thing, ...], cells: list[list[int | None]]) -> str:
    """The scene as a start and one word a cell, row by row: as many, in the order, as a picture has class token and patches."""
    return " ".join([GRID_START, *(EMPTY_CELL if cell is None else things[cell].name for row in cells for cell in row)])


def listing(things: tuple[Thing, ...], rng: random.Random) -> str:
    """The scene as phrases with boxes, in random order."""
    phrases = [f"{description(thing, size=False)} {percent_box(thing)}" for thing in things]
    rng.shuffle(phrases)
    return " ; ".join(phrases)


def percent_box(thing: Thing) -> str:
    """`[12,34,56,78]`: left, top, right, bottom in whole percent of the picture."""
    corners = thing.pixel_box.to(BoxSpace.UNIT, PICTURE_SIDE, PICTURE_SIDE).corners
    return f"[{','.join(str(round(100 * corner)) for corner in corners)}]"


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
        MARKER.sub(lambda marker: percent_box(scene.things[int(marker[2]) - 1]), text) for text in (turn.prompt, turn.answers[0])
    )
    return Turn(prompt, (answer,))


def _cover(thing: Thing) -> Iterator[tuple[int, int, float]]:
    """Row, column and covered share of each cell that a thing's box touches."""
    left, top, right, bottom = (corner / _CELL for corner in thing.box)
    for row in range(int(top), min(int(bottom) + 1, GRID_SIDE)):
        for column in range(int(left), min(int(right) + 1, GRID_SIDE)):
            width = min(right, column + 1) - max(left, column)
            height = min(bottom, row + 1) - max(top, row)
            if width > 0 and height > 0:
                yield row, column, width * height


def _covers_middle(thing: Thing, row: int, column: int) -> bool:
    left, top, right, bottom = (corner / _CELL for corner in thing.box)
    return left <= column + 0.5 < right and top <= row + 0.5 < bottom


def _merges_things(scene: Scene, cells: list[list[int | None]]) -> bool:
    """Whether two things of one name touch in the grid, or a thing has no cell, so that they cannot be counted."""
    if {cell for row in cells for cell in row if cell is not None} != set(range(len(scene.things))):
        return True
    return any(
        _are_namesakes(scene, cells[row][column], cells[row + down][column + across])
        for row in range(GRID_SIDE)
        for column in range(GRID_SIDE)
        for down, across in ((0, 1), (1, 0))
        if row + down < GRID_SIDE and column + across < GRID_SIDE
    )


def _are_namesakes(scene: Scene, first: int | None, second: int | None) -> bool:
    if first is None or second is None or first == second:
        return False
    return scene.things[first].name == scene.things[second].name
