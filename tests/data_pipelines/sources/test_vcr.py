"""VCR: a question, its answer, and why; objects are regions in questions and words in answers."""

from pathlib import Path

import pytest

from data_pipelines.sources.vcr import Vcr, agrees
from tests.data_pipelines.sources.published import converted, dropped, lines, photo, turns, written
from triscope.data.errors import TriscopeError

OBJECTS = ["person", "person", "dog"]
BOXES = [[10, 10, 60, 90, 0.99], [70, 10, 120, 90, 0.98], [130, 50, 200, 100.4, 0.7]]
CHOICES = [["Yes", "."], [[1], "is", "near", [2], "."], ["No", ",", [0], "is", "sad", "."], ["Maybe", "."]]
REASONS = [[[0], "and", [1], "smile", "."], ["They", "do", "n't", "care", "."], [[1, 2], "run", "."], ["Why", "not", "."]]
RECORD = {
    "img_fn": "film/a.jpg",
    "metadata_fn": "film/a.json",
    "objects": OBJECTS,
    "question": ["Why", "is", [0], "pointing", "at", [1, 2], "?"],
    "answer_choices": CHOICES,
    "answer_label": 1,
    "rationale_choices": REASONS,
    "rationale_label": 2,
    "question_orig": "Why is 1 pointing at 2 and 3?",
    "answer_orig": "2 is near 3.",
    "rationale_orig": "2 and 3 run.",
    "annot_id": "train-0",
}


def source(folder: Path, *records: dict, boxes: list | None = BOXES) -> Vcr:
    photo(folder / "film" / "a.jpg")
    if boxes is not None:
        written(folder / "film" / "a.json", {"boxes": boxes, "names": OBJECTS})
    return Vcr(lines(folder / "train.jsonl", list(records)), (folder,))


def test_objects_are_regions_in_the_question_and_words_in_the_answers(tmp_path: Path) -> None:
    (made,) = converted(source(tmp_path, RECORD))
    (prompt, answer), (why, reason) = turns(made)
    assert prompt == "Why is the person in <region:1> pointing at the person in <region:2> and the dog in <region:3>?"
    assert answer == "The second person is near the dog."
    assert "<region" not in why
    assert reason == "The second person and the dog run."
    assert made.sample is not None
    assert made.sample.regions[2].box.corners == (130, 50, 200, 100)
    (talk,) = made.sample.conversations
    assert talk.turns[0].candidates == ("Yes.", answer, "No, the first person is sad.", "Maybe.")
    assert talk.turns[1].candidates[:2] == ("The first person and the second person smile.", "They don't care.")


def test_everyone_is_all_persons(tmp_path: Path) -> None:
    record = RECORD | {"question": ["Is", "everyone", "happy", "?"], "question_orig": "Is everyone happy?"}
    (made,) = converted(source(tmp_path, record))
    assert turns(made)[0][0] == "Is everyone (<region:1> and <region:2>) happy?"


def test_questions_about_a_picture_are_one_sample_and_share_regions(tmp_path: Path) -> None:
    (made,) = converted(source(tmp_path, RECORD, RECORD | {"annot_id": "train-1"}))
    assert made.sample is not None
    assert (len(made.sample.conversations), len(made.sample.regions)) == (2, 3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"question_orig": "Why is 0 pointing at 1 and 2?"}, "numbers_disagree"),
        ({"answer_orig": "1 is near 2."}, "numbers_disagree"),
        ({"question": ["Who", "is", [3], "?"], "question_orig": "Who is 4?"}, "object_missing"),
        ({"rationale_choices": [*REASONS[:3], [[7]]]}, "object_missing"),
        ({"objects": OBJECTS[:2]}, "boxes_unequal"),
    ],
)
def test_numbers_that_do_not_name_an_object_are_faults(tmp_path: Path, changes: dict, reason: str) -> None:
    (made,) = converted(source(tmp_path, RECORD, RECORD | changes))
    assert dropped(made) == [(reason, "record")]
    assert len(turns(made)) == 2


def test_a_question_without_label_and_boxes_that_are_missing_are_told(tmp_path: Path) -> None:
    unlabelled = {name: value for name, value in RECORD.items() if name != "answer_label"}
    (made,) = converted(source(tmp_path, unlabelled))
    assert dropped(made) == [("question_without_answer", None), ("nothing_to_ask", None)]
    (tmp_path / "film" / "a.json").unlink()
    (made,) = converted(source(tmp_path, RECORD, boxes=None))
    assert dropped(made) == [("boxes_missing", "record"), ("nothing_to_ask", None)]


def test_a_box_without_area_costs_its_question(tmp_path: Path) -> None:
    (made,) = converted(source(tmp_path, RECORD, boxes=[[10, 10, 10, 90, 1], *BOXES[1:]]))
    assert dropped(made)[0] == ("box_without_area", "record")


@pytest.mark.parametrize(
    ("original", "same"),
    [("1 sees 2 and 3", True), ("In 1999 1 sees 2 and 3", True), ("0 sees 1 and 2", False), ("2 sees 1 and 3", False)],
)
def test_originals_count_from_one_in_the_same_order(original: str, same: bool) -> None:
    assert agrees([[0], "sees", [1, 2]], original) == same


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"img_fn": "a.jpg"}\n{"img_fn"\n')
    with pytest.raises(TriscopeError, match=r"train\.jsonl, line 2"):
        list(Vcr(tmp_path / "train.jsonl", (tmp_path,)).entries())
