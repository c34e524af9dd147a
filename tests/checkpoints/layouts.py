"""The layout tables of published files: name, shape and type of every tensor, as tensors without content."""

import pytest
import torch
from torch import Tensor

from tests.conftest import SHARED_DATA

TABLES = SHARED_DATA.parent / "specs" / "layouts"


def layout(name: str) -> dict[str, Tensor]:
    """A table, or a skip that says what is missing."""
    file = TABLES / f"{name}.txt"
    if not file.is_file():
        pytest.skip(f"no layout table {file}: set TRISCOPE_SHARED_DATA to run this test")
    rows = [line.split() for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return {row[0]: torch.empty(shape_of(row[1]), device="meta") for row in rows if row[0] != "name"}


def shape_of(text: str) -> list[int]:
    """`1x32x768` as numbers."""
    return [int(side) for side in text.split("x")]
