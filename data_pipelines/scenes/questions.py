"""What is asked about a scene. Each question has one answer, which follows from the boxes, colours and names alone."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from data_pipelines.scenes.compose import Scene, Thing
from data_pipelines.scenes.objects import plural, with_article
from data_pipelines.wordings import word
from triscope.data.sample import Conversation, Level, Turn

STEEPNESS = 1.5  # left of: so many times further across than up or down; the other directions likewise
ABSENT_COUNTS = 0.25  # share of count questions about what is not there; the answers 0 to 3 are then equally frequent
COUNT_WORDS = {2: "two", 3: "three"}

# direction: (axis, 0 across or 1 down; sign of the way on that axis)
DIRECTIONS = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}


@dataclass(frozen=True, slots=True)
class Relation:
    """`thing` is what lies `direction` of `anchor`.

    Args:
        direction: a key of `DIRECTIONS`.
        anchor: the thing asked about; the only one of its name.
        thing: the answer.
        opposite: names of what lies on the other side.
    """

    direction: str
    anchor: Thing
    thing: Thing
    opposite: frozenset[str]


@lru_cache(maxsize=1)  # several questions about one scene ask for them
def relations(things: tuple[Thing, ...]) -> tuple[Relation, ...]:
    """Every relation that is beyond doubt.

    Measured from middle to middle of boxes. B is clearly left of A (the other directions likewise) if it is at least
    `STEEPNESS` times further across than up or down; it is on A's left side unless it is clearly above or below A. Then
    "B is left of A" is asked if
    - A is the only thing of its name,
    - B is clearly left of A,
    - nothing else is on A's left side,
    - something is on A's right side, so that being on a side is no hint.
    """
    found = []
    counts = Counter(thing.name for thing in things)
    for anchor in (thing for thing in things if counts[thing.name] == 1):
        for direction, (axis, sign) in DIRECTIONS.items():
            near = [thing for thing in things if _is_beside(thing, anchor, axis, sign)]
            opposite = frozenset(thing.name for thing in things if _is_beside(thing, anchor, axis, -sign))
            if len(near) == 1 and opposite and _is_beside(near[0], anchor, axis, sign, clearly=True):
                found.append(Relation(direction, anchor, near[0], opposite))
    return tuple(found)


def _is_beside(thing: Thing, anchor: Thing, axis: int, sign: int, clearly: bool = False) -> bool:
    """Whether a thing is on that side of the anchor, or clearly in that direction (see `relations`)."""
    way = sign * (thing.center[axis] - anchor.center[axis])
    aside = abs(thing.center[1 - axis] - anchor.center[1 - axis])
    return way > 0 and (way >= STEEPNESS * aside if clearly else aside < STEEPNESS * way)


def attribute_phrases(things: tuple[Thing, ...]) -> Iterator[tuple[str, Thing]]:
    """`the red car` and `the large dog` for things that share their name, but not that colour or size, with others."""
    for thing in things:
        namesakes = [other for other in things if other.name == thing.name and other is not thing]
        if namesakes and thing.color and all(other.color != thing.color for other in namesakes):
            yield f"the {thing.color} {thing.name}", thing
        if namesakes and all(other.size != thing.size for other in namesakes):
            yield f"the {thing.size} {thing.name}", thing


def caption(things: Iterable[Thing], color: bool = True, size: bool = False) -> str:
    """What is there, left to right; what is told alike is counted at its leftmost place: `a red car and two dogs`."""
    ordered = sorted(things, key=lambda thing: thing.center)
    counts = Counter((description(thing, color, size), plural(thing.name)) for thing in ordered)
    parts = [_counted(phrase, several, count) for (phrase, several), count in counts.items()]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def description(thing: Thing, color: bool = True, size: bool = True) -> str:
    """`small red car`, with the colour and the size left out where unwanted, and the colour where there is none."""
    return " ".join(filter(None, (thing.size if size else None, thing.color if color else None, thing.name)))


def _counted(phrase: str, plural_noun: str, count: int) -> str:
    """`a red car`, `two red cars`."""
    *adjectives, _ = phrase.split()
    return with_article(phrase) if count == 1 else " ".join((COUNT_WORDS[count], *adjectives, plural_noun))


def _caption(scene: Scene, rng: random.Random) -> Turn:
    references = (caption(scene.things), caption(scene.things, size=True), caption(scene.things, color=False))
    return Turn(word("caption", rng), tuple(dict.fromkeys(references)))


def _yes_no(scene: Scene, rng: random.Random) -> Turn:
    present = rng.random() < 0.5
    name = rng.choice(_names(scene)) if present else scene.absent_name(rng)
    question = rng.choice(("Is there {}?", "Is there {} in the picture?", "Can you see {}?")).format(with_article(name))
    return Turn(word("yes_no", rng, question=question), ("yes" if present else "no",))


def _count(scene: Scene, rng: random.Random) -> Turn:
    name = scene.absent_name(rng) if rng.random() < ABSENT_COUNTS else scene.focus
    return Turn(word("count", rng, plural=plural(name)), (str(len(scene.named(name))),))


def _color(scene: Scene, rng: random.Random) -> Turn | None:
    things = [thing for thing in _unique(scene) if thing.color]
    if not things:
        return None
    thing = rng.choice(things)
    return Turn(word("color", rng, name=thing.name), (str(thing.color),))


def _relation(scene: Scene, rng: random.Random) -> Turn | None:
    """Asked only if something of another name lies opposite: else the name would follow from what is there."""
    possible = [relation for relation in relations(scene.things) if relation.opposite - {relation.thing.name}]
    if not possible:
        return None
    chosen = rng.choice(possible)
    return Turn(word("relation", rng, relation=chosen.direction, name=chosen.anchor.name), (chosen.thing.name,))


def _pointing(scene: Scene, rng: random.Random) -> Turn | None:
    return _point(scene, rng, [(f"the {thing.name}", thing) for thing in _unique(scene)])


def _pointing_attribute(scene: Scene, rng: random.Random) -> Turn | None:
    return _point(scene, rng, list(attribute_phrases(scene.things)))


def _pointing_relation(scene: Scene, rng: random.Random) -> Turn | None:
    found = relations(scene.things)
    return _point(scene, rng, [(f"the object {one.direction} the {one.anchor.name}", one.thing) for one in found])


def _point(scene: Scene, rng: random.Random, phrases: list[tuple[str, Thing]]) -> Turn | None:
    """A question for the box of one of the phrases, if there is any."""
    if not phrases:
        return None
    phrase, thing = rng.choice(phrases)
    return Turn(word("pointing", rng, phrase=phrase), (_marker(scene, thing),))


def _recognition(scene: Scene, rng: random.Random) -> Turn:
    thing = rng.choice(scene.things)
    return Turn(word("recognition", rng, region=_marker(scene, thing)), (thing.name,))


def _description(scene: Scene, rng: random.Random) -> Turn:
    thing = rng.choice(scene.things)
    return Turn(word("description", rng, region=_marker(scene, thing)), (with_article(description(thing)),))


def _names(scene: Scene) -> list[str]:
    """The names that occur, each once, in an order that does not depend on hashing."""
    return list(dict.fromkeys(thing.name for thing in scene.things))


def _unique(scene: Scene) -> list[Thing]:
    """The things that are alone of their name."""
    return [thing for thing in scene.things if len(scene.named(thing.name)) == 1]


def _marker(scene: Scene, thing: Thing) -> str:
    return f"<region:{scene.things.index(thing) + 1}>"


@dataclass(frozen=True, slots=True)
class Task:
    """How a task is asked.

    Args:
        level: which visual knowledge it needs.
        times: how often it is asked of a scene that allows it, on average. Drawn for each task on its own, so that
            being asked says nothing about the scene.
        ask: draws a question, or None if the scene allows none.
    """

    level: Level
    times: float
    ask: Callable[[Scene, random.Random], Turn | None]


# The mix: about 7 questions a scene. Few scenes have relations that are beyond doubt: these are asked twice.
TASKS = {
    "caption": Task(Level.IMAGE, 1.0, _caption),
    "yes_no": Task(Level.IMAGE, 0.8, _yes_no),
    "count": Task(Level.IMAGE, 0.8, _count),
    "color": Task(Level.IMAGE, 1.0, _color),
    "relation": Task(Level.IMAGE, 2.0, _relation),
    "pointing": Task(Level.REGION, 0.8, _pointing),
    "pointing_attribute": Task(Level.REGION, 1.0, _pointing_attribute),
    "pointing_relation": Task(Level.REGION, 2.0, _pointing_relation),
    "recognition": Task(Level.REGION, 0.8, _recognition),
    "description": Task(Level.REGION, 0.8, _description),
}


def ask(scene: Scene, rng: random.Random, tasks: Iterable[str] = tuple(TASKS)) -> tuple[Conversation, ...]:
    """Questions of every task drawn for this scene, in random order.

    Args:
        scene: what they are about.
        rng: the scene's generator.
        tasks: names of `TASKS` to choose from; with `caption` there is always at least one question.

    Returns:
        Conversations of one turn each, with `<region:k>` for the k-th thing.
    """
    asked: list[Conversation] = []
    for name in tasks:
        task = TASKS[name]
        times = int(task.times + rng.random())
        turns = dict.fromkeys(task.ask(scene, rng) for _ in range(times))
        asked += (Conversation(name, task.level, (turn,)) for turn in turns if turn)
    rng.shuffle(asked)
    return tuple(asked)
