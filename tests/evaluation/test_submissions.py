"""What is written for a benchmark's own evaluation is read back as that evaluation reads it."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from data_pipelines.sources.fine_eval import FineEval
from data_pipelines.sources.source import convert_entry
from tests.conftest import shared
from tests.data.tiny import causal_tokenizers
from triscope.data.batch import Row
from triscope.data.boxes import Box, BoxSpace
from triscope.data.prompts import PromptStyle, PromptWriter
from triscope.data.sample import Level
from triscope.evaluation import submissions
from triscope.evaluation.predictions import Prediction
from triscope.evaluation.submissions import LAYOUTS, write_submissions


def said(text: str, source: str, task: str, id: str, answer_box: Box | None = None, **fields: object) -> Prediction:
    row = {"key": f"{source}-{id}:0", "prompt": "What is it?", "answers": ("dog",), "level": Level.IMAGE} | fields
    return Prediction(Row(task=task, source=source, id=id, **row), text, answer_box)


def written(folder: Path, *predictions: Prediction) -> dict[str, str]:
    """Names and texts of the files written."""
    return {path.name: path.read_text() for path in write_submissions(folder / "set", predictions)}


def test_vqa_has_numbers_and_answers(tmp_path):
    rows = [said("net", "vqa_v2", "question", "262148000"), said("2", "vqa_v2", "question", "42000")]
    (text,) = written(tmp_path, *rows).values()
    assert json.loads(text) == [{"question_id": 42000, "answer": "2"}, {"question_id": 262148000, "answer": "net"}]


@pytest.mark.parametrize(("source", "task"), [("gqa_questions", "exact_question"), ("gqa", "region_question")])
def test_gqa_gets_what_its_evaluation_compares_letter_by_letter(source, task, tmp_path):
    (text,) = written(tmp_path, said("Left.", source, task, "201307251")).values()
    assert json.loads(text) == [{"questionId": "201307251", "prediction": "left"}]


@pytest.mark.parametrize(
    ("source", "id", "image"), [("coco_karpathy", "391895", 391895), ("nocaps", "0", 0), ("textcaps", "0054", "0054")]
)
def test_captions_are_those_of_coco_and_textcaps_keeps_its_names(source, id, image, tmp_path):
    (text,) = written(tmp_path, said("a dog", source, "caption", id)).values()
    assert json.loads(text) == [{"image_id": image, "caption": "a dog"}]


def test_a_okvqa_has_a_file_a_setting(tmp_path):
    choices = ("cab", "delivery")
    files = written(
        tmp_path,
        said("a taxi", "a_okvqa", "direct_answer", "22Mex", key="a:0"),
        said("Cab.", "a_okvqa", "choice", "22Mex", key="a:1", candidates=choices),
    )
    assert {name: json.loads(text) for name, text in files.items()} == {
        "aokvqa-da.json": {"22Mex": "a taxi"},
        "aokvqa-mc.json": {"22Mex": "cab"},
    }


def test_science_qa_has_the_number_of_the_choice_and_minus_one_where_none_is_named(tmp_path):
    choices = ("red", "blue", "green")
    answers = {"4": "(B)", "5": "Green.", "11": "no idea"}
    rows = [said(text, "science_qa", "choice", number, candidates=choices) for number, text in answers.items()]
    (text,) = written(tmp_path, *rows).values()
    assert json.loads(text) == {"results": {"4": 1, "5": 2, "11": -1}, "outputs": answers}


def test_the_table_of_mmbench_has_a_letter_for_each_answer(tmp_path, monkeypatch):
    rows = [
        said("blue", "mmbench", "circular_choice", "1000241", candidates=("red", "blue"), prompt="Which?\ncolour"),
        said("it is unclear", "mmbench", "circular_choice", "241", candidates=("blue", "red", "green")),
    ]
    expected = [
        ["index", "question", "A", "B", "C", "D", "prediction"],
        [241, "What is it?", "blue", "red", "green", None, "it is unclear"],
        [1000241, "Which?\ncolour", "red", "blue", None, None, "B"],
    ]
    submissions._mmbench(tmp_path / "mmbench.tsv", rows[::-1])
    with open(tmp_path / "mmbench.tsv", newline="") as file:
        cells = list(csv.reader(file, delimiter="\t"))
    assert cells == [["" if cell is None else str(cell) for cell in line] for line in expected]
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed: the spreadsheet is not tested")
    (path,) = write_submissions(tmp_path / "set", rows)
    assert path.name == "mmbench.xlsx"
    assert [list(line) for line in openpyxl.load_workbook(path).active.iter_rows(values_only=True)] == expected


def test_mme_has_a_file_a_category_with_the_two_lines_about_a_picture_together(tmp_path):
    def asked(id: str, text: str, truth: str) -> Prediction:
        return said(text, "mme", "yes_no_pair", id, prompt="Is it?", answers=(truth,))

    rows = [
        asked("count/b.jpg/1", "No,\tit\nis not", "no"),
        asked("color/a.jpg/0", "yes", "yes"),
        asked("count/a.jpg/0", "Yes", "yes"),
        asked("count/b.jpg/0", "Yes", "yes"),
    ]
    (folder,) = write_submissions(tmp_path / "set", rows)
    assert {file.name: file.read_text().splitlines() for file in folder.iterdir()} == {
        "color.txt": ["a.jpg\tIs it?\tYes\tyes"],
        "count.txt": ["a.jpg\tIs it?\tYes\tYes", "b.jpg\tIs it?\tYes\tYes", "b.jpg\tIs it?\tNo\tNo, it is not"],
    }


def test_pope_is_in_the_order_of_its_questions(tmp_path):
    (text,) = written(tmp_path, said("No.", "pope", "presence", "10"), said("yes", "pope", "presence", "9")).values()
    assert [json.loads(line)["answer"] for line in text.splitlines()] == ["yes", "No."]
    assert json.loads(text.splitlines()[0]) == {"question": "What is it?", "answer": "yes"}


def test_nlvr2_says_true_or_false(tmp_path):
    answers = {"dev-1-0-0": "Yes.", "dev-2-0-0": "no", "dev-2-1-0": "hm"}
    rows = [said(text, "nlvr2", "statement", identifier) for identifier, text in answers.items()]
    assert written(tmp_path, *rows) == {"nlvr2.csv": "dev-1-0-0,true\ndev-2-0-0,false\ndev-2-1-0,false\n"}


def test_boxes_are_in_pixels_of_their_picture_as_refer_has_them(tmp_path):
    fields = {"sizes": ((427, 640),), "box": Box(0, 0, 1, 1), "box_image": 0}
    lady = Box.from_xywh(103.93, 299.99, 134.22, 177.42, BoxSpace.PIXELS).to(BoxSpace.UNIT, 427, 640)
    files = written(
        tmp_path,
        said("[...]", "refcoco", "pointing", "0-7", lady, **fields),
        said("the lady", "refcoco", "pointing", "0-8", **fields),
        said("lady in blue", "refcoco", "reference", "0"),
    )
    assert json.loads(files["boxes.json"]) == [
        {"ref_id": 0, "sent_id": 7, "bbox": [103.93, 299.99, 134.22, 177.42]},
        {"ref_id": 0, "sent_id": 8, "bbox": [0.0, 0.0, 0.0, 0.0]},
    ]
    assert json.loads(files["expressions.json"]) == [{"ref_id": 0, "sent": "lady in blue"}]


def test_fine_eval_repeats_the_published_instructions(tmp_path):
    """Those of the real set, letter by letter but for blanks, from rows as the model is asked them."""
    folder = shared("fine_eval")
    source = FineEval(folder / "instructions.jsonl", (folder / "images",))
    writer = PromptWriter(PromptStyle(regions="token", max_prompt_tokens=10_000), causal_tokenizers())
    answers, published = [], []
    for entry in source.entries():
        sample = convert_entry(source, 0, entry).sample
        assert sample is not None
        rows = writer.rows(sample, [region.box for region in sample.regions], range(len(sample.conversations)), sample.key)
        answers += [Prediction(row.row, f"answer {row.row.key}") for row in rows]
        published += [(record["image"], record["instruction"]) for record in entry.records]
    (path,) = write_submissions(tmp_path / "set", answers)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert path.name == "fine_eval.jsonl" and len(lines) == len(published) == 81
    bare = {(image, "".join(instruction.split())) for image, instruction in published}
    assert {(line["image"], "".join(line["instruction"].split())) for line in lines} == bare
    assert {line["output"] for line in lines} == {answer.text for answer in answers}


def test_visdial_has_the_rank_of_each_candidate(tmp_path):
    (answer,) = [said("yes", "visdial", "dialogue", "284024/10", candidates=("no", "yes", "a cat"))]
    (text,) = written(tmp_path, replace(answer, log_likelihoods=(-2.5, -0.5, -9.0))).values()
    assert json.loads(text) == [{"image_id": 284024, "round_id": 10, "ranks": [2, 1, 3]}]
    assert written(tmp_path / "unranked", answer) == {}


def test_nothing_is_written_of_other_sets_and_of_rows_without_a_number(tmp_path):
    assert written(tmp_path, said("dog", "scenes", "recognition", "1"), said("dog", "vqa_v2", "question", "")) == {}
    assert not (tmp_path / "set").exists()


def test_every_source_that_is_named_can_be_converted():
    from data_pipelines.sources.catalogue import SOURCES

    assert {source for layout in LAYOUTS for source in layout.sources} <= {source.name for source in SOURCES}
