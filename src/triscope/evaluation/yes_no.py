"""Answers by yes or no as POPE's and MME's published code reads them, and POPE's scores.

POPE: Li et al., "Evaluating Object Hallucination in Large Vision-Language Models" (arXiv 2305.10355).
MME: Fu et al., "MME: A Comprehensive Evaluation Benchmark for Multimodal Large Language Models" (arXiv 2306.13394).
"""

from collections.abc import Sequence

import numpy as np

_DENIALS = {"no", "No", "not"}
_BEGINNING = 4  # characters of an answer that MME looks at


def pope_answer(text: str) -> str:
    """`no` if the first sentence has the word `No`, `no` or `not`, else `yes`: whatever is not denied counts as said."""
    first_sentence = text.split(".")[0].replace(",", "")
    return "no" if _DENIALS & set(first_sentence.split(" ")) else "yes"


def mme_answer(text: str) -> str | None:
    """The `yes` or `no` among the first four characters of an answer, or None, which is wrong."""
    return next((word for word in ("yes", "no") if word in text.strip().lower()[:_BEGINNING]), None)


def pope_counts(texts: Sequence[str], answers: Sequence[str]) -> np.ndarray:
    """What POPE's scores are computed from.

    Args:
        texts: as the model wrote them.
        answers: `yes` or `no`.

    Returns:
        A row each, with a 1 for what it is: yes and right, yes and wrong, no and right, no and wrong.
    """
    counts = np.zeros((len(texts), 4))
    for number, (text, answer) in enumerate(zip(texts, answers, strict=True)):
        said = pope_answer(text)
        counts[number, 2 * (said == "no") + (said != answer)] = 1
    return counts


def precision(sums: np.ndarray) -> float:
    """Of what was said to be there, the share that is."""
    return _share(sums[0], sums[0] + sums[1])


def recall(sums: np.ndarray) -> float:
    """Of what is there, the share that was said to be."""
    return _share(sums[0], sums[0] + sums[3])


def f1(sums: np.ndarray) -> float:
    """The harmonic mean of precision and recall."""
    return _share(2 * sums[0], 2 * sums[0] + sums[1] + sums[3])


def accuracy(sums: np.ndarray) -> float:
    """The share of right answers."""
    return _share(sums[0] + sums[2], sums.sum())


def yes_share(sums: np.ndarray) -> float:
    """How often the answer is yes; half of the questions want it."""
    return _share(sums[0] + sums[1], sums.sum())


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
