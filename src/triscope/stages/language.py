"""Training a small language model on text alone, before it is frozen and given eyes."""

from dataclasses import replace

from torch import Tensor

from triscope.data.batch import Batch
from triscope.data.sample import Level
from triscope.stages.base import Stage


class LanguageStage(Stage):
    """The language model itself, on samples without images. Vision, bridges and adapters are left out.

    It learns to predict every token, those of the prompts too: they repeat what was told, which teaches it to look back.
    """

    bridges = ()
    levels = ()
    accepted_levels = (Level.IMAGE, Level.REGION)
    trained_parts = ("language",)

    def training_step(self, batch: Batch) -> Tensor:
        """The sum of the losses of all tokens."""
        return super().training_step(replace(batch, supervised_BT=batch.valid_BT))
