"""A fixed set of validation pictures with what the model said about them."""

import math
import textwrap
from collections import Counter
from collections.abc import Mapping
from functools import cache

import lightning.pytorch as lightning
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image, ImageDraw, ImageFont

from triscope.callbacks.pictures import log_picture
from triscope.data.batch import Batch
from triscope.data.controls import PLAIN
from triscope.drawing import outlined, outlines, picture_of, side_by_side
from triscope.evaluation.predictions import Prediction
from triscope.stages.base import Stage

_PICTURE, _COLUMNS, _MARGIN = 224, 4, 4
_FONT, _CHARACTERS, _LINES = ImageFont.load_default(11), 38, 4  # a line has so many characters, an entry so many lines

Pictures = Mapping[int, Image.Image]  # those that a row shows, by their number in the sample


class PictureBoard(lightning.Callback):
    """Draws the same validation rows after each validation: predicted box red, true box green, asked region blue.

    Args:
        rows: how many rows to show, spread over tasks in turn.
    """

    def __init__(self, rows: int = 16) -> None:
        self.rows = rows
        self._pictures: dict[str, Pictures] = {}  # by key of the row

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, stage: Stage, outputs: object, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keep the pictures of the first batches: the same in every validation. Each may have many rows."""
        if len({sample_key(key) for key in self._pictures}) < 4 * self.rows:
            self._pictures |= pictures_of_rows(batch)

    @rank_zero_only
    def on_validation_end(self, trainer: lightning.Trainer, stage: Stage) -> None:
        """Draw the board, save it and log it."""
        if trainer.sanity_checking:
            return
        predictions = [prediction for by_control in stage.predictions.values() for prediction in by_control[PLAIN]]
        shown = choose_rows([prediction for prediction in predictions if prediction.row.key in self._pictures], self.rows)
        if shown:
            cells = [draw_prediction(self._pictures[prediction.row.key], prediction) for prediction in shown]
            sheet = side_by_side(cells, min(_COLUMNS, len(cells)))
            log_picture(trainer, "board", sheet, "green: true box, red: predicted box, blue: region asked about")


def pictures_of_rows(batch: Batch) -> dict[str, Pictures]:
    """The pictures of every row that shows some, by its key."""
    found: dict[str, dict[int, Image.Image]] = {}
    drawn = cache(lambda image: picture_of(batch.pixels_ICHW[image]))  # once, however many rows show it
    place_B = [0] * len(batch)
    for row, image in zip(batch.pair_row_N.tolist(), batch.pair_image_N.tolist(), strict=True):
        number = batch.rows[row].images[place_B[row]]
        place_B[row] += 1
        found.setdefault(batch.rows[row].key, {})[number] = drawn(image)
    return dict(found)


def sample_key(key: str) -> str:
    """Of the sample that the row with this key asks about."""
    return key.partition(":")[0]


def choose_rows(predictions: list[Prediction], count: int) -> list[Prediction]:
    """Rows of each task in turn, so that every task is seen; of a task, the first one whose picture was shown least often."""
    by_task: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        by_task.setdefault(prediction.row.task, []).append(prediction)
    chosen: list[Prediction] = []
    shown = Counter[str]()
    while len(chosen) < min(count, len(predictions)):
        for queue in filter(None, by_task.values()):
            place = min(range(len(queue)), key=lambda place: shown[sample_key(queue[place].row.key)])
            shown[sample_key(queue[place].row.key)] += 1
            chosen.append(queue.pop(place))
    return chosen[:count]


def draw_prediction(pictures: Pictures, prediction: Prediction) -> Image.Image:
    """One cell: the pictures, each with its own boxes, and as much as it takes below for question, answer and reference."""
    text = caption(prediction)
    *_, bottom = ImageDraw.Draw(Image.new("1", (1, 1))).multiline_textbbox((0, 0), text, font=_FONT)
    cell = Image.new("RGB", (_PICTURE, _PICTURE + math.ceil(bottom) + 2 * _MARGIN), "white")
    columns = math.ceil(math.sqrt(len(pictures)))
    side = _PICTURE // columns
    for place, (number, picture) in enumerate(sorted(pictures.items())):
        row, column = divmod(place, columns)
        boxes = outlines(prediction, number if len(pictures) > 1 else None)
        cell.paste(outlined(picture, boxes, (side, side)), (column * side, row * side))
    ImageDraw.Draw(cell).multiline_text((_MARGIN, _PICTURE + _MARGIN), text, fill="black", font=_FONT)
    return cell


def caption(prediction: Prediction) -> str:
    """Question, answer and reference in lines."""
    entries = {prediction.row.task: prediction.row.prompt, "said": prediction.text, "true": prediction.row.answers[0]}
    wrapped = [
        textwrap.wrap(f"{name}: {entry}", _CHARACTERS, max_lines=_LINES, placeholder=" …") for name, entry in entries.items()
    ]
    return "\n".join(line for lines in wrapped for line in lines)
