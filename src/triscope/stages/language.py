"""Training a small language model on text alone, before it is frozen and given eyes."""

from triscope.data.sample import Level
from triscope.stages.base import Stage


class LanguageStage(Stage):
    """The language model itself, on samples without images. Vision, bridges and adapters are left out."""

    bridges = ()
    levels = ()
    accepted_levels = (Level.IMAGE, Level.REGION)
    trained_parts = ("language",)
