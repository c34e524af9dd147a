"""Training stages: each says what trains, on which data, from which checkpoints."""

from triscope.stages.base import GenerationOptions, Stage, WarmStart
from triscope.stages.language import LanguageStage
from triscope.stages.lion import ImageLevelStage, MixtureStage, RegionLevelStage

__all__ = [
    "GenerationOptions",
    "ImageLevelStage",
    "LanguageStage",
    "MixtureStage",
    "RegionLevelStage",
    "Stage",
    "WarmStart",
]
