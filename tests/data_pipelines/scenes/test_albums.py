"""Albums: what links their pictures, and that every answer follows from all of them and from no picture alone."""

import random
import re
from collections import Counter, defaultdict

import pytest

from data_pipelines.scenes.album_questions import CHANGES, KINDS, ORDINALS, Album, Question, compose_album
from data_pipelines.scenes.albums import linked, traits_needed
from data_pipelines.scenes.compose import Scene, Thing, scene_generator
from data_pipelines.scenes.objects import CATEGORIES, COLORS, HELD_OUT, TRAINED_NOUNS, nouns_of

ALBUMS = 900


@pytest.fixture(scope="module")
def albums() -> dict[str, list[Album]]:
    """Albums by kind."""
    by_kind = defaultdict(list)
    for index in range(ALBUMS):
        album = compose_album(scene_generator(7, "train/albums", index), "train")
        by_kind[album.kind].append(album)
    return by_kind


def names(scene: Scene) -> set[str]:
    return {thing.name for thing in scene.things}


def turn(question: Question):
    (only,) = question.conversation.turns
    return only


def answer(question: Question) -> str:
    return turn(question).answers[0]


def region(album: Album, marker: str) -> Thing:
    things = [thing for scene in album.panels for thing in scene.things]
    return things[int(re.fullmatch(r"<region:(\d+)>", marker)[1]) - 1]


def is_near(share: float, expected: float, draws: int) -> bool:
    """Whether a share is within four standard deviations of what is expected."""
    return abs(share - expected) < 4 * (expected * (1 - expected) / draws) ** 0.5


@pytest.mark.parametrize(("pictures", "size"), [(2, 3), (2, 4), (3, 3), (3, 4), (4, 3), (4, 4), (5, 3), (5, 4)])
def test_one_trait_is_in_all_pictures_and_leaving_out_one_leaves_two(pictures, size):
    drawn = []
    links = linked(random.Random(0), pictures, size, lambda taken: drawn.append(f"trait {len(taken)}") or drawn[-1])
    assert len(drawn) == traits_needed(pictures, size)
    rows = [set(row) for row in links.rows]
    assert all(len(row) == size for row in rows)
    assert set.intersection(*rows) == {links.shared}
    if pictures <= size:
        for left_out in range(pictures):
            assert len(set.intersection(*rows[:left_out], *rows[left_out + 1 :])) >= 2


def test_every_kind_is_equally_frequent_and_asks_its_tasks(albums):
    assert set(albums) == set(KINDS)
    assert all(is_near(len(of_kind) / ALBUMS, 1 / len(KINDS), ALBUMS) for of_kind in albums.values())
    tasks = {
        kind: {question.conversation.task for album in of_kind for question in album.questions}
        for kind, of_kind in albums.items()
    }
    assert tasks == {kind: {kind} for kind in KINDS} | {
        "shared_element": {"shared_element", "pointing_shared"}, "story": {"story", "story_end"}
    }  # fmt: skip


def test_every_picture_is_named_once_in_every_prompt(albums):
    for album in (album for of_kind in albums.values() for album in of_kind):
        for question in album.questions:
            markers = re.findall(r"<image:(\d)>", turn(question).prompt)
            assert markers == [str(number + 1) for number in range(len(album.panels))]


def test_the_shared_element_is_the_only_name_of_all_pictures_and_its_box_is_asked(albums):
    for album in albums["shared_element"]:
        named, pointed = album.questions
        assert set.intersection(*map(names, album.panels)) == {answer(named)}
        thing = region(album, answer(pointed))
        ordinal = re.search(r"the (\w+) picture", turn(pointed).prompt)[1]
        assert thing.name == answer(named) and thing in album.panels[ORDINALS.index(ordinal)].things
        assert pointed.conversation.level == "region" and named.conversation.level == "image"


def test_in_one_picture_the_shared_element_looks_like_the_others(albums):
    """The largest, the leftmost and the first-numbered thing are it no more often than the level that is written down."""
    of_kind = albums["shared_element"]
    for key in (lambda thing: -thing.long_side, lambda thing: thing.center, lambda thing: 0):
        hits = [min(album.panels[0].things, key=key).name == answer(album.questions[0]) for album in of_kind]
        expected = sum(album.questions[0].one_picture for album in of_kind) / len(of_kind)
        assert is_near(sum(hits) / len(hits), expected, len(hits))


def happened(album: Album) -> str:
    """What changed, by comparing the two pictures."""
    before, after = ({thing.name: thing for thing in scene.things} for scene in album.panels)
    if new := set(after) - set(before):
        return f"added {new.pop()}"
    if old := set(before) - set(after):
        return f"removed {old.pop()}"
    for name, thing in before.items():
        if thing.color != after[name].color:
            return f"turned {name} {after[name].color}"
        if thing.box != after[name].box:
            across, down = (b - a for a, b in zip(thing.center, after[name].center, strict=True))
            way = ("left", "right")[across > 0] if abs(across) > abs(down) else ("up", "down")[down > 0]
            return f"moved {name} {way}"
    return "nothing changed"


def test_exactly_one_thing_changed_as_the_answer_says_and_all_changes_are_equally_frequent(albums):
    wordings = {
        r"an? (\w+) was added": "added {}", r"the (\w+) was removed": "removed {}",
        r"the (\w+) turned (\w+)": "turned {} {}", r"the (\w+) moved (\w+)": "moved {} {}", "nothing changed": "nothing changed",
    }  # fmt: skip
    kinds = Counter()
    for album in albums["change"]:
        said = answer(album.questions[0])
        (told,) = (form.format(*found.groups()) for pattern, form in wordings.items() if (found := re.fullmatch(pattern, said)))
        assert told == happened(album)
        before, after = (set(scene.things) for scene in album.panels)
        assert len(before - after) <= 1 and len(after - before) <= 1
        kinds[told.split()[0]] += 1
    assert len(kinds) == len(CHANGES)
    assert all(is_near(kinds[kind] / kinds.total(), 1 / len(CHANGES), kinds.total()) for kind in kinds)


def test_the_number_of_things_does_not_tell_a_change_apart_from_none(albums):
    sizes = Counter((answer(album.questions[0]) == "nothing changed", len(album.panels[1].things)) for album in albums["change"])
    assert is_near(sizes[True, 3] / (sizes[True, 3] + sizes[True, 4]), 0.5, sizes[True, 3] + sizes[True, 4])


def test_the_sentence_fits_the_named_picture_alone(albums):
    for album in albums["which_picture"]:
        for question in album.questions:
            phrases = re.findall(r"an? (\w+) (\w+)(?= and|[:\"])", turn(question).prompt)
            assert len(phrases) == 2
            fitting = [
                ordinal
                for ordinal, scene in zip(ORDINALS, album.panels, strict=False)
                if all(any((thing.color, thing.name) == phrase for thing in scene.things) for phrase in phrases)
            ]
            assert fitting == [answer(question)]
            assert all({name for _, name in phrases} <= names(scene) for scene in album.panels)
            assert turn(question).candidates == ORDINALS[: len(album.panels)]


def test_all_pictures_but_the_odd_one_have_something_in_common(albums):
    for album in albums["odd_picture"]:
        odd = ORDINALS.index(answer(album.questions[0]))
        lacking = [
            number
            for number in range(len(album.panels))
            if set.intersection(*(names(scene) for other, scene in enumerate(album.panels) if other != number))
        ]
        assert lacking == [odd]


@pytest.mark.parametrize(("kind", "task"), [("which_picture", 0), ("odd_picture", 0)])
def test_no_place_among_the_pictures_is_more_likely(albums, kind, task):
    for count in (3, 4):
        answers = [answer(album.questions[task]) for album in albums[kind] if len(album.panels) == count]
        assert all(is_near(share / len(answers), 1 / count, len(answers)) for share in Counter(answers).values())


def test_a_group_has_one_theme_of_all_and_no_other(albums):
    for album in albums["group_caption"]:
        theme = re.fullmatch(r"each picture shows (.+)", answer(album.questions[0]))[1]
        traits = [
            names(scene)
            | {f"something {thing.color}" for thing in scene.things if thing.color}
            | {category for category, members in CATEGORIES.items() if names(scene) & set(members)}
            for scene in album.panels
        ]
        assert set.intersection(*traits) == {theme}
        assert 3 <= len(album.panels) <= 5


def test_a_story_is_that_of_the_only_animal_of_all_pictures_and_tells_every_picture(albums):
    animals = set(CATEGORIES["an animal"])
    for album in albums["story"]:
        told, end = map(answer, album.questions)
        (hero,) = set.intersection(*(names(scene) & animals for scene in album.panels))
        sentences = told.split(". ")
        assert sentences[0].startswith(f"the {hero} meets") and end.startswith(f"in the end the {hero} meets")
        seen = set()
        for scene, sentence in zip(album.panels, sentences, strict=True):
            others = (names(scene) & animals) - {hero}
            assert {name for name in others if re.search(rf"\b{name}\b", sentence)} == others
            assert {name for name in others if f"the {name} again" in sentence} == others & seen
            seen |= others
            assert all(re.search(rf"finds an? (\w+ )?{name}\b", sentence) for name in names(scene) - animals)
        assert end.removeprefix(f"in the end the {hero}") == sentences[-1].removeprefix("in the end it")
        assert not [name for name in animals if re.search(rf"\b{name}\b", turn(album.questions[1]).prompt)]


def test_each_noun_is_in_one_category_at_most_and_every_one_is_a_noun():
    members = [name for group in CATEGORIES.values() for name in group]
    assert len(set(members)) == len(members)
    assert set(members) <= {*TRAINED_NOUNS.names, *HELD_OUT} and not set(CATEGORIES) & set(COLORS)


def test_albums_of_held_out_nouns_show_no_other():
    held_out = set(nouns_of("test_objects").names)
    for index in range(60):
        album = compose_album(scene_generator(0, "test_objects/albums", index), "test_objects")
        assert set().union(*map(names, album.panels)) <= held_out
