"""PVIT's two stages (arXiv 2308.13437, section 3): regions are first brought to the language model, then used with it."""

from triscope.data.sample import Level
from triscope.stages.base import REGION_PARTS, Stage


class RegionAlignmentStage(Stage):
    """Stage 1: a region's feature is projected to where the language model reads it; all else is frozen.

    The position of a box is not told yet. The paper trains the projector alone, its code also the two marks around a
    region: `learning_rate_scales: {region_markers: 0.0}` leaves them where they begin.
    """

    bridges = ("image_projector",)
    levels = ()
    accepted_levels = (Level.REGION, Level.IMAGE)
    region_parts = ("region_projector", "region_markers")
    trained_parts = ("region_projector", "region_markers")


class RegionInstructionStage(Stage):
    """Stage 2: conversations about regions; everything trains but the two towers.

    Of a language model with a LoRA, the LoRA alone; the paper trains all of it.
    """

    bridges = ("image_projector",)
    levels = ()
    accepted_levels = (Level.REGION, Level.IMAGE)
    region_parts = REGION_PARTS
    trained_parts = ("language", "image_projector", "image_markers", *REGION_PARTS)
