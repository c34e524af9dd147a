"""People's rankings of systems: who judged which answers in which order, and what follows from it for each dimension.

A ranking page shows answers without their systems' names. Which answer is whose stands in the page's key, a file beside it;
a judge saves rankings, and both together give scores.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from triscope.data.errors import TriscopeError, reason
from triscope.evaluation.intervals import Items, Score

SCHEMA = 1
DIMENSIONS = ("recognition", "attribute", "relation", "counting", "text", "reasoning")
OVERALL = "overall"
RESAMPLES = 2000


@dataclass(frozen=True)
class Key:
    """Which answer on a page is whose.

    Args:
        page: identifies the page's content.
        orders: systems by item, in the order in which the page shows their answers.
        pictures: of each item; instructions about one picture are judged alike, so intervals are drawn over pictures.
    """

    page: str
    orders: Mapping[str, tuple[str, ...]]
    pictures: Mapping[str, str]

    @property
    def systems(self) -> list[str]:
        """All that are compared, sorted."""
        return sorted({system for order in self.orders.values() for system in order})

    def to_json(self) -> str:
        """The key as it is stored."""
        items = {item: {"picture": self.pictures[item], "order": order} for item, order in self.orders.items()}
        return json.dumps({"schema": SCHEMA, "page": self.page, "items": items}, indent=1, ensure_ascii=False)


@dataclass(frozen=True)
class Judgement:
    """How a judge ranked the answers to an instruction.

    Args:
        judge: name that they gave.
        item: which instruction.
        picture: which picture it is about.
        dimensions: what it asks for, as the judge sees it.
        places: of each system, 1 for the best; those that share places have their mean (two best ones: 1.5 each).
    """

    judge: str
    item: str
    picture: str
    dimensions: tuple[str, ...]
    places: Mapping[str, float]

    def preference(self, first: str, second: str) -> float:
        """1 if the first system is ranked before the second, 0.5 if they are equal, 0 if after."""
        return 0.5 + 0.5 * float(np.sign(self.places[second] - self.places[first]))


@dataclass(frozen=True)
class SystemScores:
    """How a system was ranked.

    Args:
        wins: share of the other systems' answers that its own are ranked before, equal ones counted half; 0.5 is the average
            system.
        best: share of the instructions that no other answer is ranked before its own.
        place: its mean place.
    """

    wins: Score
    best: Score
    place: float


def read_key(path: Path) -> Key:
    """The key of a page.

    Raises:
        TriscopeError: no such file, or another one.
    """
    record = _read(path, "the key that `triscope rank page` wrote beside the page")
    try:
        orders = {item: tuple(entry["order"]) for item, entry in record["items"].items()}
        return Key(record["page"], orders, {item: entry["picture"] for item, entry in record["items"].items()})
    except (KeyError, TypeError, AttributeError) as error:
        found = f"{type(error).__name__} {error}"
        raise TriscopeError(str(path), found, "the fields of a key", "name the page's .key.json") from None


def read_rankings(path: Path, key: Key) -> list[Judgement]:
    """What a judge saved.

    Args:
        path: of the file.
        key: of the page that was judged.

    Raises:
        TriscopeError: another page's rankings, or places that do not fit its answers.
    """
    record = _read(path, "rankings saved by a page")
    if record.get("page") != key.page:
        found = f"rankings of page {record.get('page')!r}"
        raise TriscopeError(str(path), found, f"of page {key.page!r}", "name the key of the page that was judged")
    judge = str(record.get("judge") or path.stem)
    try:
        return [_judgement(judge, entry, key, f"{path}, item {entry['item']!r}") for entry in record["rankings"]]
    except (KeyError, TypeError) as error:
        found = f"{type(error).__name__} {error}"
        raise TriscopeError(str(path), found, "the fields of saved rankings", "save them again from the page") from None


def score_rankings(
    judgements: Sequence[Judgement], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, dict[str, SystemScores]]:
    """Scores of every system by dimension, and over all instructions.

    Args:
        judgements: of all judges.
        resamples: draws of the pictures for the 95 % intervals.
        seed: of the draws.
    """
    dimensions = {OVERALL: list(judgements)}
    for dimension in DIMENSIONS:
        dimensions[dimension] = [judgement for judgement in judgements if dimension in judgement.dimensions]
    return {
        dimension: {system: _score(system, chosen, resamples, seed) for system in sorted(chosen[0].places)}
        for dimension, chosen in dimensions.items()
        if chosen
    }


def score_pairs(judgements: Sequence[Judgement], resamples: int = RESAMPLES, seed: int = 0) -> dict[tuple[str, str], Score]:
    """For each two systems, the share of instructions where the first is ranked before the second, equal ones counted half."""
    pictures = [judgement.picture for judgement in judgements]
    return {
        (first, second): Items.mean([judgement.preference(first, second) for judgement in judgements]).score(
            pictures, resamples, seed
        )
        for first, second in combinations(sorted(judgements[0].places), 2)
    }


def agreement(judgements: Sequence[Judgement]) -> tuple[float, int] | None:
    """How often two judges put two answers to an instruction in the same order (or both call them equal).

    Returns:
        The share and the number of comparisons; None if no instruction has two judges.
    """
    by_item: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        by_item.setdefault(judgement.item, []).append(judgement)
    alike = [
        one.preference(first, second) == other.preference(first, second)
        for same in by_item.values()
        for one, other in combinations(same, 2)
        for first, second in combinations(sorted(one.places), 2)
    ]
    return (sum(alike) / len(alike), len(alike)) if alike else None


def rankings_table(judgements: Sequence[Judgement], resamples: int = RESAMPLES, seed: int = 0) -> str:
    """All scores as text."""
    judges = len({judgement.judge for judgement in judgements})
    items = len({judgement.item for judgement in judgements})
    lines = [f"{items} instructions, {judges} judge(s), {len(judgements)} rankings; 95 % intervals over pictures", ""]
    lines.append(
        f"{'dimension':12} {'system':20} {'wins':>6} {'interval':>13} {'best':>6} {'interval':>13} {'place':>6} {'n':>5}"
    )
    for dimension, scores in score_rankings(judgements, resamples, seed).items():
        for system, result in sorted(scores.items(), key=lambda entry: -entry[1].wins.value):
            wins, best = _with_interval(result.wins), _with_interval(result.best)
            lines.append(f"{dimension:12} {system:20} {wins} {best} {result.place:6.2f} {result.wins.n:5d}")
    lines += ["", "ranked before (equal ones counted half), over all instructions"]
    for (first, second), score in score_pairs(judgements, resamples, seed).items():
        lines.append(f"{first:20} before {second:20} {_with_interval(score)}")
    if both := agreement(judgements):
        lines += ["", f"judges agree on {both[0]:.3f} of {both[1]} comparisons of two answers"]
    return "\n".join(lines)


def rankings_json(judgements: Sequence[Judgement], resamples: int = RESAMPLES, seed: int = 0) -> str:
    """All scores as JSON."""
    both = agreement(judgements)
    content = {
        "scores": {
            dimension: {
                system: {"wins": _with_fields(result.wins), "best": _with_fields(result.best), "place": result.place}
                for system, result in scores.items()
            }
            for dimension, scores in score_rankings(judgements, resamples, seed).items()
        },
        "pairs": [
            {"first": first, "second": second, "first_before_second": _with_fields(score)}
            for (first, second), score in score_pairs(judgements, resamples, seed).items()
        ],
        "agreement": None if both is None else {"value": both[0], "comparisons": both[1]},
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _with_fields(score: Score) -> dict[str, float | int | None]:
    """A score with its interval, as JSON."""
    return {"value": score.value, "low": score.low, "high": score.high, "n": score.n}


def _score(system: str, judgements: Sequence[Judgement], resamples: int, seed: int) -> SystemScores:
    pictures = [judgement.picture for judgement in judgements]
    others = [other for other in judgements[0].places if other != system]
    wins = [np.mean([judgement.preference(system, other) for other in others]) for judgement in judgements]
    best = [all(judgement.preference(system, other) >= 0.5 for other in others) for judgement in judgements]
    return SystemScores(
        Items.mean([float(share) for share in wins]).score(pictures, resamples, seed),
        Items.mean([float(one) for one in best]).score(pictures, resamples, seed),
        float(np.mean([judgement.places[system] for judgement in judgements])),
    )


def _judgement(judge: str, entry: Mapping, key: Key, where: str) -> Judgement:
    order = key.orders.get(entry["item"])
    places = entry["places"]
    if order is None or len(places) != len(order) or not all(isinstance(place, int) and place >= 1 for place in places):
        found, expected = f"places {places}", f"a whole number from 1 for each answer to one of {len(key.orders)} items"
        raise TriscopeError(where, found, expected, "save the rankings again from the page")
    unknown = set(entry["dimensions"]) - set(DIMENSIONS)
    if unknown:
        raise TriscopeError(where, f"dimensions {sorted(unknown)}", ", ".join(DIMENSIONS), "save the rankings again")
    return Judgement(judge, entry["item"], key.pictures[entry["item"]], tuple(entry["dimensions"]), _shared(order, places))


def _shared(order: Sequence[str], places: Sequence[int]) -> dict[str, float]:
    """Places by system, from 1 without gaps; equal ones share the mean of theirs, so that every ranking has the same sum."""
    return {
        system: sum(other < place for other in places) + (sum(other == place for other in places) + 1) / 2
        for system, place in zip(order, places, strict=True)
    }


def _with_interval(score: Score) -> str:
    return f"{score.value:6.3f} {f'{score.low:.3f}-{score.high:.3f}':>13}"


def _read(path: Path, expected: str) -> dict:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TriscopeError(str(path), reason(error), expected, "check the path") from None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise TriscopeError(str(path), "another layout", f"{expected}, schema {SCHEMA}", "check which file this is")
    return record
