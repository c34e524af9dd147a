"""Scores of a list of candidates that was ranked, of which one is right: VisDial's.

Das et al., "Visual Dialog" (arXiv 1611.08669); ranks as its official evaluation takes them, from 1 for the likeliest candidate.
"""

import numpy as np

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
    right = row.candidates.index(row.answers[0])
    scores = np.array(prediction.log_likelihoods or [candidate == prediction.text for candidate in row.candidates], dtype=float)
    return 1 + int((scores > scores[right]).sum() + (scores[:right] == scores[right]).sum())
