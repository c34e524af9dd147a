"""A score with its interval: what an evaluation would have given on other pictures of the same kind."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Score:
    """A score and how sure it is.

    Args:
        value: a share, 0 to 1; CIDEr is 100 times the official number, as papers print it.
        n: how many rows it was computed from.
        low, high: 95 % interval, where one was asked for.
    """

    value: float
    n: int
    low: float | None = None
    high: float | None = None


def _mean(sums: np.ndarray) -> float:
    return float(sums[0] / sums[1])


@dataclass(frozen=True)
class Items:
    """What each row adds to a score, so that the score can be computed again for any choice of rows.

    Args:
        statistics: (rows, columns), summed over rows; by default value and 1.
        combine: the score from the column sums; by default their mean.
        limit: the largest score there can be.
    """

    statistics: np.ndarray
    combine: Callable[[np.ndarray], float] = _mean
    limit: float = 1.0

    @classmethod
    def mean(cls, values: Sequence[float] | np.ndarray, limit: float = 1.0) -> "Items":
        """The score that is the mean of one value a row."""
        values = np.asarray(values, dtype=np.float64)
        return cls(np.stack([values, np.ones_like(values)], axis=1), limit=limit)

    @property
    def value(self) -> float:
        """The score of all rows."""
        return self.combine(self.statistics.sum(axis=0))

    def score(self, pictures: Sequence[str], resamples: int, seed: int = 0) -> Score:
        """The score with its bootstrap interval (percentiles, Efron 1979), drawing pictures rather than rows.

        Questions about one picture are right or wrong together, so drawing rows would make the interval too narrow.

        Args:
            pictures: which picture each row is about.
            resamples: how many times the pictures are drawn with replacement; 0 for no interval.
            seed: of the draws.
        """
        if not resamples:
            return Score(self.value, len(self.statistics))
        draws = _drawn_sums(self.statistics, pictures, resamples, seed)
        low, high = np.percentile([self.combine(sums) for sums in draws], [2.5, 97.5])
        if high - low < 1e-9 * self.limit:  # all pictures alike: the draws know nothing of what was not seen
            # Rule of three: what was not seen in n pictures happens in up to 3 / n of them (95 %).
            unseen = 3 / len(set(pictures)) * self.limit
            low, high = max(0.0, self.value - unseen), min(self.limit, self.value + unseen)
        return Score(self.value, len(self.statistics), float(low), float(high))


def difference(first: Items, second: Items, pictures: Sequence[str], resamples: int = 1000, seed: int = 0) -> Score:
    """How much better the second answers to the same rows are, with the interval of the paired difference.

    Both are computed from the same drawn pictures, so that what makes a picture easy or hard for both cancels out.

    Args:
        first, second: the same score of the same rows, in the same order.
        pictures: which picture each row is about.
        resamples: how many times the pictures are drawn with replacement.
        seed: of the draws.
    """
    columns = first.statistics.shape[1]
    both = np.concatenate([first.statistics, second.statistics], axis=1)
    draws = _drawn_sums(both, pictures, resamples, seed)
    low, high = np.percentile([second.combine(sums[columns:]) - first.combine(sums[:columns]) for sums in draws], [2.5, 97.5])
    return Score(second.value - first.value, len(first.statistics), float(low), float(high))


def _drawn_sums(statistics: np.ndarray, pictures: Sequence[str], resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Column sums of the rows of pictures drawn with replacement."""
    names, picture_of_row = np.unique(np.asarray(pictures), return_inverse=True)
    by_picture = np.zeros((len(names), statistics.shape[1]))
    np.add.at(by_picture, picture_of_row, statistics)
    random = np.random.default_rng(seed)
    evenly = np.full(len(names), 1 / len(names))
    return (random.multinomial(len(names), evenly) @ by_picture for _ in range(resamples))
