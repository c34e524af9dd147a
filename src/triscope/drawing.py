"""Pictures with what is known, asked and said about them drawn on: boxes, and how much each patch of them counts."""

import math
from collections.abc import Iterable, Sequence
from itertools import zip_longest

import numpy as np
import torch
from PIL import Image
from PIL.ImageDraw import Draw
from torch import Tensor

from triscope.data.boxes import Box, BoxSpace
from triscope.evaluation.predictions import Prediction

TRUE_COLOR, PREDICTED_COLOR, REGION_COLOR = "#00c853", "#ff1744", "#2979ff"
_LINE, _GAP = 3, 6  # pixels
_PAPER = "#dddddd"

Outline = tuple[Box, str]  # a box and its colour


def picture_of(pixels_CHW: Tensor) -> Image.Image:
    """The picture that a model reads (uint8), as one to look at."""
    return Image.fromarray(pixels_CHW.permute(1, 2, 0).cpu().numpy())


def outlined(picture: Image.Image, boxes: Iterable[Outline], size: tuple[int, int] | None = None) -> Image.Image:
    """A copy of a picture with boxes drawn on it, squashed to a size if one is given."""
    drawn = picture.resize(size) if size else picture.copy()
    pen = Draw(drawn)
    for box, color in boxes:
        inside = box.to(BoxSpace.PIXELS, *drawn.size).clipped(drawn.width - 1, drawn.height - 1)
        pen.rectangle(inside.corners, outline=color, width=_LINE)
    return drawn


def outlines(prediction: Prediction, image: int | None) -> list[Outline]:
    """The boxes of a question that lie in one of its pictures: asked about blue, true green, predicted red.

    The predicted box is taken for one of the picture in which the true one lies.

    Args:
        prediction: what was asked and said.
        image: number of the picture in its sample, from 0; None if it has no other, so that all boxes lie in it.
    """
    row = prediction.row
    regions = zip_longest(row.regions, row.region_images)
    placed = [(box, REGION_COLOR, place) for box, place in regions]
    placed += [(row.box, TRUE_COLOR, row.box_image), (prediction.box, PREDICTED_COLOR, row.box_image)]
    return [(box, color) for box, color, place in placed if box is not None and image in (None, place)]


def shaded(picture: Image.Image, share_P: Tensor, size: tuple[int, int] | None = None) -> Image.Image:
    """A copy of a picture in which a patch is the darker, the smaller its share.

    Args:
        picture: square patches in rows make it up.
        share_P: of each patch, 0 (almost black) to 1 (as it is); without the class token.
        size: squash it to this.
    """
    side = math.isqrt(len(share_P))
    drawn = (picture.resize(size) if size else picture).convert("RGB")
    grid = Image.fromarray(share_P.detach().float().view(side, side).cpu().numpy()).resize(drawn.size, Image.Resampling.NEAREST)
    light_HW1 = 0.12 + 0.88 * np.asarray(grid)[:, :, None].clip(0, 1)
    return Image.fromarray((np.asarray(drawn) * light_HW1).astype(np.uint8))


def side_by_side(pictures: Sequence[Image.Image], columns: int | None = None) -> Image.Image:
    """Pictures of one width on a sheet, row by row; a row is as high as its highest picture.

    Args:
        pictures: at least one.
        columns: of the sheet; all in one row if None.
    """
    columns = columns or len(pictures)
    width = pictures[0].width + _GAP
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    heights = [max(each.height for each in row) + _GAP for row in rows]
    sheet = Image.new("RGB", (columns * width, sum(heights)), _PAPER)
    for number, row in enumerate(rows):
        for column, picture in enumerate(row):
            sheet.paste(picture, (column * width + _GAP // 2, sum(heights[:number]) + _GAP // 2))
    return sheet


def colored(features_PV: Tensor, size: tuple[int, int]) -> Image.Image:
    """What a vision encoder tells apart: the three directions in which the patches differ most, as red, green and blue.

    Args:
        features_PV: of the patches of a picture, which are square and stand in rows; without the class token.
        size: of the result, in pixels.
    """
    side = math.isqrt(len(features_PV))
    centered_PV = (features_PV - features_PV.mean(0)).detach().float().cpu()
    _, _, directions_KV = torch.linalg.svd(centered_PV, full_matrices=False)
    colors_P3 = centered_PV @ directions_KV[:3].T
    low, high = colors_P3.amin(0), colors_P3.amax(0)
    bytes_HW3 = (255 * (colors_P3 - low) / (high - low).clamp(min=1e-6)).byte().view(side, side, 3)
    return Image.fromarray(bytes_HW3.numpy()).resize(size, Image.Resampling.NEAREST)
