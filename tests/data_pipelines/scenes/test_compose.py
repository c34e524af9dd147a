"""Scenes and their pictures."""

from itertools import combinations

from PIL import ImageChops

from data_pipelines.scenes.backdrops import paint
from data_pipelines.scenes.compose import GAP, MOST_LARGE, PICTURE_SIDE, Scene, compose, draw, scene_generator
from triscope.data.boxes import Box, BoxSpace, intersection_over_union


def scenes(count: int, split: str = "train") -> list[Scene]:
    return [compose(scene_generator(5, split, index), split) for index in range(count)]


def test_boxes_enclose_exactly_the_pixels_that_differ_from_the_background():
    for scene in scenes(40):
        difference = ImageChops.difference(draw(scene), paint(scene.backdrop, PICTURE_SIDE))
        for thing in scene.things:
            left, top, right, bottom = thing.box
            around = difference.crop((left - 2, top - 2, right + 2, bottom + 2))
            assert around.getbbox() == (2, 2, 2 + right - left, 2 + bottom - top)


def test_things_stand_apart_and_inside_the_picture():
    for scene in scenes(200):
        assert 2 <= len(scene.things) <= 4
        for thing in scene.things:
            left, top, right, bottom = thing.box
            assert 0 <= left < right <= PICTURE_SIDE and 0 <= top < bottom <= PICTURE_SIDE
        for first, second in combinations(scene.things, 2):
            left, top, right, bottom = first.box
            widened = Box(left - GAP + 1, top - GAP + 1, right + GAP - 1, bottom + GAP - 1, BoxSpace.PIXELS)
            assert intersection_over_union(widened, second.pixel_box) == 0


def test_sizes_leave_a_clear_gap():
    things = [thing for scene in scenes(300) for thing in scene.things]
    sides = {size: [max(thing.sprite.size) for thing in things if thing.size == size] for size in ("small", "large")}
    assert max(sides["small"]) + 20 <= min(sides["large"])
    assert all(sum(thing.size == "large" for thing in scene.things) <= MOST_LARGE for scene in scenes(100))


def test_only_the_focus_has_copies_and_these_can_be_told_apart():
    for scene in scenes(300):
        for name in {thing.name for thing in scene.things} - {scene.focus}:
            assert len(scene.named(name)) == 1
        copies = scene.named(scene.focus)
        if len(copies) > 1:
            assert len({(thing.color, thing.size) for thing in copies}) > 1


def test_a_scene_holds_the_nouns_of_its_split():
    for split in ("val", "test_objects"):
        for scene in scenes(100, split):
            assert {thing.name for thing in scene.things} <= set(scene.nouns.names)
            assert scene.absent_name(scene_generator(0, split, 0)) not in {thing.name for thing in scene.things}
