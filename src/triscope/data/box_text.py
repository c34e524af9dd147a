"""Boxes as text, in the form that a model was taught, and back."""

import re
from string import ascii_lowercase
from typing import Literal

from triscope.data.boxes import Box, BoxSpace

# How a box is written: shares of the picture with three decimals (LION), whole percent of it, or the first and the last of
# the squares it covers on a board laid over the picture (after the location tokens of Kosmos-2, arXiv 2306.14824).
BoxFormat = Literal["decimal", "percent", "squares"]
BOARD_SIDE = 16  # squares: columns a to p from the left, rows 0 to 15 from the top

_NUMBER = r"\s*(\d+(?:\.\d*)?|\.\d+)\s*"
_BRACKETS = re.compile(rf"\[{','.join([_NUMBER] * 4)}\]")
_COLUMNS = ascii_lowercase[:BOARD_SIDE]
_SQUARES = re.compile(rf"\[\s*([{_COLUMNS}])(\d+)\s*,\s*([{_COLUMNS}])(\d+)\s*\]")


def format_box(box: Box, box_format: BoxFormat) -> str:
    """A box in unit space as text: `[0.120,0.440,0.350,0.980]`, `[12,44,35,98]` or `[c7,f15]`."""
    if box.space != BoxSpace.UNIT:
        raise ValueError(f"a box in {box.space} cannot be written as shares: convert it with Box.to() first")
    corners = [min(max(corner, 0.0), 1.0) for corner in box.corners]
    match box_format:
        case "decimal":
            return f"[{','.join(f'{corner:.3f}' for corner in corners)}]"
        case "percent":
            return f"[{','.join(str(round(100 * corner)) for corner in corners)}]"
        case "squares":
            left, top, right, bottom = (round(BOARD_SIDE * corner) for corner in corners)
            left, top = min(left, BOARD_SIDE - 1), min(top, BOARD_SIDE - 1)
            return f"[{_square(left, top)},{_square(max(right - 1, left), max(bottom - 1, top))}]"


def parse_box(text: str, box_format: BoxFormat) -> Box | None:
    """The first box in brackets, in unit space; spaces between its numbers are allowed.

    Returns:
        None if there are none, one is out of the format's range, or the corners do not go left, top, right, bottom.
    """
    found = (_SQUARES if box_format == "squares" else _BRACKETS).search(text)
    if found is None:
        return None
    if box_format == "squares":
        first_column, first_row, last_column, last_row = found.groups()
        edges = (_COLUMNS.index(first_column), int(first_row), _COLUMNS.index(last_column) + 1, int(last_row) + 1)
        x1, y1, x2, y2 = (edge / BOARD_SIDE for edge in edges)
    else:
        extent = 1.0 if box_format == "decimal" else 100.0
        x1, y1, x2, y2 = (float(number) / extent for number in found.groups())
    return Box(x1, y1, x2, y2, BoxSpace.UNIT) if x1 < x2 <= 1 and y1 < y2 <= 1 else None


def _square(column: int, row: int) -> str:
    return f"{_COLUMNS[column]}{row}"
