"""Training stages: each says what trains, on which data, from which checkpoints."""

from triscope.evaluation.generation import GenerationOptions
from triscope.stages.base import Stage, WarmStart
from triscope.stages.language import LanguageStage
from triscope.stages.lion import ImageLevelStage, MixtureStage, RegionLevelStage
from triscope.stages.naming import NamingStage
from triscope.stages.pvit import RegionAlignmentStage, RegionInstructionStage
from triscope.stages.sam import MultiImageStage
from triscope.stages.triscope import ThreeScopesStage

__all__ = [
    "GenerationOptions",
    "ImageLevelStage",
    "LanguageStage",
    "MixtureStage",
    "MultiImageStage",
    "NamingStage",
    "RegionAlignmentStage",
    "RegionInstructionStage",
    "RegionLevelStage",
    "Stage",
    "ThreeScopesStage",
    "WarmStart",
]
