"""Thresholds from scores of pictures whose tags are known.

Letters: I pictures, K names.
"""

from dataclasses import dataclass

import numpy as np

FEWEST_PICTURES = 10  # with a name, for a threshold of its own: of fewer it follows chance, down to 0
FOLDS = 2


@dataclass(frozen=True)
class Agreement:
    """How given tags agree with the known ones, all counted together."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of the two."""
        return 2 * self.precision * self.recall / max(self.precision + self.recall, 1e-12)


def calibrate(scores_IK: np.ndarray, known_IK: np.ndarray, fewest_pictures: int = FEWEST_PICTURES) -> np.ndarray:
    """The threshold of each name (K,) at which F1 is best on these pictures.

    A name that fewer pictures have gets the threshold at which F1 of all names together is best.

    Args:
        scores_IK: of a tagger, from 0 to 1.
        known_IK: True where the picture has the name.
        fewest_pictures: with a name, for a threshold of its own.
    """
    common = best_threshold(scores_IK.ravel(), known_IK.ravel())
    return np.array(
        [
            best_threshold(scores_I, known_I) if known_I.sum() >= fewest_pictures else common
            for scores_I, known_I in zip(scores_IK.T, known_IK.T, strict=True)
        ]
    )


def best_threshold(scores_M: np.ndarray, known_M: np.ndarray) -> float:
    """Where F1 of `score > threshold` is best; half-way between two scores, and the highest of equally good ones.

    Without a known tag it is 1: nothing is given.
    """
    if not known_M.any():
        return 1.0
    order = np.argsort(-scores_M, kind="stable")
    scores_M, known_M = scores_M[order].astype(np.float64), known_M[order]
    right_M = np.cumsum(known_M)
    given_M = np.arange(1, len(scores_M) + 1)
    f1_M = 2 * right_M / (given_M + right_M[-1])
    f1_M[:-1][scores_M[:-1] == scores_M[1:]] = -1  # no threshold lies between equal scores
    last = int(np.argmax(f1_M))
    below = scores_M[last + 1] if last + 1 < len(scores_M) else 0.0
    return float((scores_M[last] + below) / 2)


def agreement(scores_IK: np.ndarray, known_IK: np.ndarray, thresholds_K: np.ndarray) -> Agreement:
    """How the tags above their thresholds agree with the known ones."""
    given_IK = scores_IK > thresholds_K
    right = float((given_IK & known_IK).sum())
    return Agreement(right / max(float(given_IK.sum()), 1.0), right / max(float(known_IK.sum()), 1.0))


def held_out_agreement(scores_IK: np.ndarray, known_IK: np.ndarray, fewest_pictures: int = FEWEST_PICTURES) -> Agreement:
    """The agreement on each half of the pictures with the thresholds of the other half, on average."""
    fold_I = np.arange(len(scores_IK)) % FOLDS
    found = []
    for fold in range(FOLDS):
        mine_I = fold_I == fold
        thresholds_K = calibrate(scores_IK[~mine_I], known_IK[~mine_I], fewest_pictures)
        found.append(agreement(scores_IK[mine_I], known_IK[mine_I], thresholds_K))
    return Agreement(float(np.mean([each.precision for each in found])), float(np.mean([each.recall for each in found])))
