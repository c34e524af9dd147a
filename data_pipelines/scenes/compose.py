"""Scenes: which things, in which colours and sizes, stand where; and the picture of them."""

import itertools
import random
from dataclasses import dataclass, replace

from PIL import Image

from data_pipelines.scenes.backdrops import Backdrop, draw_backdrop, paint
from data_pipelines.scenes.objects import COLORS, Nouns, nouns_of, sprite
from triscope.data.boxes import Box, BoxSpace

PICTURE_SIDE = 224  # pixels
# Pixels of a thing's longer side, with a clear gap between the two sizes.
LONG_SIDES = {"small": (36, 42, 48), "large": (72, 80, 88)}
MOST_LARGE = 2  # of a scene's things, so that all find a place
GAP = 5  # pixels kept free between things
TOTALS = {1: (2, 3, 4, 4), 2: (3, 4, 4, 4), 3: (3, 4, 4, 4)}  # copies of the focus: how many things a scene holds
PixelBox = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom are the first pixels outside

# Across, down: where the middles of a scene's things lie. Anywhere, or near one height (a row), or above each other.
Lines = tuple[int | None, int | None]
LINE_RANGE = (66, 158)  # pixels, so that the largest things stay inside the picture
ALIGNED_SHARE = 0.6
WOBBLE = 14  # pixels by which a middle may miss its line

_EDGE = 2  # pixels kept free at the picture's edge
_TRIES = 40  # places drawn for one thing
_ROUNDS = 10  # beginnings of a row or column


@dataclass(frozen=True, slots=True)
class Thing:
    """One drawn thing of a scene.

    Args:
        name: its noun.
        color: a name of `COLORS`, None where the drawing keeps its own colours.
        size: `small` or `large`.
        long_side: pixels of its longer side.
        mirrored: left and right exchanged.
        box: of its visible pixels.
    """

    name: str
    color: str | None
    size: str
    long_side: int
    mirrored: bool
    box: PixelBox = (0, 0, 0, 0)

    @property
    def sprite(self) -> Image.Image:
        """Its picture, as large as its box."""
        return sprite(self.name, self.color, self.long_side, self.mirrored)

    @property
    def center(self) -> tuple[float, float]:
        """Middle of its box in pixels."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    @property
    def pixel_box(self) -> Box:
        """Its box as samples hold it."""
        left, top, right, bottom = map(float, self.box)
        return Box(left, top, right, bottom, BoxSpace.PIXELS)


@dataclass(frozen=True, slots=True)
class Scene:
    """Two to four things on a background.

    Args:
        things: in random order, so that their numbers tell nothing; the k-th (from 1) is `<region:k>`.
        focus: the name of which there are one, two or three, each equally often; other names occur once.
        nouns: the names that the scene was drawn from, for questions about what is not there.
        backdrop: its background.
    """

    things: tuple[Thing, ...]
    focus: str
    nouns: Nouns
    backdrop: Backdrop

    def named(self, name: str) -> tuple[Thing, ...]:
        """The things of that name."""
        return tuple(thing for thing in self.things if thing.name == name)

    def absent_name(self, rng: random.Random) -> str:
        """A name that does not occur, drawn as the occurring ones were, so that a name is no hint to the answer."""
        return draw_name(rng, self.nouns, {thing.name for thing in self.things})


def scene_generator(seed: int, split: str, index: int) -> random.Random:
    """The generator of one scene: a pure function of (seed, split, index), so that any range can be made anywhere."""
    return random.Random(f"scenes/{seed}/{split}/{index}")


def compose(rng: random.Random, split: str) -> Scene:
    """Draw a scene.

    Args:
        rng: from `scene_generator`.
        split: decides on the nouns.
    """
    nouns = nouns_of(split)
    things = _draw_things(rng, nouns)
    focus = things[0].name
    things = placed(rng, things)
    rng.shuffle(things)
    return Scene(tuple(things), focus, nouns, draw_backdrop(rng, PICTURE_SIDE))


def draw(scene: Scene) -> Image.Image:
    """The picture of a scene, RGB, `PICTURE_SIDE` pixels square."""
    picture = paint(scene.backdrop, PICTURE_SIDE)
    for thing in scene.things:
        picture.paste(thing.sprite, thing.box[:2], thing.sprite)
    return picture


def draw_name(rng: random.Random, nouns: Nouns, without: set[str]) -> str:
    """A noun not among `without`: colourable with probability one half (while there are both), whatever the scene is about."""
    group = nouns.colorable if rng.random() < 0.5 else nouns.plain
    left = [name for name in group if name not in without]
    return rng.choice(left or [name for name in nouns.names if name not in without])


def _draw_things(rng: random.Random, nouns: Nouns) -> list[Thing]:
    """The scene's content, copies of the focus first; copies always differ in colour or in size."""
    copies = rng.choice((1, 2, 3))
    total = rng.choice(TOTALS[copies])
    names: list[str] = []
    while len(names) < total - copies + 1:
        names.append(draw_name(rng, nouns, set(names)))
    names = names[:1] * copies + names[1:]
    by_color = names[0] in nouns.colorable and rng.random() < 0.5
    colors = _draw_colors(rng, nouns, names, differing=copies if by_color else 1)
    sizes = draw_sizes(rng, total, differing=1 if by_color else copies)
    return [
        Thing(name, color, size, rng.choice(LONG_SIDES[size]), rng.random() < 0.5)
        for name, color, size in zip(names, colors, sizes, strict=True)
    ]


def _draw_colors(rng: random.Random, nouns: Nouns, names: list[str], differing: int) -> list[str | None]:
    """A colour for each colourable name; the first `differing` (two or more) are not all the same."""
    while True:
        colors = [rng.choice(tuple(COLORS)) if name in nouns.colorable else None for name in names]
        if differing == 1 or len(set(colors[:differing])) > 1:
            return colors


def draw_sizes(rng: random.Random, total: int, differing: int) -> list[str]:
    """A size for each thing, at most `MOST_LARGE` large; the first `differing` (two or more) are not all the same."""
    while True:
        sizes = [rng.choice(("small", "large")) for _ in range(total)]
        if sizes.count("large") <= MOST_LARGE and (differing == 1 or len(set(sizes[:differing])) > 1):
            return sizes


def placed(rng: random.Random, things: list[Thing], aligned_share: float = ALIGNED_SHARE) -> list[Thing]:
    """The things on free places, for `aligned_share` of the scenes in a row or a column if they fit, else anywhere."""
    line = rng.randint(*LINE_RANGE)
    aligned = rng.choice(((None, line), (line, None)))
    rounds = _ROUNDS if rng.random() < aligned_share else 0
    for lines in itertools.chain(itertools.repeat(aligned, rounds), itertools.repeat((None, None))):
        if found := _place(rng, things, lines):
            return found
    raise AssertionError("unreachable: the second of the chained iterators never ends")


def _place(rng: random.Random, things: list[Thing], lines: Lines) -> list[Thing]:
    """One round of giving every thing a box, the largest first; empty if one found no free place."""
    done: list[Thing] = []
    for thing in sorted(things, key=lambda thing: -thing.long_side):
        box = free_box(rng, thing.sprite.size, lines, [other.box for other in done])
        if box is None:
            return []
        done.append(replace(thing, box=box))
    return done


def free_box(rng: random.Random, size: tuple[int, int], lines: Lines, taken: list[PixelBox]) -> PixelBox | None:
    """A random place at least `GAP` from all taken ones, None if `_TRIES` draws find none."""
    (least_left, most_left), (least_top, most_top) = map(_span, size, lines)
    for _ in range(_TRIES):
        left = least_left + int(rng.random() * (most_left - least_left + 1))
        top = least_top + int(rng.random() * (most_top - least_top + 1))
        box = (left, top, left + size[0], top + size[1])
        if all(_are_apart(box, other) for other in taken):
            return box
    return None


def _are_apart(first: PixelBox, second: PixelBox) -> bool:
    """Whether `GAP` pixels lie between two boxes, across or down."""
    left, top, right, bottom = first
    other_left, other_top, other_right, other_bottom = second
    across = right + GAP <= other_left or other_right + GAP <= left
    return across or bottom + GAP <= other_top or other_bottom + GAP <= top


def _span(length: int, line: int | None) -> tuple[int, int]:
    """First and last pixel at which a thing of that length may begin on one axis."""
    if line is None:
        return _EDGE, PICTURE_SIDE - _EDGE - length
    return line - length // 2 - WOBBLE, line - length // 2 + WOBBLE
