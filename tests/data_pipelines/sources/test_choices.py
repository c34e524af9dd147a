"""A-OKVQA, IconQA, ScienceQA, MMBench and VisDial: closed lists of answers, and which is right."""

import base64
import csv
import io
from pathlib import Path

import pytest
from PIL import Image

from data_pipelines.make_shards import Made
from data_pipelines.sources.choices import AOkVqa, IconQa, ScienceQa
from data_pipelines.sources.mmbench import MmBench
from data_pipelines.sources.visdial import VisDial
from tests.data_pipelines.sources.published import converted, dropped, photo, written
from triscope.data.errors import TriscopeError
from triscope.data.sample import Turn


def asked(made: Made) -> dict[str, list[Turn]]:
    """The turns of each task."""
    assert made.sample is not None, made.drops
    tasks: dict[str, list[Turn]] = {}
    for talk in made.sample.conversations:
        tasks.setdefault(talk.task, []).extend(talk.turns)
    return tasks


A_OKVQA = {
    "split": "val",
    "image_id": 461751,
    "question_id": "22jbM6gDxdaMaunuzgrsBB",
    "question": "What is in the motorcyclist's mouth?",
    "choices": ["toothpick", "food", "popsicle stick", "cigarette"],
    "correct_choice_idx": 3,
    "direct_answers": ["cigarette"] * 10,
    "difficult_direct_answer": False,
    "rationales": ["He's smoking."],
}


def a_okvqa(folder: Path, **changes: object) -> list[Made]:
    photo(folder / "000000461751.jpg")
    record = {name: value for name, value in (A_OKVQA | changes).items() if value is not None}
    return converted(AOkVqa(written(folder / "a.json", [record]), (folder,)))


def test_a_okvqa_asks_freely_and_out_of_four(tmp_path: Path) -> None:
    (made,) = a_okvqa(tmp_path)
    tasks = asked(made)
    assert tasks["direct_answer"][0].answers == ("cigarette",) * 10
    (choice,) = tasks["choice"]
    assert choice.answers == ("cigarette",) and choice.candidates == tuple(A_OKVQA["choices"])
    assert choice.id == A_OKVQA["question_id"]


def test_a_hidden_answer_is_a_placeholder_and_one_outside_the_list_a_fault(tmp_path: Path) -> None:
    (hidden,) = a_okvqa(tmp_path, correct_choice_idx=None, direct_answers=None)
    assert [turn.answers for turns in asked(hidden).values() for turn in turns] == [("unknown",), ("unknown",)]
    (made,) = a_okvqa(tmp_path, correct_choice_idx=4)
    assert dropped(made) == [("answer_outside_choices", "record")]


def test_iconqa_reads_a_folder_a_question(tmp_path: Path) -> None:
    kinds = {"3": ("choose_txt", ["certain", "unlikely"], 1), "4": ("fill_in_blank", None, "12")}
    kinds["5"] = ("choose_img", ["a.png"], 0)
    for number, (kind, choices, answer) in kinds.items():
        photo(tmp_path / number / "image.png")
        record = {"question": "How likely?", "ques_type": kind, "answer": answer, "grade": "grade1", "label": "S2"}
        written(tmp_path / number / "data.json", record | ({"choices": choices} if choices else {}))
    chosen, filled, pictures = converted(IconQa(tmp_path))
    assert asked(chosen)["choice"][0].answers == ("unlikely",)
    assert asked(filled)["exact_question"][0].answers == ("12",)
    assert dropped(pictures)[0][0] == "pictures_to_choose_from"
    with pytest.raises(TriscopeError, match=r"PID/data\.json"):
        list(IconQa(tmp_path / "3").entries())


def test_scienceqa_asks_what_has_a_picture_and_is_of_the_split(tmp_path: Path) -> None:
    problem = {"question": "Which is colder?", "choices": ["A", "B"], "answer": 0, "image": "image.png"}
    problem |= {"hint": "See the\ntwo cups.", "split": "test", "subject": "natural science", "grade": "grade4"}
    problems = {"11": problem, "12": problem | {"image": None}, "13": problem | {"split": "val"}}
    photo(tmp_path / "test" / "11" / "image.png")
    (made,) = converted(ScienceQa(written(tmp_path / "problems.json", problems), (tmp_path,)))
    (turn,) = asked(made)["choice"]
    assert (turn.prompt, turn.answers, turn.id) == ("See the two cups. Which is colder?", ("A",), "11")


# MMBench --------------------------------------------------------------------------------------------------------------


def table(path: Path, rows: list[dict]) -> Path:
    columns = ["index", "question", "hint", "A", "B", "C", "D", "answer", "category", "image", "l2-category", "split"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter="\t", restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def encoded() -> str:
    buffer = io.BytesIO()
    Image.effect_noise((64, 48), 50).convert("RGB").save(buffer, "JPEG")
    return base64.b64encode(buffer.getvalue()).decode()


QUESTION = {"question": "What is it?", "A": "cat", "B": "dog", "C": "cow", "answer": "B"}
QUESTION |= {"category": "naming", "l2-category": "FP-S"}


def test_mmbench_s_passes_over_one_question_are_one_sample(tmp_path: Path) -> None:
    """As published: the passes have numbers a million apart, and may name the row that has the picture."""
    turned = QUESTION | {"A": "dog", "B": "cow", "C": "cat", "answer": "A"}
    rows = [QUESTION | {"index": 7, "image": encoded()}, turned | {"index": 1_000_007, "image": "7"}]
    (made,) = converted(MmBench(table(tmp_path / "m.tsv", rows)))
    turns = asked(made)["circular_choice"]
    assert [turn.answers for turn in turns] == [("dog",), ("dog",)]
    assert [turn.candidates for turn in turns] == [("cat", "dog", "cow"), ("dog", "cow", "cat")]
    assert [turn.id for turn in turns] == ["7", "1000007"]
    assert made.sample is not None and made.sample.extra == {"category": "naming", "ability": "FP-S"}


def test_mmbench_without_passes_is_asked_in_every_order(tmp_path: Path) -> None:
    (made,) = converted(MmBench(table(tmp_path / "m.tsv", [QUESTION | {"index": 7, "image": encoded()}])))
    turns = asked(made)["circular_choice"]
    assert {turn.answers for turn in turns} == {("dog",)}
    assert [turn.candidates[0] for turn in turns] == ["cat", "dog", "cow"] and turns[2].id == "2000007"


def test_mmbench_without_its_columns_or_with_a_broken_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.tsv").write_text("index\tquestion\n1\tWhat?\n")
    with pytest.raises(TriscopeError, match=r"also \['A', 'B', 'image'\]"):
        list(MmBench(tmp_path / "m.tsv").entries())
    (made,) = converted(MmBench(table(tmp_path / "m.tsv", [QUESTION | {"index": 7, "image": "x" * 90}])))
    assert made.fault is not None and made.fault.reason == "picture_unreadable"


# VisDial --------------------------------------------------------------------------------------------------------------


def visdial(folder: Path, *judged: dict) -> Made:
    """A dialogue of two rounds about a picture, and the relevance of its answers, if it was judged."""
    photo(folder / "VisualDialog_val2018_000000185565.jpg")
    dialog = [
        {"question": 0, "answer": 1, "gt_index": 2, "answer_options": [0, 2, 1]},
        {"question": 1, "answer": 2, "gt_index": 0, "answer_options": [2, 0, 1]},
    ]
    data = {
        "questions": ["is it sunny", "how many dogs"],
        "answers": ["no", "yes it is", "2"],
        "dialogs": [{"image_id": 185565, "caption": "a dog on a beach", "dialog": dialog}],
    }
    content = {"version": "1.0", "split": "val2018", "data": data}
    relevance = written(folder / "dense.json", list(judged)) if judged else None
    (made,) = converted(VisDial(written(folder / "v.json", content), (folder,), relevance))
    return made


def test_visdial_asks_each_round_behind_the_rounds_before_it(tmp_path: Path) -> None:
    first, second = asked(visdial(tmp_path))["dialogue"]
    assert first.prompt == "a dog on a beach. is it sunny?"
    assert second.prompt == "a dog on a beach. is it sunny? yes it is. how many dogs?"
    assert (first.answers, first.candidates) == (("yes it is",), ("no", "2", "yes it is"))
    assert (second.answers, second.id) == (("2",), "185565/2")


@pytest.mark.parametrize("name", ["gt_relevance", "relevance"])
def test_visdial_keeps_the_relevance_of_the_round_that_was_judged(tmp_path: Path, name: str) -> None:
    made = visdial(
        tmp_path, {"image_id": 1, "round_id": 1, name: [1.0]}, {"image_id": 185565, "round_id": 2, name: [0.5, 0.0, 1.0]}
    )
    assert made.sample is not None
    assert made.sample.extra["relevance"] == {"round": 2, "of_candidates": [0.5, 0.0, 1.0]}


@pytest.mark.parametrize("judged", [(2, [1.0, 0.0]), (3, [1.0, 0.0, 0.0])], ids=["too few", "no such round"])
def test_relevance_of_another_list_of_answers_is_a_fault(tmp_path: Path, judged: tuple[int, list[float]]) -> None:
    made = visdial(tmp_path, {"image_id": 185565, "round_id": judged[0], "gt_relevance": judged[1]})
    assert dropped(made) == [("relevance_of_another_list", "record")]
    assert made.sample is not None and "relevance" not in made.sample.extra
