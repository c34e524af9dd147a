import json

import pytest

from triscope.data.batch import Row
from triscope.data.boxes import Box, BoxSpace
from triscope.data.sample import Level
from triscope.evaluation.predictions import (
    BadPredictionsError,
    Prediction,
    distinct,
    merge,
    read_predictions,
    write_predictions,
)


def prediction(key="a:0", text="a dög", answers=("dog",), **fields):
    row = Row(key=key, task="pointing", level=Level.REGION, prompt="Where is <region:1>?", answers=answers, **fields)
    return Prediction(row, text, Box(0.1, 0.2, 0.3, 0.4))


def test_predictions_come_back_from_a_file_as_they_were(tmp_path):
    objects = {"objects": [{"name": "dog", "box": [0.1, 0.2, 0.3, 0.4]}]}
    fields = {"candidates": ("dog", "cat"), "id": "7-1", "source": "refcoco", "sizes": ((640, 480),)}
    whole = prediction(box=Box(0, 0, 1, 1), regions=(Box(0, 0, 0.5, 1),), extra=objects, **fields)
    bare = Prediction(Row("b:0", "caption", Level.IMAGE, "Describe.", ("line one\nline two",)), "\u2028 two\nlines", None)
    write_predictions(tmp_path / "new" / "p.jsonl", [whole, bare])
    assert read_predictions(tmp_path / "new" / "p.jsonl") == [whole, bare]


def test_a_line_can_be_read_by_people_and_other_tools(tmp_path):
    write_predictions(tmp_path / "p.jsonl", [prediction()])
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]  # no temporary file is left
    record = json.loads((tmp_path / "p.jsonl").read_text())
    assert record["prediction"] == "a dög" and record["level"] == "region" and record["box"] == [0.1, 0.2, 0.3, 0.4]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "p.jsonl"
    write_predictions(path, [prediction()])
    with pytest.raises(TypeError):
        write_predictions(path, [prediction("b:0"), prediction(extra={"objects": object()})])
    assert [item.row.key for item in read_predictions(path)] == ["a:0"]


def test_files_of_parts_of_a_set_are_merged_by_key_and_what_both_hold_is_there_once(tmp_path):
    files = [tmp_path / "0.jsonl", tmp_path / "1.jsonl"]
    write_predictions(files[0], [prediction("c:0"), prediction("a:0")])
    write_predictions(files[1], [prediction("b:0"), prediction("a:0")])
    assert [item.row.key for item in merge(files)] == ["a:0", "b:0", "c:0"]
    assert merge(files) == merge(reversed(files))


def test_one_key_for_two_questions_is_refused():
    with pytest.raises(BadPredictionsError, match=r"a:0.*one question a key"):
        distinct([prediction(), prediction(answers=("cat",))])


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / "p.jsonl"
    write_predictions(path, [prediction()])
    path.write_text(path.read_text() + '{"key": "b:0"}\n')
    with pytest.raises(BadPredictionsError, match=r"p\.jsonl, line 2.*KeyError"):
        read_predictions(path)


def test_a_box_in_pixels_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="unit"):
        write_predictions(tmp_path / "p.jsonl", [prediction(box=Box(0, 0, 9, 9, BoxSpace.PIXELS))])
