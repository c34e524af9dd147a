"""LION's three stages (arXiv 2311.11860, section 3.1): each level of visual knowledge alone, then both under the router.

Stages 1 and 2 share nothing but the frozen vision tower and language model, so they may run in parallel. Stage 3 starts
from both: its router is one-hot, so at its first step every level uses exactly its specialist's adapter.

A LION with PVIT's region encoder trains that in stages 2 and 3. LION itself has none.
"""

from triscope.data.sample import Level
from triscope.stages.base import REGION_PARTS, Stage


class ImageLevelStage(Stage):
    """Stage 1: captions and questions about the whole image, through the Q-Former and the image-level adapter."""

    bridges = ("qformer",)
    levels = (Level.IMAGE,)
    trained_parts = ("qformer", "adapter_image", "soft_prompt")


class RegionLevelStage(Stage):
    """Stage 2: pointing at regions and describing them, through the vision aggregator and the region-level adapter."""

    bridges = ("aggregator",)
    levels = (Level.REGION,)
    region_parts = REGION_PARTS
    trained_parts = ("aggregator", "adapter_region", "soft_prompt", *REGION_PARTS)


class MixtureStage(Stage):
    """Stage 3: both levels at once, both bridges, both adapters mixed by the router.

    Without a warm start it is the single-stage joint training that the paper compares with.
    """

    bridges = ("qformer", "aggregator")
    levels = (Level.REGION, Level.IMAGE)
    region_parts = REGION_PARTS
    trained_parts = ("qformer", "aggregator", "adapter_image", "adapter_region", "router", "soft_prompt", *REGION_PARTS)
