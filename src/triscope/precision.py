"""Mixed precision for machines of any kind."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch.plugins import Precision

from triscope.hardware import multiplies_bfloat16


class AutoPrecision(Precision):
    """bfloat16 autocast where this machine is fast at it, else float32. Stands in `trainer.plugins`, instead of a `precision`."""

    precision = "bf16-mixed" if multiplies_bfloat16() else "32-true"

    @contextmanager
    def forward_context(self) -> Iterator[None]:
        """What every step runs in."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        with torch.autocast(device, torch.bfloat16, enabled=multiplies_bfloat16()):
            yield
