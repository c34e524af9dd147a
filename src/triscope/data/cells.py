"""Which thing stands in which cell of a board that is laid over a picture, as the tokens of a bridge are."""

from collections.abc import Sequence

import numpy as np

COVERED = 0.2  # a cell holds a thing that covers so much of it


def covering_things(boxes: Sequence[Sequence[float]], side: int) -> list[int | None]:
    """Which of some things covers most of each cell of a square board, row by row; None where none covers enough.

    Args:
        boxes: x1, y1, x2, y2 of each thing as shares of the picture.
        side: cells across and down.
    """
    if not boxes:
        return [None] * side**2
    edges = np.arange(side + 1) / side
    boxes_b4 = np.asarray(boxes)

    def covered(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        """How much of each cell's length lies between (things, cells)."""
        return (np.minimum(end[:, None], edges[1:]) - np.maximum(begin[:, None], edges[:-1])).clip(min=0) * side

    across, down = covered(boxes_b4[:, 0], boxes_b4[:, 2]), covered(boxes_b4[:, 1], boxes_b4[:, 3])
    shares = (down[:, :, None] * across[:, None, :]).reshape(len(boxes_b4), side**2)
    return [int(number) if share > COVERED else None for number, share in zip(shares.argmax(0), shares.max(0), strict=True)]
