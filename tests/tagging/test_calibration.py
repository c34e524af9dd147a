"""Calibrated thresholds are where F1 is best."""

import numpy as np
import pytest

from triscope.tagging.calibration import agreement, best_threshold, calibrate, held_out_agreement


def known(text: str) -> np.ndarray:
    return np.array([letter == "+" for letter in text])


@pytest.mark.parametrize(
    ("scores", "tagged", "threshold"),
    [
        ([0.9, 0.8, 0.2, 0.1], "++--", 0.5),
        ([0.1, 0.8, 0.9, 0.2], "-++-", 0.5),  # in any order
        ([0.9, 0.8, 0.6, 0.1], "+-+-", 0.35),  # two of three right beat one of one
        ([0.9, 0.5], "++", 0.25),
        ([0.4, 0.4, 0.2], "+--", 0.3),  # no threshold lies between equal scores
        ([0.4, 0.3], "--", 1.0),
    ],
)
def test_the_best_threshold_is_half_way_between_two_scores(scores, tagged, threshold):
    assert best_threshold(np.array(scores), known(tagged)) == pytest.approx(threshold)


def test_no_other_threshold_has_a_better_f1():
    generator = np.random.default_rng(0)
    scores, truth = generator.random(200), generator.random(200) < 0.3
    best = agreement(scores[:, None], truth[:, None], np.array([best_threshold(scores, truth)])).f1
    tried = [agreement(scores[:, None], truth[:, None], np.array([threshold])).f1 for threshold in np.linspace(0, 1, 999)]
    assert best >= max(tried) - 1e-12


def test_rare_names_share_the_threshold_that_is_best_for_all_together():
    scores = np.array([[0.9, 0.3], [0.8, 0.6], [0.7, 0.5], [0.1, 0.2]])
    truth = np.array([[True, True], [True, False], [True, False], [False, False]])
    own, shared = calibrate(scores, truth, fewest_pictures=2)
    assert own == pytest.approx(0.4)
    assert shared == pytest.approx(0.65)
    assert best_threshold(scores[:, 1], truth[:, 1]) == pytest.approx(0.25), "what it would be alone"


def test_thresholds_are_judged_on_pictures_that_they_were_not_found_on():
    generator = np.random.default_rng(1)
    scores, truth = generator.random((40, 30)), generator.random((40, 30)) < 0.2
    fitted = agreement(scores, truth, calibrate(scores, truth, fewest_pictures=5)).f1
    elsewhere = held_out_agreement(scores, truth, fewest_pictures=5).f1
    assert elsewhere < fitted - 0.02, "scores of chance look good only where they were fitted"
