"""Boxes that know the space they are measured in.

Peers' grounding scores have been lost to pixels read as thousandths and to boxes of a padded picture read as boxes of the
whole one. Here a box carries its space, every conversion names the picture's size, and every transform returns a new box.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from triscope.data.errors import BadSampleError


class BoxSpace(StrEnum):
    """What the numbers of a box count: pixels of the picture, shares of it (0 to 1), or thousandths of it."""

    PIXELS = "pixels"
    UNIT = "unit"
    THOUSANDTHS = "thousandths"


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-parallel box: left, top, right, bottom, in a named space.

    Args:
        x1, y1: upper left corner.
        x2, y2: lower right corner; right of and below the first.
        space: what the four numbers count.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    space: BoxSpace = BoxSpace.UNIT

    @classmethod
    def from_xywh(cls, x: float, y: float, width: float, height: float, space: BoxSpace) -> "Box":
        """A box from its upper left corner and its size, as COCO and Visual Genome write it."""
        return cls(x, y, x + width, y + height, space)

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """(x1, y1, x2, y2) in the box's own space."""
        return self.x1, self.y1, self.x2, self.y2

    def __str__(self) -> str:
        """The corners for people, as in `(601.86, 216.64, 618.58, 222.06)`."""
        return f"({', '.join(f'{corner:g}' for corner in self.corners)})"

    @property
    def area(self) -> float:
        """Area in the square of the box's own unit."""
        return max(0.0, self.x2 - self.x1) * max(0.0, self.y2 - self.y1)

    def to(self, space: BoxSpace, width: int, height: int) -> "Box":
        """The same box in another space of a picture of `width` x `height` pixels."""
        if space == self.space:
            return self
        from_width, from_height = _extent(self.space, width, height)
        to_width, to_height = _extent(space, width, height)
        x_factor, y_factor = to_width / from_width, to_height / from_height
        return Box(self.x1 * x_factor, self.y1 * y_factor, self.x2 * x_factor, self.y2 * y_factor, space)

    def flipped(self, width: int, height: int) -> "Box":
        """The box after its picture was mirrored left to right."""
        extent, _ = _extent(self.space, width, height)
        return replace(self, x1=extent - self.x2, x2=extent - self.x1)

    def clipped(self, width: int, height: int) -> "Box":
        """The part of the box inside its picture."""
        right, bottom = _extent(self.space, width, height)
        return replace(
            self,
            x1=min(max(self.x1, 0.0), right),
            y1=min(max(self.y1, 0.0), bottom),
            x2=min(max(self.x2, 0.0), right),
            y2=min(max(self.y2, 0.0), bottom),
        )

    def shifted(self, shares: Sequence[float]) -> "Box":
        """The box with x1, y1, x2, y2 moved by shares of its own width (x) and height (y)."""
        width, height = self.x2 - self.x1, self.y2 - self.y1
        x1, y1, x2, y2 = (share * side for share, side in zip(shares, (width, height, width, height), strict=True))
        return replace(self, x1=self.x1 + x1, y1=self.y1 + y1, x2=self.x2 + x2, y2=self.y2 + y2)

    def check(self, width: int, height: int, where: str, tolerance: float = 1e-3) -> None:
        """Refuse a box that is inside out, empty, or reaches outside its picture.

        Args:
            width, height: size of the picture in pixels.
            where: file, key and field, for the message.
            tolerance: how far, as a share of the picture, a corner may lie outside (rounding of published annotations).

        Raises:
            BadSampleError: what is wrong with the box, where, and what to do.
        """
        if not (self.x1 < self.x2 and self.y1 < self.y2):
            raise BadSampleError(
                where,
                found=f"box {self} ({self.space})",
                expected="x1 < x2 and y1 < y2",
                remedy="order the corners as left, top, right, bottom; leave out boxes without area",
            )
        right, bottom = _extent(self.space, width, height)
        outside = max(-self.x1 / right, -self.y1 / bottom, self.x2 / right - 1, self.y2 / bottom - 1)
        if outside > tolerance:
            raise BadSampleError(
                where,
                found=f"box {self} ({self.space})",
                expected=f"a box inside the picture, 0 to {right:g} across and 0 to {bottom:g} down",
                remedy="check the box's space (pixels, unit, thousandths) and the picture's size, or clip it",
            )


def intersection_over_union(first: Box, second: Box) -> float:
    """IoU of two boxes in the same space, 0 to 1.

    Raises:
        ValueError: the boxes are in different spaces.
    """
    if first.space != second.space:
        raise ValueError(f"IoU of a box in {first.space} and one in {second.space}: convert one with Box.to() first")
    width = min(first.x2, second.x2) - max(first.x1, second.x1)
    height = min(first.y2, second.y2) - max(first.y1, second.y1)
    overlap = max(0.0, width) * max(0.0, height)
    union = first.area + second.area - overlap
    return overlap / union if union > 0 else 0.0


def _extent(space: BoxSpace, width: int, height: int) -> tuple[float, float]:
    """How far a space reaches, across and down."""
    match space:
        case BoxSpace.PIXELS:
            return float(width), float(height)
        case BoxSpace.THOUSANDTHS:
            return 1000.0, 1000.0
        case BoxSpace.UNIT:
            return 1.0, 1.0
