"""Checkpoint files that are there whole or not at all, whatever moment a run is killed at."""

import os
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from triscope.data.errors import ConfigurationError


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the file and renames what is written; Lightning's own goes by way of another folder, and copies."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Save a checkpoint; an older one of that name stays until the new one is on the disk.

        Args:
            checkpoint: model and trainer state.
            path: of a local file.
            storage_options: none are known.
        """
        if "://" in str(path):
            return super().save_checkpoint(checkpoint, path, storage_options)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.unfinished")
        with unfinished.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name, too
        finally:
            os.close(folder)


def check_readable(path: str | Path) -> None:
    """Whether a checkpoint is there, and whole, at a glance: before a model is built for it.

    Raises:
        ConfigurationError: it is not.
    """
    if not Path(path).is_file():
        found = "no such file"
    elif not is_zipfile(path):  # the directory of a checkpoint's tensors is at its end
        found = f"{Path(path).stat().st_size:,} bytes that are no whole checkpoint"
    else:
        return
    remedy = "name the checkpoints/last.ckpt of a run, or copy it again if it was cut off"
    raise ConfigurationError(f"checkpoint {path}", found, "a file that a run has written", remedy)
