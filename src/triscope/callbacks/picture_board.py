"""A fixed set of validation pictures with what the model said about them."""

import math
import textwrap
from collections.abc import Mapping

import lightning.pytorch as lightning
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image, ImageDraw, ImageFont

from triscope.callbacks.pictures import log_picture
from triscope.data.batch import Batch
from triscope.data.controls import PLAIN
from triscope.drawing import outlined, outlines, picture_of, side_by_side
from triscope.evaluation.predictions import Prediction
from triscope.stages.base import Stage

_PICTURE, _TEXT_HEIGHT, _COLUMNS = 224, 92, 4

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
        """Keep the pictures of the first batches: the same in every validation."""
        if len(self._pictures) < 4 * self.rows:
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
    place_B = [0] * len(batch)
    for row, image in zip(batch.pair_row_N.tolist(), batch.pair_image_N.tolist(), strict=True):
        number = batch.rows[row].images[place_B[row]]
        place_B[row] += 1
        found.setdefault(batch.rows[row].key, {})[number] = picture_of(batch.pixels_ICHW[image])
    return dict(found)


def choose_rows(predictions: list[Prediction], count: int) -> list[Prediction]:
    """The first rows of each task in turn, so that every task is seen."""
    by_task: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        by_task.setdefault(prediction.row.task, []).append(prediction)
    chosen: list[Prediction] = []
    depth = 0
    while len(chosen) < count and any(depth < len(queue) for queue in by_task.values()):
        chosen += [queue[depth] for queue in by_task.values() if depth < len(queue)]
        depth += 1
    return chosen[:count]


def draw_prediction(pictures: Pictures, prediction: Prediction) -> Image.Image:
    """One cell: the pictures, each with its own boxes, and question, answer and reference below."""
    cell = Image.new("RGB", (_PICTURE, _PICTURE + _TEXT_HEIGHT), "white")
    columns = math.ceil(math.sqrt(len(pictures)))
    side = _PICTURE // columns
    for place, (number, picture) in enumerate(sorted(pictures.items())):
        row, column = divmod(place, columns)
        boxes = outlines(prediction, number if len(pictures) > 1 else None)
        cell.paste(outlined(picture, boxes, (side, side)), (column * side, row * side))
    text = [f"{prediction.row.task}: {prediction.row.prompt}", f"said: {prediction.text}", f"true: {prediction.row.answers[0]}"]
    lines = [line for entry in text for line in textwrap.wrap(entry, 38)[:2]]
    ImageDraw.Draw(cell).multiline_text((4, _PICTURE + 4), "\n".join(lines), fill="black", font=ImageFont.load_default(11))
    return cell
