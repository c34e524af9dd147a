"""Questions that are answered by yes or no, as POPE and MME score them."""

import pytest

from tests.evaluation.test_tasks import row, values
from triscope.evaluation.predictions import Prediction
from triscope.evaluation.yes_no import mme_answer, pope_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Yes, there is.", "yes"),
        ("No, there is no dog.", "no"),
        ("There is not a dog", "no"),
        ("A dog. No cat.", "yes"),  # only the first sentence counts
        ("NO", "yes"),  # as in the published code
        ("nothing of the kind", "yes"),
    ],
)
def test_pope_takes_what_is_not_denied_for_a_yes(text, answer):
    assert pope_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [("Yes", "yes"), (" no ", "no"), ("Yes, it is", "yes"), ("No.", "no"), ("It is, yes", None), ("", None)],
)
def test_mme_looks_at_the_beginning_of_an_answer(text, answer):
    assert mme_answer(text) == answer


def test_the_scores_of_pope():
    answers = ["yes"] * 4 + ["no"] * 4
    texts = ["yes", "yes", "yes", "no", "yes", "no", "no", "no"]
    rows = [row(f"a:{n}", "presence", (answer,)) for n, answer in enumerate(answers)]
    asked = [Prediction(one, text) for one, text in zip(rows, texts, strict=True)]
    assert values(asked) == pytest.approx(
        {
            "image/presence_acc": 6 / 8,
            "image/presence_precision": 3 / 4,
            "image/presence_recall": 3 / 4,
            "image/presence_f1": 3 / 4,
            "image/presence_yes_share": 4 / 8,
        }
    )


def test_whoever_never_says_yes_has_no_precision():
    asked = [Prediction(row(f"a:{n}", "presence", (answer,)), "no") for n, answer in enumerate(("yes", "no"))]
    scores = values(asked)
    assert (scores["image/presence_precision"], scores["image/presence_f1"], scores["image/presence_acc"]) == (0.0, 0.0, 0.5)


def pair(picture: str, category: str, *said: str) -> list[Prediction]:
    """Answers to the two questions of MME about a picture, the first of which is to be answered by yes."""
    truths = enumerate(("yes", "no"))
    return [
        Prediction(row(f"{picture}:{number}", "yes_no_pair", (truth,), extra={"category": category}), said[number])
        for number, truth in truths
    ]


def test_a_pair_of_mme_counts_if_both_questions_are_right():
    scores = values(pair("a", "ocr", "yes", "no") + pair("b", "ocr", "Yes", "Yes"))
    assert (scores["image/yes_no_pair_acc"], scores["image/yes_no_pair_acc_plus"]) == pytest.approx((3 / 4, 1 / 2))


def test_the_score_of_mme_counts_every_category_as_much():
    answers = pair("a", "ocr", "yes", "no") + pair("b", "ocr", "yes", "yes") + pair("c", "count", "no", "yes")
    official = 100 * (3 / 4 + 1 / 2) + 100 * (0 + 0)  # accuracy and accuracy+ of each, in percent
    assert values(answers)["image/yes_no_pair_score"] == pytest.approx(official / 400)
