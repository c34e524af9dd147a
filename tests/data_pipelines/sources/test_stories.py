"""Stories of VIST and AESOP: the whole of it, and its end."""

from pathlib import Path

import pytest

from data_pipelines.sources.aesop import Aesop
from data_pipelines.sources.vist import Vist
from tests.data_pipelines.sources.published import converted, dropped, photo, turns, written
from triscope.data.errors import TriscopeError


def sentence(order: int, story: str = "10", **fields: str) -> list[dict]:
    photo_id = f"50{order}"
    record = {"story_id": story, "photo_flickr_id": photo_id, "worker_arranged_photo_order": order, "storylet_id": f"9{order}"}
    return [record | {"original_text": f" Part {order}. ", "text": f"part {order} ."} | fields]


def vist(folder: Path, annotations: list, missing: int | None = None) -> Vist:
    for order in range(5):
        if order != missing:
            photo(folder / f"50{order}.{'png' if order == 3 else 'jpg'}")
    content = {"images": [], "albums": [], "annotations": annotations}
    return Vist(written(folder / "train.story-in-sequence.json", content), (folder,))


def test_a_story_is_told_in_the_order_of_its_photos(tmp_path: Path) -> None:
    (made,) = converted(vist(tmp_path, [sentence(order) for order in (3, 0, 4, 1, 2)]))
    assert made.sample is not None
    assert (made.sample.key, len(made.sample.images)) == ("vist-10", 5)
    (_, story), (prompt, end) = turns(made)
    assert story == "Part 0. Part 1. Part 2. Part 3. Part 4."
    assert prompt.startswith("<image:1> Part 0. <image:2> Part 1. <image:3> Part 2. <image:4> Part 3. <image:5> ")
    assert end == "Part 4."


def test_stories_with_a_missing_photo_or_sentence_are_counted(tmp_path: Path) -> None:
    stories = [sentence(order) for order in range(5)] + [sentence(order, "11") for order in range(4)]
    gone, short = converted(vist(tmp_path, stories, missing=4))
    assert dropped(gone) == [("picture_missing", None)]
    assert dropped(short) == [("story_incomplete", "record"), ("nothing_to_ask", None)]


def test_annotations_that_are_no_lists_of_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(TriscopeError, match=r"annotation 1: found .*expected a list of one record"):
        list(vist(tmp_path, [sentence(0), {"story_id": "10"}]).entries())


def test_three_panels_and_their_theme(tmp_path: Path) -> None:
    panels = [f"previews/{number}.png" for number in range(3)]
    for panel in panels[:3]:
        photo(tmp_path / panel)
    record = {"storyid": "s1", "theme": "friendship", "title": "Ball", "text": ["A.", "B.", "C."], "image_path": panels}
    records = [record, record | {"storyid": "s2", "text": ["A.", "", "C."]}]
    whole, short = converted(Aesop(written(tmp_path / "train.json", records), (tmp_path,)))
    assert turns(whole)[0][1] == "A. B. C."
    assert turns(whole)[1][1] == "C."
    assert whole.sample is not None and whole.sample.extra == {"theme": "friendship"}
    assert dropped(short)[0] == ("story_incomplete", "record")
