"""Two runs on the same questions: paired differences of their scores, and the answers that changed."""

from collections.abc import Sequence
from dataclasses import dataclass

from triscope.evaluation.intervals import Score, difference
from triscope.evaluation.predictions import BadPredictionsError, Prediction, distinct
from triscope.evaluation.tasks import measured, measures_of, picture_of


@dataclass(frozen=True)
class Difference:
    """A score of two runs on the questions that both answered.

    Args:
        first, second: the score of each.
        difference: second less first, with its 95 % interval over pictures.
    """

    first: float
    second: float
    difference: Score

    @property
    def is_certain(self) -> bool:
        """Whether the interval of the difference leaves out 0."""
        low, high = self.difference.low, self.difference.high
        return low is not None and high is not None and (low > 0 or high < 0)


@dataclass(frozen=True)
class Change:
    """A question that one run answered better than the other.

    Args:
        first, second: what each said.
        gain: by how much the second is better, of the task's first score.
    """

    first: Prediction
    second: Prediction
    gain: float


def paired(first: Sequence[Prediction], second: Sequence[Prediction]) -> tuple[list[Prediction], list[Prediction]]:
    """The predictions of the questions that both have answered, in the same order.

    Raises:
        BadPredictionsError: no common question, one key that stands for two different ones, or another benchmark, or version.
    """
    by_key = {prediction.row.key: prediction for prediction in distinct(second)}
    left = [prediction for prediction in distinct(first) if prediction.row.key in by_key]
    if not left:
        raise BadPredictionsError(
            "predictions of two runs", "no question in common", "answers to the same test set", "test both runs on one set"
        )
    right = [by_key[prediction.row.key] for prediction in left]
    for one, other in zip(left, right, strict=True):
        if (one.row.task, one.row.answers) != (other.row.task, other.row.answers):
            raise BadPredictionsError(
                f"predictions of two runs, key {one.row.key!r}",
                f"{one.row.task} {one.row.answers} and {other.row.task} {other.row.answers}",
                "the same question",
                "test both runs on one set, with one style of prompts",
            )
        if one.benchmark != other.benchmark:
            raise BadPredictionsError(
                f"predictions of two runs, key {one.row.key!r}",
                f"asked by benchmark {one.benchmark or 'none'} and {other.benchmark or 'none'}",
                "the same benchmark in the same version",
                "test both runs with one of them",
            )
    return left, right


def differences(first: Sequence[Prediction], second: Sequence[Prediction], resamples: int = 1000) -> dict[str, Difference]:
    """Every score that two runs have in common, from the questions that both answered.

    Args:
        first, second: predictions of each run.
        resamples: bootstrap draws for the intervals.

    Raises:
        BadPredictionsError: see `paired`.
    """
    left, right = paired(first, second)
    answers = {prediction.row.key: prediction for prediction in right}
    found = {}
    for name, measure, group in measured(left):
        one, other = measure.items(group), measure.items([answers[item.row.key] for item in group])
        pictures = [picture_of(item.row) for item in group]
        found[name] = Difference(one.value, other.value, difference(one, other, pictures, resamples))
    return found


def changes(first: Sequence[Prediction], second: Sequence[Prediction]) -> list[Change]:
    """The questions whose answer became better or worse by the first score of their task, the largest changes first.

    Raises:
        BadPredictionsError: see `paired`.
    """
    found = []
    for one, other in zip(*paired(first, second), strict=True):
        measure = next(measure for measure in measures_of(one.row.task) if measure.applies(one.row))
        gain = measure.items([other]).value - measure.items([one]).value
        if gain:
            found.append(Change(one, other, gain))
    return sorted(found, key=lambda change: -abs(change.gain))
