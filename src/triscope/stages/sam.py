"""SAM's one stage (arXiv 2408.12867): images of one instruction learn to guide each other."""

from triscope.data.sample import Level
from triscope.stages.base import Stage


class MultiImageStage(Stage):
    """Instructions about several images. Only the alignment trains; the Q-Former that it joins up is frozen, as all the rest.

    The Q-Former comes from InstructBLIP, or from `ImageLevelStage` at sizes that have no published one: name it in
    `warm_start`. Its dropout acts all the same while the alignment trains, as in the authors' code.
    """

    bridges = ("qformer",)
    levels = ()
    accepted_levels = (Level.IMAGE, Level.REGION)
    trained_parts = ("alignment",)
