"""All three scopes at once, which no published system trains: the whole image, its regions, and several images."""

from triscope.data.sample import Level
from triscope.stages.base import REGION_PARTS, Stage


class ThreeScopesStage(Stage):
    """LION's mixture with SAM's alignment in its Q-Former and PVIT's region tokens, on data of all kinds together.

    Only vision tower and language model are frozen. Parts that were trained alone are named in `warm_start`.
    """

    bridges = ("qformer", "aggregator")
    levels = (Level.REGION, Level.IMAGE)
    region_parts = REGION_PARTS
    trained_parts = (
        "qformer",
        "alignment",
        "aggregator",
        "adapter_image",
        "adapter_region",
        "router",
        "soft_prompt",
        *REGION_PARTS,
    )
