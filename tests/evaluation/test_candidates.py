import math
from dataclasses import replace

import pytest

from triscope.data.batch import Row
from triscope.data.sample import Level
from triscope.evaluation.candidates import ndcg, rank_of_answer
from triscope.evaluation.predictions import Prediction
from triscope.evaluation.tasks import score

CANDIDATES = tuple(f"answer {number}" for number in range(100))


def ranked(key: str, right: int, place: int) -> Prediction:
    """A round of a dialogue whose right answer stands at a place, from 1, among a hundred."""
    row = Row(key, "dialogue", Level.IMAGE, "What?", (CANDIDATES[right],), CANDIDATES)
    others = [number for number in range(100) if number != right]
    order = [*others[: place - 1], right, *others[place - 1 :]]
    likelihoods = tuple(-float(order.index(number)) for number in range(100))
    return Prediction(row, CANDIDATES[order[0]], log_likelihoods=likelihoods)


@pytest.mark.parametrize("place", [1, 2, 10, 100])
def test_the_rank_is_the_place_of_the_right_answer(place):
    assert rank_of_answer(ranked("a:0", right=41, place=place)) == place


def test_visdial_s_scores_are_those_of_its_official_evaluation():
    """Ranks 1, 2, 7 and 60: mean of the reciprocals, shares among the first, mean rank."""
    rounds = [ranked(f"a:{number}", number, place) for number, place in enumerate((1, 2, 7, 60))]
    values = {name: value.value for name, value in score(rounds, resamples=0).items()}
    assert values == pytest.approx(
        {
            "image/dialogue_mrr": (1 + 1 / 2 + 1 / 7 + 1 / 60) / 4,
            "image/dialogue_recall@1": 1 / 4,
            "image/dialogue_recall@5": 2 / 4,
            "image/dialogue_recall@10": 3 / 4,
            "image/dialogue_mean_rank": 70 / 4,
        }
    )


def test_equally_likely_answers_stand_in_the_order_of_the_list():
    row = Row("a:0", "dialogue", Level.IMAGE, "What?", ("b",), ("a", "b", "c"))
    assert rank_of_answer(Prediction(row, "a", log_likelihoods=(-1.0, -1.0, -1.0))) == 2
    assert rank_of_answer(Prediction(row, "b")) == 1  # a guess without likelihoods
    assert rank_of_answer(Prediction(row, "c")) == 3


def test_an_answer_that_is_no_candidate_is_named():
    with pytest.raises(ValueError, match=r"'a:0': the answer 'd' is none of the 2 candidates"):
        rank_of_answer(Prediction(Row("a:0", "dialogue", Level.IMAGE, "What?", ("d",), ("a", "b")), "a"))


def judged(likelihoods: tuple[float, ...], relevance: list[float], asked: int = 2, judged: int = 2) -> Prediction:
    """A round of a dialogue of which a round was judged."""
    extra = {"relevance": {"round": judged, "of_candidates": relevance}}
    row = Row("a:0", "dialogue", Level.IMAGE, "What?", ("a",), tuple("abcd"), id=f"17/{asked}", extra=extra)
    return Prediction(row, "a", log_likelihoods=likelihoods)


def test_ndcg_discounts_by_the_place_among_as_many_as_are_relevant():
    """Relevant are b (1) and c (0.5), ranked second and fourth: of the first two places, one half is earned, at the second."""
    found = ndcg(judged((-1.0, -2.0, -4.0, -3.0), [0.0, 1.0, 0.5, 0.0]))
    assert found == pytest.approx((1 / math.log2(3)) / (1 + 0.5 / math.log2(3)))
    assert ndcg(judged((-3.0, -1.0, -2.0, -4.0), [0.0, 1.0, 0.5, 0.0])) == pytest.approx(1)
    assert ndcg(judged((-1.0, -3.0, -4.0, -2.0), [0.0, 1.0, 0.5, 0.0])) == 0


def test_ndcg_is_the_mean_of_the_rounds_that_were_judged():
    rounds = [judged((-1.0, -2.0, -3.0, -4.0), [1.0, 0.0, 0.0, 0.0], asked=asked) for asked in (1, 2)]
    nobody = judged((-1.0, -2.0, -3.0, -4.0), [0.0] * 4)
    for others in ([], [rounds[0]], [nobody]):
        rows = [replace(each, row=replace(each.row, key=f"a:{number}")) for number, each in enumerate([rounds[1], *others])]
        found = score(rows, resamples=0)["image/dialogue_ndcg"]
        assert (found.value, found.n) == (1, 1)
    assert "image/dialogue_ndcg" not in score([rounds[0]], resamples=0)
