"""Albums: several pictures composed together, so that what is asked about them cannot be told from one of them.

Most albums are linked: one trait (a name, a category, a colour) is in every picture, and every other trait is missing in
some. In a single picture all traits look alike, for they are drawn in the same way.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from data_pipelines.scenes.backdrops import draw_backdrop
from data_pipelines.scenes.compose import LONG_SIDES, PICTURE_SIDE, Scene, Thing, draw_sizes, placed
from data_pipelines.scenes.objects import COLORS, Nouns


@dataclass(frozen=True, slots=True)
class Links:
    """Traits of several pictures.

    Args:
        shared: the trait of every picture.
        rows: all traits of each picture, in random order.
    """

    shared: str
    rows: tuple[tuple[str, ...], ...]


def linked(rng: random.Random, pictures: int, size: int, draw: Callable[[set[str]], str]) -> Links:
    """Give every picture `size` traits: one is in all, the others are not.

    With as many traits as pictures or more, there is for each picture a trait that it lacks and all others have: who
    leaves out a picture is left with two candidates.

    Args:
        rng: of the album.
        pictures: at least two.
        size: traits of each picture.
        draw: gives a trait not among those handed in; called `traits_needed` times.
    """
    taken: set[str] = set()

    def new() -> str:
        trait = draw(taken)
        taken.add(trait)
        return trait

    shared, *decoys = (new() for _ in range(1 + pictures))
    rows = []
    for number in range(pictures):
        row = [shared, *(decoys[(number + step) % pictures] for step in range(1, min(pictures, size)))]
        row += [new() for _ in range(size - len(row))]
        rng.shuffle(row)
        rows.append(tuple(row))
    return Links(shared, tuple(rows))


def traits_needed(pictures: int, size: int) -> int:
    """How many different traits `linked` draws."""
    return 1 + pictures + pictures * max(0, size - pictures)


def dressed(rng: random.Random, nouns: Nouns, names: tuple[str, ...], colors: dict[str, str] | None = None) -> list[Thing]:
    """Things of those names, in any colour, size and side.

    Args:
        rng: of the album.
        nouns: of the split; say which names are colourable.
        names: each once.
        colors: of some names; the others draw theirs.
    """
    chosen = [(colors or {}).get(name) or (rng.choice(tuple(COLORS)) if name in nouns.colorable else None) for name in names]
    sizes = draw_sizes(rng, len(names), differing=1)
    return [
        Thing(name, color, size, rng.choice(LONG_SIDES[size]), rng.random() < 0.5)
        for name, color, size in zip(names, chosen, sizes, strict=True)
    ]


def panel(rng: random.Random, nouns: Nouns, things: list[Thing]) -> Scene:
    """One picture of an album: things of different names on free places, before a background of its own."""
    things = placed(rng, things)
    rng.shuffle(things)
    return Scene(tuple(things), things[0].name, nouns, draw_backdrop(rng, PICTURE_SIDE))
