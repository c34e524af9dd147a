"""What is asked about albums. Every answer follows from the composition alone, and from no picture on its own.

Each question says how often the best guess of somebody who sees one picture of the album is right (`one_picture`). Guessing
without any picture is no better: answers are drawn after the pictures, or from many.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from data_pipelines.scenes.albums import dressed, linked, panel, traits_needed
from data_pipelines.scenes.backdrops import draw_backdrop
from data_pipelines.scenes.compose import PICTURE_SIDE, Scene, Thing, draw_name, free_box, placed
from data_pipelines.scenes.objects import CATEGORIES, COLORS, Nouns, nouns_of, with_article
from data_pipelines.scenes.questions import DIRECTIONS, STEEPNESS, description
from data_pipelines.wordings import word
from triscope.data.sample import Conversation, Level, Turn

ORDINALS = ("first", "second", "third", "fourth")
SIZES = (3, 4)  # things of a picture
COLOR_THEME_NOUNS = 12  # colourable nouns that a split needs, so that pictures of one colour share nothing else by chance
MOVED_PIXELS = 60  # at least, from middle to middle
STORY_OBJECTS = 0.5  # share of a story's pictures with something to find
_TRIES = 60  # draws of a new place


@dataclass(frozen=True, slots=True)
class Question:
    """One question about an album.

    Args:
        conversation: of one turn.
        one_picture: probability of being right with the best guess from a single picture.
    """

    conversation: Conversation
    one_picture: float


@dataclass(frozen=True, slots=True)
class Album:
    """Pictures and what is asked about them.

    Args:
        kind: a key of `KINDS`.
        panels: the pictures in order; regions are counted through all of them.
        questions: at least one.
    """

    kind: str
    panels: tuple[Scene, ...]
    questions: tuple[Question, ...]


def compose_album(rng: random.Random, split: str) -> Album:
    """Draw an album, each kind equally often.

    Args:
        rng: from `scene_generator`.
        split: decides on the nouns.

    Raises:
        ConfigurationError: no such split.
    """
    kind = rng.choice(tuple(KINDS))
    return KINDS[kind](rng, nouns_of(split))


def shared_element(rng: random.Random, nouns: Nouns) -> Album:
    """Different pictures, 2 to 4, with one thing in common; its colour, size and place may differ."""
    size = rng.choice(SIZES)
    links = linked(rng, rng.choice((2, 3, 4)), size, lambda taken: draw_name(rng, nouns, taken))
    panels = tuple(panel(rng, nouns, dressed(rng, nouns, row)) for row in links.rows)
    number = rng.randrange(len(panels))
    where = _worded("pointing_shared", rng, panels, ordinal=ORDINALS[number])
    questions = (
        _question("shared_element", Turn(_worded("shared_element", rng, panels), (links.shared,)), 1 / size),
        _question("pointing_shared", Turn(where, (_region(panels, number, links.shared),)), 1 / size, Level.REGION),
    )
    return Album("shared_element", panels, questions)


def change(rng: random.Random, nouns: Nouns) -> Album:
    """One picture twice, before another background: a thing came, went, took a colour, moved, or nothing did.

    All five are equally frequent. One picture tells by its number of things that one of them is impossible, which helps
    less than always saying that nothing changed.
    """
    kind, few = rng.choice(tuple(CHANGES)), rng.choice(SIZES)
    happened = None
    while happened is None or not all(any(thing.color for thing in side) for side in happened[:2]):
        happened = CHANGES[kind](rng, _changeable(rng, nouns), few)
    before, after, answer = happened
    panels = tuple(Scene(tuple(side), side[0].name, nouns, draw_backdrop(rng, PICTURE_SIDE)) for side in (before, after))
    question = _question("change", Turn(_worded("change", rng, panels), (answer,)), 1 / len(CHANGES))
    return Album("change", panels, (question,))


def which_picture(rng: random.Random, nouns: Nouns) -> Album:
    """Pictures of the same two things in two colours each: a sentence fits one, by which thing has which colour.

    Who happens to see the right picture knows it, whatever the others show: one picture alone is right in 2 of n albums.
    """
    count = rng.choice((3, 4))
    names = tuple(rng.sample(nouns.colorable, 2))
    colors = rng.sample(tuple(COLORS), 2)
    painted = rng.sample([(first, second) for first in colors for second in colors], count)
    panels = []
    for pair in painted:
        others = _draw_names(rng, nouns, rng.choice(SIZES) - 2, set(names))
        panels.append(panel(rng, nouns, dressed(rng, nouns, (*names, *others), dict(zip(names, pair, strict=True)))))
    questions = []
    for number in rng.sample(range(count), 2):
        phrases = [with_article(f"{color} {name}") for color, name in zip(painted[number], names, strict=True)]
        rng.shuffle(phrases)
        turn = _choice("which_picture", rng, panels, number, sentence=" and ".join(phrases))
        questions.append(_question("which_picture", turn, 2 / count))
    return Album("which_picture", tuple(panels), tuple(questions))


def odd_picture(rng: random.Random, nouns: Nouns) -> Album:
    """Pictures, 3 or 4, all but one of which have a thing in common; of four, two share another one."""
    count, size = rng.choice((3, 4)), rng.choice(SIZES)
    odd = rng.randrange(count)
    common, pair = _draw_names(rng, nouns, 2, set())
    taken = {common, pair}
    doubled = {odd, rng.choice([number for number in range(count) if number != odd])} if count == 4 else set()
    panels = []
    for number in range(count):
        names = [common] * (number != odd) + [pair] * (number in doubled)
        names += _draw_names(rng, nouns, size - len(names), taken)
        taken.update(names)
        panels.append(panel(rng, nouns, dressed(rng, nouns, tuple(names))))
    question = _question("odd_picture", _choice("odd_picture", rng, panels, odd), 1 / count)
    return Album("odd_picture", tuple(panels), (question,))


def group_caption(rng: random.Random, nouns: Nouns) -> Album:
    """A group of 3 to 5 pictures whose theme is a category or a colour; no name, and no other theme, is in all of them."""
    categories = [category for category in CATEGORIES if len(nouns.of(category)) > 1]
    colors = list(COLORS) if len(nouns.colorable) >= COLOR_THEME_NOUNS else []
    themes = colors if rng.random() * len(categories + colors) < len(colors) else categories
    shapes = [(count, size) for count in (3, 4, 5) for size in SIZES if traits_needed(count, size) <= len(themes)]
    count, size = rng.choice(shapes)
    while True:
        links = linked(rng, count, size, lambda taken: rng.choice([theme for theme in themes if theme not in taken]))
        rows = [_with_traits(rng, nouns, row) for row in links.rows]
        if _traits_of_all(rows) == {links.shared}:
            break
    panels = tuple(panel(rng, nouns, things) for things in rows)
    phrase = f"something {links.shared}" if links.shared in COLORS else links.shared
    answers = (f"each picture shows {phrase}", f"all pictures show {phrase}", f"there is {phrase} in every picture")
    question = _question("group_caption", Turn(_worded("group_caption", rng, panels), answers), 1 / size)
    return Album("group_caption", panels, (question,))


def story(rng: random.Random, nouns: Nouns) -> Album:
    """Pictures, 3 to 5, through which one animal goes; it meets others, some of them again, and finds things.

    Every picture shows three animals: only all together say whose story it is. To tell it takes every picture, to tell
    its end takes the last, the animal's name and whom it has met.
    """
    animals = nouns.of("an animal")
    count = rng.choice([number for number in (3, 4, 5) if number < len(animals)])
    links = linked(rng, count, 3, lambda taken: rng.choice([name for name in animals if name not in taken]))
    others = iter(_draw_names(rng, nouns, count, set(animals)))
    rows = [(*row, next(others)) if rng.random() < STORY_OBJECTS else row for row in links.rows]
    panels = tuple(panel(rng, nouns, dressed(rng, nouns, row)) for row in rows)
    told = list(_sentences(panels, links.shared, animals))
    clues = [f"<image:{number}> {clue}." for number, (_, clue) in enumerate(told[:-1], start=1)]
    end = f"in the end the {links.shared} {told[-1][0].removeprefix('in the end it ')}"
    prompt = word("story_end", rng, story=" ".join(clues), last=f"<image:{count}>")
    questions = (
        _question("story", Turn(_worded("story", rng, panels), (". ".join(sentence for sentence, _ in told),)), 0.0),
        _question("story_end", Turn(prompt, (end,)), 1 / 3),
    )
    return Album("story", panels, questions)


KINDS: dict[str, Callable[[random.Random, Nouns], Album]] = {
    kind.__name__: kind for kind in (shared_element, change, which_picture, odd_picture, group_caption, story)
}


def _question(task: str, turn: Turn, one_picture: float, level: Level = Level.IMAGE) -> Question:
    return Question(Conversation(task, level, (turn,)), one_picture)


def _markers(panels: tuple[Scene, ...] | list[Scene]) -> str:
    return " ".join(f"<image:{number}>" for number in range(1, len(panels) + 1))


def _worded(task: str, rng: random.Random, panels: tuple[Scene, ...] | list[Scene], **fields: str) -> str:
    return word(task, rng, images=_markers(panels), **fields)


def _choice(task: str, rng: random.Random, panels: list[Scene], number: int, **fields: str) -> Turn:
    """A question whose answer is one of the pictures."""
    ordinals = ORDINALS[: len(panels)]
    named = f"{', '.join(ordinals[:-1])} or {ordinals[-1]}"
    return Turn(_worded(task, rng, panels, ordinals=named, **fields), (ordinals[number],), ordinals)


def _region(panels: tuple[Scene, ...], number: int, name: str) -> str:
    """The marker of a thing of that picture; regions are counted through all pictures."""
    (thing,) = panels[number].named(name)
    before = sum(len(scene.things) for scene in panels[:number])
    return f"<region:{before + panels[number].things.index(thing) + 1}>"


def _draw_names(rng: random.Random, nouns: Nouns, count: int, without: set[str]) -> list[str]:
    """So many different names, drawn as those of scenes are."""
    names: list[str] = []
    while len(names) < count:
        names.append(draw_name(rng, nouns, without | set(names)))
    return names


# What stands there before and after, and the answer. Made of four things, or `few` of them where their number stays.
Happened = tuple[list[Thing], list[Thing], str]


def _changeable(rng: random.Random, nouns: Nouns) -> list[Thing]:
    """Four things of different names, anywhere."""
    names = tuple(_draw_names(rng, nouns, max(SIZES), set()))
    things = placed(rng, dressed(rng, nouns, names), aligned_share=0)
    rng.shuffle(things)
    return things


def _added(rng: random.Random, things: list[Thing], few: int) -> Happened:
    *before, new = things
    return before, _shuffled(rng, things), f"{with_article(new.name)} was added"


def _removed(rng: random.Random, things: list[Thing], few: int) -> Happened:
    *after, old = things
    return _shuffled(rng, things), after, f"the {old.name} was removed"


def _recolored(rng: random.Random, things: list[Thing], few: int) -> Happened | None:
    before = things[:few]
    colored = [thing for thing in before if thing.color]
    if not colored:
        return None
    old = rng.choice(colored)
    new = replace(old, color=rng.choice([color for color in COLORS if color != old.color]))
    return before, [new if thing is old else thing for thing in before], f"the {old.name} turned {new.color}"


def _moved(rng: random.Random, things: list[Thing], few: int) -> Happened | None:
    """Far, and clearly in one direction."""
    before = things[:few]
    old = rng.choice(before)
    for _ in range(_TRIES):
        box = free_box(rng, old.sprite.size, (None, None), [thing.box for thing in before if thing is not old])
        if box is None:
            return None
        new = replace(old, box=box)
        for direction, (axis, sign) in DIRECTIONS.items():
            ahead = sign * (new.center[axis] - old.center[axis])
            aside = abs(new.center[1 - axis] - old.center[1 - axis])
            if ahead >= MOVED_PIXELS and ahead >= STEEPNESS * aside:
                after = [new if thing is old else thing for thing in before]
                return before, after, f"the {old.name} moved {WAYS[direction]}"
    return None


def _none(rng: random.Random, things: list[Thing], few: int) -> Happened:
    before = things[:few]
    return before, before, "nothing changed"


WAYS = {"left of": "left", "right of": "right", "above": "up", "below": "down"}
CHANGES: dict[str, Callable[[random.Random, list[Thing], int], Happened | None]] = {
    "added": _added, "removed": _removed, "recolored": _recolored, "moved": _moved, "none": _none
}  # fmt: skip


def _shuffled(rng: random.Random, things: list[Thing]) -> list[Thing]:
    """In another order, so that the last place tells nothing."""
    return rng.sample(things, len(things))


def _with_traits(rng: random.Random, nouns: Nouns, row: tuple[str, ...]) -> list[Thing]:
    """Things of one picture of a group: a different name for each category, or for each colour."""
    names: dict[str, str] = {}
    for trait in row:
        possible = nouns.colorable if trait in COLORS else nouns.of(trait)
        names[trait] = rng.choice([name for name in possible if name not in names.values()])
    colors = {name: trait for trait, name in names.items() if trait in COLORS}
    return dressed(rng, nouns, tuple(names.values()), colors)


def _traits_of_all(rows: list[list[Thing]]) -> set[str]:
    """Every category, colour and name that all pictures show."""
    return set[str].intersection(
        *(
            {thing.name for thing in things}
            | {thing.color for thing in things if thing.color}
            | {category for category, names in CATEGORIES.items() if any(thing.name in names for thing in things)}
            for things in rows
        )
    )


def _sentences(panels: tuple[Scene, ...], hero: str, animals: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Of each picture what the hero does there, left to right, and the same without naming an animal."""
    seen: set[str] = set()
    for number, scene in enumerate(panels):
        things = sorted(scene.things, key=lambda thing: thing.center)
        met = [thing.name for thing in things if thing.name in animals and thing.name != hero]
        found = [f" and finds {with_article(description(thing, size=False))}" for thing in things if thing.name not in animals]
        who = " and ".join(f"the {name} again" if name in seen else with_article(name) for name in met)
        subject = f"the {hero}" if number == 0 else "in the end it" if number == len(panels) - 1 else "then it"
        anonymous = "first it" if number == 0 else "then it"
        yield f"{subject} meets {who}{''.join(found)}", f"{anonymous} meets {len(met)} animals{''.join(found)}"
        seen.update(met)
