"""Samples that could not be used: counted while a stage runs, and named in its folder."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
from lightning.pytorch.utilities import rank_zero_info

from triscope.data.batch import Batch
from triscope.data.loader import Loader, SkippedError


class DataHealth(lightning.Callback):
    """Logs how many samples were dropped in this epoch, lists them with the reason in `dropped.txt`, and tells of the first.

    What validation, test or prediction leaves out is listed and told in the same way: its scores are of fewer samples.
    """

    def __init__(self) -> None:
        self._told: set[str] = set()

    def on_train_batch_end(
        self, trainer: Any, stage: lightning.LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        """Log the count at the logging interval, and write down what is new."""
        skipped = trainer.train_dataloader.skipped
        if trainer.global_step % trainer.log_every_n_steps == 0:
            stage.log("data/dropped_samples", float(len(skipped)), reduce_fx="sum", sync_dist=True)
        self._write_down(trainer, f"step {trainer.global_step}", skipped)

    def on_validation_end(self, trainer: Any, stage: lightning.LightningModule) -> None:
        """Write down what is new."""
        self._write_down(trainer, "validation", _skipped(trainer.val_dataloaders))

    def on_test_end(self, trainer: Any, stage: lightning.LightningModule) -> None:
        """Write down what is new."""
        self._write_down(trainer, "test", _skipped(trainer.test_dataloaders))

    def on_predict_end(self, trainer: Any, stage: lightning.LightningModule) -> None:
        """Write down what is new."""
        self._write_down(trainer, "prediction", _skipped(trainer.predict_dataloaders))

    def _write_down(self, trainer: Any, when: str, skipped: Iterable[SkippedError]) -> None:
        new = [text for text in map(str, skipped) if text not in self._told]
        if new:
            path = Path(trainer.default_root_dir) / "dropped.txt"
            if not self._told:
                rank_zero_info(f"\nA sample is left out. {new[0]} Any others are named in {path} alone.")
            self._told.update(new)
            with path.open("a") as file:
                file.writelines(f"rank {trainer.global_rank}, {when}: {text}\n" for text in new)


def _skipped(loaders: Iterable[Loader]) -> list[SkippedError]:
    """What the last pass over each of some sets has left out."""
    return [error for loader in loaders for error in loader.skipped]
