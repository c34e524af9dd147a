"""What guessing scores: a score counts as learned only above every guess and every control.

    constant      without looking: the one answer that scores best when given to every row
    any_object    without locating: the picture is seen, but any of its objects is taken; the expected score
    any_candidate without reading: any of the listed answers is taken; the expected score
    other_answer  without looking at this one: a caption of another picture, a description of another region
    one_picture   seeing one of several pictures: the best guess, where the converter knows how often it is right

Guess levels are computed from the evaluated rows themselves, so they need no training set and no model. They are
optimistic on purpose: the best constant is chosen knowing the answers.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from triscope.data.batch import Row
from triscope.data.boxes import Box, intersection_over_union
from triscope.evaluation.boxes import HIT_IOU
from triscope.evaluation.captions import tokens
from triscope.evaluation.intervals import Score
from triscope.evaluation.matching import is_mentioned, mentioned_names
from triscope.evaluation.predictions import Prediction, distinct
from triscope.evaluation.tasks import Measure, is_of_a_group, is_pointing, measured, objects_of, picture_of, true_box
from triscope.evaluation.vqa import normalised

CONSTANTS_TRIED = 8


def guess_levels(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """What guessing would score on these rows.

    Args:
        rows: the evaluated rows, in any order.

    Returns:
        For every name of `tasks.score`: `constant` and, where the task and what is known allow it, `any_object`,
        `any_candidate`, `other_answer` or `one_picture`, on the scale of that score, the best first. A constant box is always
        well formed, so `well_formed` never counts as learned.
    """
    levels = {}
    for key, measure, group in measured(distinct([Prediction(row, "") for row in rows])):
        found = _levels([item.row for item in group], measure)
        levels[key] = dict(sorted(found.items(), key=lambda level: level[1], reverse=not measure.less_is_better))
    return levels


def learned(score: Score, guesses: Mapping[str, float], controls: Mapping[str, float], less_is_better: bool = False) -> bool:
    """Whether a score's lower bound lies above everything that needs no sight.

    Args:
        score: of `tasks.score`, with its interval.
        guesses: of `guess_levels` for the same name.
        controls: the same score of the model without pictures, with shuffled pictures, before training, ...
        less_is_better: true of a rank, whose upper bound must lie below.

    Raises:
        ValueError: the score has no interval, or there is no guess to compare it with.
    """
    if score.low is None or score.high is None:
        raise ValueError(f"score {score.value:g} has no interval: call score() with resamples above 0")
    if not guesses:
        raise ValueError("no guess level to compare the score with: take guess_levels(rows) under the score's name")
    levels = (*guesses.values(), *controls.values())
    return all(score.high < level if less_is_better else score.low > level for level in levels)


def _levels(rows: list[Row], measure: Measure) -> dict[str, float]:
    task = rows[0].task
    levels = {"constant": _best_constant(rows, measure)}
    if task in ("caption", "description") or is_of_a_group(task):
        others = _descriptions_of_others(rows) if task == "description" else _captions_of_others(rows)
        if others:
            levels["other_answer"] = measure.items(others).value
    else:
        guesses = [list(_any_object(row)) for row in rows]
        if any(guesses):
            levels["any_object"] = _expected([guess for guess in guesses if guess], measure)
    if measure.judges_one_answer and all(row.candidates for row in rows):
        any_candidate = [[Prediction(row, candidate) for candidate in row.candidates] for row in rows]
        levels["any_candidate"] = _expected(any_candidate, measure)
    if measure.name in ("acc", f"acc@{HIT_IOU:g}") and all("one_picture" in (row.extra or {}) for row in rows):
        levels["one_picture"] = float(np.mean([_right_from_one_picture(row) for row in rows]))
    return levels


def _right_from_one_picture(row: Row) -> float:
    """How often the best guess from a single picture is right, as scenes of several pictures know it."""
    assert row.extra is not None
    return row.extra["one_picture"][int(row.key.rpartition(":")[2])]


def _best_constant(rows: list[Row], measure: Measure) -> float:
    constants: list[tuple[str, Box | None]]
    if is_pointing(rows[0].task):
        constants = [("", box) for box in _likely_boxes(rows)]
    else:
        constants = [(text, None) for text in _likely_texts(rows)]
    best = min if measure.less_is_better else max
    return best(measure.items([Prediction(row, text, box) for row in rows]).value for text, box in constants)


def _likely_texts(rows: Sequence[Row]) -> list[str]:
    """The most frequent answers; among equally frequent ones, those whose phrases most other answers share."""
    spelling = {normalised(answer): answer for row in rows for answer in row.answers}
    frequency = Counter(normalised(answer) for row in rows for answer in row.answers)
    pairs = {text: set(pairwise(tokens(text))) for text in spelling}
    shared = Counter(pair for text in pairs.values() for pair in text)

    def likelihood(text: str) -> tuple[int, float, str]:
        commonness = sum(shared[pair] for pair in pairs[text]) / max(1, len(pairs[text]))
        return frequency[text], commonness, text

    return [spelling[text] for text in sorted(spelling, key=likelihood, reverse=True)[:CONSTANTS_TRIED]]


def _likely_boxes(rows: Sequence[Row]) -> list[Box]:
    """Of the true boxes and their mean: the one that hits most often and the one that overlaps most."""
    true_G4 = np.array([true_box(row).corners for row in rows])
    candidates_G4 = np.concatenate([true_G4, true_G4.mean(axis=0, keepdims=True)])  # here G counts candidates
    hits = [(_overlaps(candidate, true_G4) >= HIT_IOU).mean() for candidate in candidates_G4]
    overlap = [_overlaps(candidate, true_G4).mean() for candidate in candidates_G4]
    return [_unit_box(candidates_G4[np.argmax(values)]) for values in (hits, overlap)]


def _overlaps(box_4: np.ndarray, boxes_G4: np.ndarray) -> np.ndarray:
    """IoU of one box with many."""
    shared_sides_G2 = np.minimum(box_4[2:], boxes_G4[:, 2:]) - np.maximum(box_4[:2], boxes_G4[:, :2])
    shared_G = np.maximum(0.0, shared_sides_G2).prod(axis=1)
    areas_G = (boxes_G4[:, 2:] - boxes_G4[:, :2]).prod(axis=1)
    return shared_G / ((box_4[2:] - box_4[:2]).prod() + areas_G - shared_G)


def _unit_box(corners: Sequence[float] | np.ndarray) -> Box:
    x1, y1, x2, y2 = map(float, corners)
    return Box(x1, y1, x2, y2)


def _any_object(row: Row) -> Iterator[Prediction]:
    """The answers of someone who sees the objects but not which of them is meant; none where that says nothing."""
    objects = objects_of(row)
    if is_pointing(row.task):
        yield from (Prediction(row, "", _unit_box(item["box"])) for item in _in_the_same_picture(row, objects))
    elif row.task == "count":
        amounts = Counter(item["name"] for item in objects)
        yield from (Prediction(row, str(amount)) for amount in amounts.values())
    elif row.task == "color":
        yield from (Prediction(row, item["color"]) for item in objects if item.get("color"))
    elif row.task == "relation":
        yield from (Prediction(row, item["name"]) for item in _others(row, objects))
    elif row.task == "recognition":
        yield from (Prediction(row, item["name"]) for item in objects)


def _in_the_same_picture(row: Row, objects: Sequence[dict]) -> list[dict]:
    """Of several pictures, the objects of the one that the question names, which is that of the true box."""
    if not any("image" in item for item in objects):
        return list(objects)
    meant = max(objects, key=lambda item: intersection_over_union(_unit_box(item["box"]), true_box(row)))
    return [item for item in objects if item["image"] == meant["image"]]


def _others(row: Row, objects: Sequence[dict]) -> list[dict]:
    """The objects that a question does not name, in words or by a region; all of them if it names every one."""
    mentioned = mentioned_names(row.prompt, [item["name"] for item in objects])

    def named(item: dict) -> bool:
        box = _unit_box(item["box"])
        shown = any(intersection_over_union(box, region) >= HIT_IOU for region in row.regions)
        return shown or is_mentioned(item["name"], mentioned)

    return [item for item in objects if not named(item)] or list(objects)


def _expected(guesses: Sequence[Sequence[Prediction]], measure: Measure) -> float:
    """The expected score of guessing, each guess of a row as likely as its others."""
    items = measure.items([guess for row in guesses for guess in row])
    starts = np.cumsum([0, *(len(row) for row in guesses[:-1])])
    sums = np.add.reduceat(items.statistics, starts, axis=0)
    return items.combine((sums / [[len(row)] for row in guesses]).sum(axis=0))


def _captions_of_others(rows: Sequence[Row]) -> list[Prediction]:
    """Each row answered with the first caption of the next picture; none if all rows are of one picture."""
    by_picture = _by_picture(rows)
    pictures = list(by_picture)
    following = dict(zip(pictures, pictures[1:] + pictures[:1], strict=True))
    if len(pictures) < 2:
        return []
    return [Prediction(row, by_picture[following[picture_of(row)]][0].answers[0]) for row in rows]


def _descriptions_of_others(rows: Sequence[Row]) -> list[Prediction]:
    """Each row answered with the description of the picture's next region; lone regions are left out."""
    return [
        Prediction(row, other.answers[0])
        for group in _by_picture(rows).values()
        if len(group) > 1
        for row, other in zip(group, group[1:] + group[:1], strict=True)
    ]


def _by_picture(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[picture_of(row)].append(row)
    return groups
