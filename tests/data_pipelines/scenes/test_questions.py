"""Questions about scenes: what is answered follows from the scene alone, and answers are balanced."""

import random
import re
from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from data_pipelines.scenes.compose import Scene, Thing, compose, scene_generator
from data_pipelines.scenes.objects import IRREGULAR_PLURALS
from data_pipelines.scenes.questions import TASKS, ask, attribute_phrases, caption, relations
from triscope.data.sample import Turn

SCENES = 3000
DIRECTION = re.compile(r"(left of|right of|above|below) the (\w+)")


@pytest.fixture(scope="module")
def asked() -> dict[str, list[tuple[Scene, Turn]]]:
    """Every question about many scenes, by task."""
    by_task = defaultdict(list)
    for index in range(SCENES):
        rng = scene_generator(3, "train", index)
        scene = compose(rng, "train")
        for conversation in ask(scene, rng):
            (turn,) = conversation.turns
            by_task[conversation.task].append((scene, turn))
    return by_task


def thing(name: str, x: int, y: int, color: str | None = None, size: str = "small") -> Thing:
    return Thing(name, color, size, 40, False, (x - 20, y - 20, x + 20, y + 20))


def referent(scene: Scene, turn: Turn) -> Thing:
    return scene.things[int(re.fullmatch(r"<region:(\d)>", turn.answers[0])[1]) - 1]


def shown(scene: Scene, turn: Turn) -> Thing:
    return scene.things[int(re.search(r"<region:(\d)>", turn.prompt)[1]) - 1]


def is_balanced(answers: list[str], possible: int) -> bool:
    """Whether every answer is within four standard deviations of its fair share."""
    counts, share = Counter(answers), 1 / possible
    deviation = (share * (1 - share) * len(answers)) ** 0.5
    return len(counts) == possible and all(abs(n - share * len(answers)) < 4 * deviation for n in counts.values())


def only_one_is_clearly_there(scene: Scene, direction: str, anchor_name: str) -> Thing:
    """The rules of `relations`, written a second time, for one question."""
    (anchor,) = scene.named(anchor_name)

    def steps(other: Thing) -> tuple[float, float]:
        across, down = (b - a for a, b in zip(anchor.center, other.center, strict=True))
        return {
            "left of": (-across, down), "right of": (across, down), "above": (-down, across), "below": (down, across)
        }[direction]  # fmt: skip

    others = {other: steps(other) for other in scene.things if other is not anchor}
    (found,) = [other for other, (ahead, aside) in others.items() if ahead > 0 and abs(aside) < 1.5 * ahead]
    ahead, aside = others[found]
    assert ahead >= 1.5 * abs(aside), "near-diagonal"
    assert any(ahead < 0 and abs(aside) < -1.5 * ahead for ahead, aside in others.values()), "nothing opposite"
    return found


def test_every_task_is_asked_and_none_much_more_than_another(asked):
    rates = {task: len(asked[task]) / SCENES for task in TASKS}
    assert all(0.3 < rate <= 1 for rate in rates.values()), rates
    assert 6 < sum(rates.values()) < 8


def test_yes_and_no_are_equally_frequent_and_so_are_the_names_asked_about(asked):
    assert is_balanced([turn.answers[0] for _, turn in asked["yes_no"]], 2)
    names = {"yes": Counter(), "no": Counter()}
    for scene, turn in asked["yes_no"]:
        name = re.search(r"(?:there|see) an? (\w+)", turn.prompt)[1]
        names[turn.answers[0]][name in scene.nouns.colorable] += 1
        assert (turn.answers[0] == "yes") == bool(scene.named(name))
    for counts in names.values():
        assert abs(counts[True] / counts.total() - 0.5) < 0.06


def test_counts_from_none_to_three_are_right_and_equally_frequent(asked):
    assert is_balanced([turn.answers[0] for _, turn in asked["count"]], 4)
    singular = {many: one for one, many in IRREGULAR_PLURALS.items()}
    for scene, turn in asked["count"]:
        many = re.search(r"(?:How many|Count the|number of) (\w+)", turn.prompt)[1]
        assert len(scene.named(singular.get(many, many.removesuffix("s")))) == int(turn.answers[0])


def test_colours_are_asked_of_things_alone_of_their_name_and_equally_frequent(asked):
    assert is_balanced([turn.answers[0] for _, turn in asked["color"]], 6)
    for scene, turn in asked["color"]:
        (alone,) = scene.named(re.search(r"the (\w+)(?: have)?[.?]$", turn.prompt)[1])
        assert turn.answers == (alone.color,)


@pytest.mark.parametrize("task", ["relation", "pointing_relation"])
def test_relations_are_beyond_doubt(asked, task):
    for scene, turn in asked[task]:
        direction, anchor_name = DIRECTION.search(turn.prompt).groups()
        found = only_one_is_clearly_there(scene, direction, anchor_name)
        assert found.name == turn.answers[0] if task == "relation" else found is referent(scene, turn)


def test_the_four_directions_are_equally_frequent(asked):
    assert is_balanced([DIRECTION.search(turn.prompt)[1] for _, turn in asked["relation"]], 4)


def test_the_answer_to_a_relation_is_not_the_only_other_name(asked):
    for scene, turn in asked["relation"]:
        anchor_name = DIRECTION.search(turn.prompt)[2]
        assert len({other.name for other in scene.things} - {anchor_name}) >= 2


def test_pointing_has_one_referent(asked):
    for scene, turn in asked["pointing"]:
        name = re.search(r"the (\w+)[.?]$", turn.prompt)[1]
        assert scene.named(name) == (referent(scene, turn),)


def test_pointing_by_attribute_has_one_referent_among_several_of_its_name(asked):
    for scene, turn in asked["pointing_attribute"]:
        attribute, name = re.search(r"the (\w+) (\w+)[.?]$", turn.prompt).groups()
        named = scene.named(name)
        assert len(named) > 1
        assert [one for one in named if attribute in (one.color, one.size)] == [referent(scene, turn)]


def test_regions_are_named_and_described(asked):
    for scene, turn in asked["recognition"]:
        assert turn.answers == (shown(scene, turn).name,)
    for scene, turn in asked["description"]:
        one = shown(scene, turn)
        assert turn.answers == (" ".join(filter(None, ("a", one.size, one.color, one.name))),)


def test_region_numbers_do_not_tell_the_answer(asked):
    numbers = [turn.answers[0] for scene, turn in asked["pointing_attribute"] if len(scene.things) == 4]
    assert len(numbers) > 500 and is_balanced(numbers, 4)


def test_a_caption_tells_left_to_right_and_counts_what_is_alike():
    things = (thing("tree", 150, 30), thing("dog", 60, 90), thing("car", 20, 50, "orange"), thing("dog", 200, 90))
    assert caption(things) == "an orange car, two dogs and a tree"
    assert caption(things, color=False, size=True) == "a small car, two small dogs and a small tree"
    reds = tuple(thing("bus", x, 50, "red") for x in (20, 80, 140))
    assert caption(reds) == "three red buses"


def test_a_thing_straight_above_is_not_on_the_left_but_a_diagonal_one_makes_left_doubtful():
    cat, dog, cow = thing("cat", 40, 112), thing("dog", 112, 112), thing("cow", 180, 112)
    assert {(found.direction, found.anchor.name, found.thing.name) for found in relations((cat, dog, cow))} == {
        ("left of", "dog", "cat"),
        ("right of", "dog", "cow"),
    }
    assert "left of" in {found.direction for found in relations((cat, dog, cow, thing("pig", 108, 30)))}
    assert "left of" not in {found.direction for found in relations((cat, dog, cow, thing("pig", 52, 40)))}


def test_an_attribute_names_what_no_namesake_shares():
    red, blue = thing("car", 40, 40, "red"), thing("car", 120, 40, "blue", "large")
    assert {phrase for phrase, _ in attribute_phrases((red, blue))} == {
        "the red car", "the small car", "the blue car", "the large car"
    }  # fmt: skip
    assert not list(attribute_phrases((red, replace(red, box=blue.box), thing("dog", 40, 120))))


def test_only_the_tasks_asked_for_are_asked():
    rng = random.Random(0)
    scene = compose(rng, "train")
    assert {conversation.task for conversation in ask(scene, rng, ("caption",))} == {"caption"}
