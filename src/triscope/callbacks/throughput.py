"""How fast a stage trains, and how long it waits for data."""

import resource
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import lightning.pytorch as lightning
import torch

from triscope.data.batch import Batch
from triscope.distributed import gathered


class Interval(NamedTuple):
    """What one process did between two logs."""

    rows: int
    images: int
    tokens: int
    seconds: float
    waiting_seconds: float
    peak_memory_gib: float


class Throughput(lightning.Callback):
    """Logs rows, images and tokens a second, the share of time spent waiting for data, and peak memory.

    Logged under `speed/` at the trainer's logging interval; figures are means over the interval. They are of all processes
    together: counts are added up, time is that of the slowest, waiting is the mean share, and memory that of the fullest.
    """

    def __init__(self) -> None:
        self.rows = self.images = 0
        self.tokens: torch.Tensor | int = 0
        self.working_seconds = self.waiting_seconds = 0.0
        self._batch_started = self._batch_ended = 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, stage: lightning.LightningModule) -> None:
        """Start the clock."""
        self._batch_ended = time.perf_counter()

    def on_validation_end(self, trainer: lightning.Trainer, stage: lightning.LightningModule) -> None:
        """Start the clock again: validation is not counted."""
        self._batch_ended = time.perf_counter()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, stage: lightning.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """The data is here: what passed since the last step was waiting."""
        self._batch_started = time.perf_counter()
        self.waiting_seconds += self._batch_started - self._batch_ended

    def on_train_batch_end(
        self, trainer: Any, stage: lightning.LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        """Count the batch, and log when the interval is over."""
        self._batch_ended = time.perf_counter()
        self.working_seconds += self._batch_ended - self._batch_started
        self.rows += len(batch)
        self.images += len(batch.pixels_ICHW)
        self.tokens = self.tokens + batch.valid_BT.sum()
        if trainer.global_step % trainer.log_every_n_steps == 0:
            stage.log_dict({f"speed/{name}": value for name, value in together(gathered([self._counted()])).items()})
            self._forget()

    def _counted(self) -> Interval:
        """Of this process, since it was last told."""
        seconds = self.working_seconds + self.waiting_seconds
        return Interval(self.rows, self.images, int(self.tokens), seconds, self.waiting_seconds, _peak_memory_gib())

    def _forget(self) -> None:
        self.rows = self.images = self.tokens = 0
        self.working_seconds = self.waiting_seconds = 0.0


def together(intervals: Sequence[Interval]) -> dict[str, float]:
    """What is logged of the intervals of all processes, which pass at the same time."""
    seconds = max(each.seconds for each in intervals)
    return {
        "rows_per_second": sum(each.rows for each in intervals) / seconds,
        "images_per_second": sum(each.images for each in intervals) / seconds,
        "tokens_per_second": sum(each.tokens for each in intervals) / seconds,
        "data_wait_share": sum(each.waiting_seconds / each.seconds for each in intervals) / len(intervals),
        "peak_memory_gib": max(each.peak_memory_gib for each in intervals),
    }


def _peak_memory_gib() -> float:
    """Peak of the GPU's memory where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
