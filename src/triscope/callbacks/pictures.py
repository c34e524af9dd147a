"""Pictures that belong to a run: written into its folder, and shown in W&B where it is on."""

from pathlib import Path

import lightning.pytorch as lightning
from lightning.pytorch.loggers import WandbLogger
from PIL import Image


def log_picture(trainer: lightning.Trainer, name: str, picture: Image.Image, caption: str = "") -> Path:
    """Write `pictures/NAME/step_000100.png` into the run's folder, its caption beside it, and log both to W&B as `pictures/NAME`.

    Returns:
        The file.
    """
    file = Path(trainer.default_root_dir) / "pictures" / name / f"step_{trainer.global_step:06d}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file)
    file.with_suffix(".txt").write_text(caption + "\n")
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(f"pictures/{name}", [picture], caption=[caption])
    return file
