"""Predictions in files, so that scores can be computed again without a model.

One line a row: what was asked, what would have been right, what the model said. Processes send each other their answers
(`EvaluatedModule`), and the first writes them all; a set that was asked in several runs has several files.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from triscope.data.batch import Row
from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import TriscopeError
from triscope.data.sample import Level


class BadPredictionsError(TriscopeError):
    """A file of predictions cannot be read, or two of its lines contradict each other."""


@dataclass(frozen=True)
class Prediction:
    """What a model said to a row.

    Args:
        row: the question and its references.
        text: the answer that is scored.
        box: the box read from the answer, in unit space, if there is one.
        written: what a benchmark made it of: the answer as the model wrote it.
        log_likelihoods: of each of the row's candidates, where they were ranked.
        benchmark: name and version of the benchmark that asked, if one did.
    """

    row: Row
    text: str
    box: Box | None = None
    written: str = ""
    log_likelihoods: tuple[float, ...] = ()
    benchmark: str = ""


def write_predictions(path: Path | str, predictions: Iterable[Prediction]) -> None:
    """Write predictions, one JSON line each; the file appears whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.writelines(_to_json(prediction) + "\n" for prediction in predictions)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_predictions(path: Path | str) -> list[Prediction]:
    """The predictions of a file, in its order.

    Raises:
        BadPredictionsError: naming file and line.
    """
    predictions = []
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                predictions.append(_from_json(line))
            except (KeyError, TypeError, ValueError) as error:
                raise BadPredictionsError(
                    f"{path}, line {number}",
                    f"{type(error).__name__} {error}",
                    "a line written by write_predictions",
                    "validate again",
                ) from None
    return predictions


def merge(files: Iterable[Path | str]) -> list[Prediction]:
    """The predictions of several files, such as parts of a set, as one list, in the order of their keys."""
    return distinct([prediction for file in files for prediction in read_predictions(file)])


def distinct(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Predictions in the order of their keys, one a key: rows are repeated so that every process has as many.

    Raises:
        BadPredictionsError: one key stands for two different questions.
    """
    kept: dict[str, Prediction] = {}
    for prediction in sorted(predictions, key=lambda item: (item.row.key, item.text)):
        row, first = prediction.row, kept.setdefault(prediction.row.key, prediction).row
        if (row.level, row.task, row.answers) != (first.level, first.task, first.answers):
            raise BadPredictionsError(
                f"predictions, key {row.key!r}",
                f"{first.task} {first.answers} and {row.task} {row.answers}",
                "one question a key",
                "score data sets that share keys apart",
            )
    return list(kept.values())


def _to_json(prediction: Prediction) -> str:
    row = prediction.row
    record = {
        "key": row.key,
        "source": row.source,
        "id": row.id,
        "task": row.task,
        "level": row.level,
        "prompt": row.prompt,
        "answers": row.answers,
        "prediction": prediction.text,
        "box": _corners(prediction.box),
        "true_box": _corners(row.box),
        "box_image": row.box_image,
        "images": row.images,
        "sizes": row.sizes,
        "regions": [_corners(region) for region in row.regions],
        "region_images": row.region_images,
        "candidates": row.candidates,
        "extra": row.extra,
        "benchmark": prediction.benchmark,
        "written": prediction.written,
        "log_likelihoods": prediction.log_likelihoods,
    }
    return json.dumps(record, ensure_ascii=False)


def _from_json(line: str) -> Prediction:
    record = json.loads(line)
    row = Row(
        key=record["key"],
        task=record["task"],
        level=Level(record["level"]),
        prompt=record["prompt"],
        answers=tuple(record["answers"]),
        candidates=tuple(record["candidates"]),
        box=_box(record["true_box"]),
        # What has a default below was not written down at first.
        box_image=record.get("box_image"),
        images=tuple(record.get("images", ())),
        regions=tuple(Box(*corners) for corners in record["regions"]),
        region_images=tuple(record.get("region_images", ())),
        extra=record["extra"],
        id=record.get("id", ""),
        source=record.get("source", ""),
        sizes=tuple((width, height) for width, height in record.get("sizes", ())),
    )
    return Prediction(
        row,
        record["prediction"],
        _box(record["box"]),
        written=record.get("written", ""),  # benchmarks came later
        log_likelihoods=tuple(record.get("log_likelihoods", ())),
        benchmark=record.get("benchmark", ""),
    )


def _corners(box: Box | None) -> tuple[float, ...] | None:
    if box is not None and box.space != BoxSpace.UNIT:
        raise ValueError(f"box in {box.space}: rows and predictions hold boxes in unit space, convert with Box.to()")
    return box.corners if box else None


def _box(corners: Sequence[float] | None) -> Box | None:
    return Box(*corners) if corners else None  # type: ignore[arg-type]
