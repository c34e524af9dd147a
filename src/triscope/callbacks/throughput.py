"""How fast a stage trains, and how long it waits for data."""

import resource
import time
from typing import Any

import lightning.pytorch as lightning
import torch

from triscope.data.batch import Batch


class Throughput(lightning.Callback):
    """Logs rows, images and tokens a second, the share of time spent waiting for data, and peak memory.

    Logged under `speed/` at the trainer's logging interval; figures are means over the interval.
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
            seconds = self.working_seconds + self.waiting_seconds
            stage.log_dict(
                {
                    "speed/rows_per_second": self.rows / seconds,
                    "speed/images_per_second": self.images / seconds,
                    "speed/tokens_per_second": float(self.tokens) / seconds,
                    "speed/data_wait_share": self.waiting_seconds / seconds,
                    "speed/peak_memory_gib": _peak_memory_gib(),
                }
            )
            self._forget()

    def _forget(self) -> None:
        self.rows = self.images = self.tokens = 0
        self.working_seconds = self.waiting_seconds = 0.0


def _peak_memory_gib() -> float:
    """Peak of the GPU's memory where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
