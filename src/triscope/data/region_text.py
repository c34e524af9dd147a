"""PVIT's published way to write a region into text: `<Region><L120><L80><L431><L905></Region>`, thousandths of the picture.

The text never reaches a tokenizer: it is read into boxes and `<region:k>` markers when data is converted, and written when a
region is to be handed on.
"""

import re

from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import BadSampleError

_NUMBER = r"<L(\d+)>\s*"
_REGION = re.compile(rf"<Region>\s*{_NUMBER * 4}</Region>")
_MARK = re.compile(r"</?Region>|<L-?\d*>")


def read_regions(text: str, where: str, first: int = 1) -> tuple[str, list[Box]]:
    """A text with markers in place of its regions, and their boxes.

    Args:
        text: a question or an answer.
        where: file, key and field, for messages.
        first: number of the first marker, such as one more than the regions read before.

    Returns:
        The text with `<region:first>`, `<region:first + 1>`, ... in reading order, and as many boxes in unit space.

    Raises:
        BadSampleError: marks that do not make a whole region, numbers above 1000, a box without area.
    """
    boxes: list[Box] = []

    def read(region: re.Match) -> str:
        numbers = [int(number) for number in region.groups()]
        if max(numbers) > 1000:
            raise BadSampleError(where, region[0], "thousandths of the picture, 0 to 1000", "mend or leave out the region")
        x1, y1, x2, y2 = (number / 1000 for number in numbers)
        box = Box(x1, y1, x2, y2, BoxSpace.UNIT)
        box.check(1, 1, f"{where}, {region[0]}")
        boxes.append(box)
        return f"<region:{first + len(boxes) - 1}>"

    read_text = _REGION.sub(read, text)
    check_no_marks(read_text, where)
    return read_text, boxes


def check_no_marks(text: str, where: str) -> None:
    """Refuse a text with marks of the published form.

    Raises:
        BadSampleError: naming the first mark and what stands around it.
    """
    if mark := _MARK.search(text):
        around = text[max(0, mark.start() - 20) : mark.end() + 40]
        raise BadSampleError(
            where,
            f"the mark {mark[0]} in {around!r}",
            "whole regions, <Region><Lx1><Ly1><Lx2><Ly2></Region>",
            "close the region and give it four numbers, and convert the text with read_regions",
        )


def write_region(box: Box) -> str:
    """A box in unit space in the published form; numbers are rounded to the nearest thousandth."""
    if box.space != BoxSpace.UNIT:
        raise ValueError(f"a box in {box.space} cannot be written as thousandths: convert it with Box.to() first")
    corners = (round(1000 * min(max(corner, 0.0), 1.0)) for corner in box.corners)
    return f"<Region>{''.join(f'<L{corner}>' for corner in corners)}</Region>"
