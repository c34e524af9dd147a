"""Scores of pointing: accuracy at an overlap of one half, mean overlap, and whether a box was written at all."""

from collections.abc import Sequence

import numpy as np

from triscope.data.boxes import Box, intersection_over_union

HIT_IOU = 0.5


def overlaps(predicted: Sequence[Box | None], true: Sequence[Box]) -> np.ndarray:
    """IoU of each answer with the true box, 0 to 1; 0 where no box could be read from the answer.

    Args:
        predicted: the boxes read from the answers, None where there is none.
        true: the true boxes, in the same space.
    """
    return np.array([intersection_over_union(box, truth) if box else 0.0 for box, truth in zip(predicted, true, strict=True)])


def hits(predicted: Sequence[Box | None], true: Sequence[Box]) -> np.ndarray:
    """1.0 where an answer overlaps the true box by at least one half (acc@0.5), else 0.0."""
    return (overlaps(predicted, true) >= HIT_IOU).astype(np.float64)


def well_formed(predicted: Sequence[Box | None]) -> np.ndarray:
    """1.0 where the answer is a box with an area, else 0.0."""
    return np.array([float(box is not None and box.area > 0) for box in predicted])
