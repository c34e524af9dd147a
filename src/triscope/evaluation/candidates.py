"""Scores of a list of candidates that was ranked, of which one is right, or several to some degree: VisDial's.

Das et al., "Visual Dialog" (arXiv 1611.08669); ranks as its official evaluation takes them, from 1 for the likeliest candidate.
NDCG as the Visual Dialog Challenge defines it since 2018, of the rounds whose candidates people have judged.
"""

import numpy as np

from triscope.data.batch import Row
from triscope.evaluation.predictions import Prediction


def rank_of_answer(prediction: Prediction) -> int:
    """The place of the right candidate, from 1; equally likely ones are in the order of the list.

    An answer without likelihoods, such as a guess, stands first, and the others behind it as listed.

    Raises:
        ValueError: the right answer is not among the candidates.
    """
    row = prediction.row
    if row.answers[0] not in row.candidates:
        raise ValueError(f"key {row.key!r}: the answer {row.answers[0]!r} is none of the {len(row.candidates)} candidates")
    right, scores = row.candidates.index(row.answers[0]), _scores(prediction)
    return 1 + int((scores > scores[right]).sum() + (scores[:right] == scores[right]).sum())


def relevance_of(row: Row) -> list[float]:
    """Which share of the judges found each candidate right; empty if nobody judged the row, or found any right."""
    judged = (row.extra or {}).get("relevance")
    if judged is None or row.id.rpartition("/")[2] != str(judged["round"]):
        return []
    return judged["of_candidates"] if any(judged["of_candidates"]) else []


def ndcg(prediction: Prediction) -> float:
    """Discounted relevance of the first K candidates over that of the best order; K is how many are relevant at all.

    Equally likely candidates are in the order of the list.
    """
    relevance = np.array(relevance_of(prediction.row))
    first = np.argsort(-_scores(prediction), kind="stable")[: np.count_nonzero(relevance)]
    return _gain(relevance[first]) / _gain(np.sort(relevance)[::-1][: len(first)])


def _gain(relevance: np.ndarray) -> float:
    """Each relevance divided by the binary logarithm of its place plus 1, summed."""
    return float((relevance / np.log2(np.arange(len(relevance)) + 2)).sum())


def _scores(prediction: Prediction) -> np.ndarray:
    """Likelihoods of the candidates; of an answer without any, 1 for what it says."""
    said = [candidate == prediction.text for candidate in prediction.row.candidates]
    return np.array(prediction.log_likelihoods or said, dtype=float)
