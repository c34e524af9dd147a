"""A fixed set of validation pictures with what the model said about them."""

import textwrap

import lightning.pytorch as lightning
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image, ImageDraw, ImageFont

from triscope.callbacks.pictures import log_picture
from triscope.data.batch import Batch
from triscope.data.boxes import Box, BoxSpace
from triscope.data.controls import PLAIN
from triscope.evaluation.predictions import Prediction
from triscope.stages.base import Stage

TRUE_COLOR, PREDICTED_COLOR, REGION_COLOR = "#00c853", "#ff1744", "#2979ff"
_PICTURE, _TEXT_HEIGHT, _COLUMNS = 224, 92, 4


class PictureBoard(lightning.Callback):
    """Draws the same validation rows after each validation: predicted box red, true box green, asked region blue.

    Args:
        rows: how many rows to show, spread over tasks in turn.
    """

    def __init__(self, rows: int = 16) -> None:
        self.rows = rows
        self._pictures: dict[str, Image.Image] = {}

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, stage: Stage, outputs: object, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keep the pictures of the first batches: the same in every validation."""
        if len(self._pictures) < 4 * self.rows:
            for row in batch.rows:
                if row.image is not None:
                    pixels_HWC = batch.pixels_ICHW[row.image].permute(1, 2, 0).cpu().numpy()
                    self._pictures.setdefault(row.key, Image.fromarray(pixels_HWC))

    @rank_zero_only
    def on_validation_end(self, trainer: lightning.Trainer, stage: Stage) -> None:
        """Draw the board, save it and log it."""
        if trainer.sanity_checking:
            return
        predictions = [prediction for by_control in stage.predictions.values() for prediction in by_control[PLAIN]]
        shown = choose_rows([prediction for prediction in predictions if prediction.row.key in self._pictures], self.rows)
        if shown:
            cells = [draw_prediction(self._pictures[prediction.row.key], prediction) for prediction in shown]
            log_picture(trainer, "board", board(cells), "green: true box, red: predicted box, blue: region asked about")


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


def draw_prediction(picture: Image.Image, prediction: Prediction) -> Image.Image:
    """One cell: the picture with its boxes, and question, answer and reference below."""
    cell = Image.new("RGB", (_PICTURE, _PICTURE + _TEXT_HEIGHT), "white")
    shown = picture.resize((_PICTURE, _PICTURE))
    draw = ImageDraw.Draw(shown)
    boxes: list[tuple[Box | None, str]] = [(box, REGION_COLOR) for box in prediction.row.regions]
    boxes += [(prediction.row.box, TRUE_COLOR), (prediction.box, PREDICTED_COLOR)]
    for box, color in boxes:
        if box is not None:
            draw.rectangle(_corners(box), outline=color, width=3)
    cell.paste(shown, (0, 0))
    text = [f"{prediction.row.task}: {prediction.row.prompt}", f"said: {prediction.text}", f"true: {prediction.row.answers[0]}"]
    lines = [line for entry in text for line in textwrap.wrap(entry, 38)[:2]]
    ImageDraw.Draw(cell).multiline_text((4, _PICTURE + 4), "\n".join(lines), fill="black", font=ImageFont.load_default(11))
    return cell


def board(cells: list[Image.Image]) -> Image.Image:
    """Cells side by side, row by row."""
    width, height = cells[0].size
    sheet = Image.new("RGB", (_COLUMNS * (width + 6), -(-len(cells) // _COLUMNS) * (height + 6)), "#dddddd")
    for number, cell in enumerate(cells):
        row, column = divmod(number, _COLUMNS)
        sheet.paste(cell, (column * (width + 6) + 3, row * (height + 6) + 3))
    return sheet


def _corners(box: Box) -> tuple[float, ...]:
    inside = box.to(BoxSpace.PIXELS, _PICTURE, _PICTURE).clipped(_PICTURE - 1, _PICTURE - 1)
    return inside.corners
