from dataclasses import replace

import pytest

from triscope.data.batch import Row
from triscope.data.boxes import Box
from triscope.data.sample import Level
from triscope.evaluation.comparison import changes, differences, paired
from triscope.evaluation.predictions import BadPredictionsError, Prediction


def said(key: str, text: str, true: str = "yes", task: str = "yes_no") -> Prediction:
    return Prediction(Row(key, task, Level.IMAGE, "Is there a dog?", (true,)), text)


def pointed(key: str, box: Box | None) -> Prediction:
    return Prediction(Row(key, "pointing", Level.REGION, "Where?", ("box",), box=Box(0, 0, 0.5, 0.5)), "", box)


def test_a_difference_is_paired_by_key_whatever_the_order():
    first = [said("a:0", "yes"), said("b:0", "no"), said("c:0", "no")]
    second = [said("c:0", "yes"), said("a:0", "yes"), said("b:0", "yes")]
    (result,) = differences(first, second).values()
    assert (result.first, result.second) == (pytest.approx(1 / 3), 1.0)
    assert result.difference.value == pytest.approx(2 / 3)


def test_pairing_makes_the_interval_of_a_difference_narrower_than_that_of_two_scores():
    first = [said(f"{number}:0", "yes" if number % 2 else "no") for number in range(200)]
    second = [said(f"{number}:0", "yes" if number % 2 or number < 10 else "no") for number in range(200)]
    (result,) = differences(first, second).values()
    assert result.difference.value == pytest.approx(5 / 200)
    assert 0 < result.difference.low < result.difference.value < result.difference.high < 0.06
    assert result.is_certain


def test_the_same_answers_differ_by_nothing_and_that_is_not_certain():
    answers = [said(f"{number}:0", "yes" if number % 3 else "no") for number in range(30)]
    (result,) = differences(answers, answers).values()
    assert (result.difference.low, result.difference.value, result.difference.high) == (0, 0, 0)
    assert not result.is_certain
    assert changes(answers, answers) == []


def test_only_questions_that_both_answered_are_compared():
    left, right = paired([said("a:0", "no"), said("b:0", "no")], [said("b:0", "yes"), said("c:0", "yes")])
    assert [item.row.key for item in left] == [item.row.key for item in right] == ["b:0"]


def test_changed_answers_come_with_the_largest_change_first():
    first = [said("a:0", "no"), said("b:0", "yes"), pointed("c:0", Box(0, 0, 0.5, 0.5))]
    second = [said("a:0", "yes"), said("b:0", "yes"), pointed("c:0", None)]
    assert [(change.first.row.key, change.gain) for change in changes(first, second)] == [("a:0", 1.0), ("c:0", -1.0)]


@pytest.mark.parametrize("second", [[], [said("z:0", "yes")]])
def test_runs_without_a_common_question_are_refused(second):
    with pytest.raises(BadPredictionsError, match="no question in common"):
        differences([said("a:0", "yes")], second)


def test_one_key_for_two_questions_is_refused():
    with pytest.raises(BadPredictionsError, match="key 'a:0'"):
        differences([said("a:0", "yes")], [said("a:0", "yes", true="no")])


@pytest.mark.parametrize("benchmark", ["gqa 2", "vqa_v2 1", ""])
def test_answers_to_another_benchmark_or_another_version_of_it_are_not_compared(benchmark):
    first = [replace(said("a:0", "yes"), benchmark="gqa 1")]
    with pytest.raises(BadPredictionsError, match=f"benchmark gqa 1 and {benchmark or 'none'}"):
        differences(first, [replace(said("a:0", "yes"), benchmark=benchmark)])
    assert differences(first, first)
