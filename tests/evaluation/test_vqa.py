"""VQA accuracy equals the official one, question by question."""

import json
from collections import defaultdict

import pytest

from tests.conftest import shared
from triscope.evaluation.vqa import normalised, vqa_accuracy


@pytest.mark.parametrize("name", ["first_human", "majority", "always_yes", "majority_noisy"])
def test_official_accuracies_are_reproduced(name):
    folder = shared("metric_fixtures") / "vqa_v2_official"
    annotations, predictions, expected = (
        json.loads((folder / f"{file}.json").read_text()) for file in ("annotations", "predictions", "expected")
    )
    expected, by_type, by_question = expected[name], defaultdict(list), {}
    for question in annotations:
        number = str(question["question_id"])
        accuracy = 100 * vqa_accuracy(predictions[name][number], [a["answer"] for a in question["answers"]])
        by_question[number] = accuracy
        by_type[question["answer_type"]].append(accuracy)
    assert by_question == pytest.approx(expected["perQuestion"], abs=1e-9)
    assert {kind: round(sum(values) / len(values), 4) for kind, values in by_type.items()} == expected["perAnswerType"]
    assert round(sum(by_question.values()) / len(by_question), 4) == expected["overall"]


@pytest.mark.parametrize(("matches", "accuracy"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (9, 1.0)])
def test_agreement_with_ten_people_is_averaged_over_leaving_one_out(matches, accuracy):
    people = ["dog"] * matches + [f"animal {number}" for number in range(10 - matches)]
    assert vqa_accuracy("dog", people) == pytest.approx(accuracy)


def test_nothing_is_normalised_where_all_people_agree():
    assert vqa_accuracy("Yes.", ["yes"] * 10) == 0.0
    assert vqa_accuracy("Yes.", ["yes"] * 9 + ["no"]) == 1.0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The Two Dogs", "2 dogs"),
        ("none", "0"),
        ("dont", "don't"),
        ("it isn't", "it isn't"),
        ("1,000", "1000"),
        ("3.5", "3.5"),
        ("yes.", "yes"),
        ("black/white", "black white"),
        ("black / white", "black white"),
        ("10:30", "10:30"),
        ("yall'll", "y'all'll"),
    ],
)
def test_answers_are_normalised_as_the_official_code_does(answer, expected):
    assert normalised(answer) == expected


def test_a_single_reference_is_refused():
    with pytest.raises(ValueError, match="several people"):
        vqa_accuracy("yes", ["yes"])
