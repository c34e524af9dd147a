import numpy as np
import pytest

from triscope.evaluation.captions import bleu_counts, bleu_of_sums
from triscope.evaluation.intervals import Items


def test_the_interval_holds_the_score_and_has_the_width_that_theory_gives():
    right = np.arange(400) % 4 != 0
    score = Items.mean(right).score([str(number) for number in range(400)], resamples=2000)
    assert score.value == 0.75 and score.n == 400
    half_width = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert (score.low, score.high) == pytest.approx((0.75 - half_width, 0.75 + half_width), abs=0.006)


def test_more_questions_about_the_same_pictures_do_not_narrow_the_interval():
    right = np.arange(50) % 2 == 0
    pictures = [str(number) for number in range(50)]
    once = Items.mean(right).score(pictures, resamples=500)
    ten_times = Items.mean(np.repeat(right, 10)).score(np.repeat(pictures, 10), resamples=500)
    assert (ten_times.low, ten_times.high) == pytest.approx((once.low, once.high))


def test_three_right_answers_of_three_are_not_certainty():
    score = Items.mean([1.0] * 3).score(["a", "b", "c"], resamples=100)
    assert (score.value, score.low, score.high) == (1.0, 0.0, 1.0)
    score = Items.mean([1.0] * 300).score([str(number) for number in range(300)], resamples=100)
    assert score.low == pytest.approx(0.99)


def test_a_score_of_a_corpus_is_resampled_whole():
    candidates, references = ["a b c d", "a b c x", "e f"] * 10, [["a b c d"], ["a b c d"], ["e f"]] * 10
    items = Items(bleu_counts(candidates, references), lambda sums: bleu_of_sums(sums)[0])
    score = items.score([str(number) for number in range(30)], resamples=200)
    assert score.value == pytest.approx(0.9)
    assert 0.8 < score.low < 0.9 < score.high < 1.0


def test_without_draws_there_is_no_interval():
    score = Items.mean([1.0, 0.0]).score(["a", "b"], resamples=0)
    assert (score.value, score.low, score.high) == (0.5, None, None)
