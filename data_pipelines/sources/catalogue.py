"""All sources that `python -m data_pipelines convert` knows."""

from data_pipelines.sources.aesop import Aesop
from data_pipelines.sources.captions import CocoKarpathy, Flickr30kCaptions, NoCaps, TextCaps
from data_pipelines.sources.choices import AOkVqa, IconQa, ScienceQa
from data_pipelines.sources.clevr_change import ClevrChange
from data_pipelines.sources.coco import CocoCaptions, CocoInstances, CocoRecognition
from data_pipelines.sources.coco_text import CocoText
from data_pipelines.sources.demon import Demon
from data_pipelines.sources.fine_eval import FineEval
from data_pipelines.sources.flickr30k import Flickr30kEntities
from data_pipelines.sources.gqa import Gqa, GqaQuestions
from data_pipelines.sources.interleaved import LlavaInterleave, MantisInstruct
from data_pipelines.sources.llava_instruct import LlavaInstruct
from data_pipelines.sources.mimic_it import MimicIt
from data_pipelines.sources.mmbench import MmBench
from data_pipelines.sources.nlvr import Nlvr
from data_pipelines.sources.nlvr2 import Nlvr2
from data_pipelines.sources.pvit_released import PvitReleased
from data_pipelines.sources.question_table import QuestionTable
from data_pipelines.sources.refcoco import RefCoco, RefCocoG, RefCocoPlus
from data_pipelines.sources.sam_test import SamTest
from data_pipelines.sources.sbu_grounding import SbuGrounding
from data_pipelines.sources.source import Source
from data_pipelines.sources.spot_the_diff import SpotTheDiff
from data_pipelines.sources.vcr import Vcr
from data_pipelines.sources.visdial import VisDial
from data_pipelines.sources.vist import Vist
from data_pipelines.sources.visual_genome import (
    VisualGenomeAttributes,
    VisualGenomeObjects,
    VisualGenomeRegions,
    VisualGenomeRelationships,
)
from data_pipelines.sources.vqa_v2 import OkVqa, VqaV2
from data_pipelines.sources.vsr import Vsr
from data_pipelines.sources.yes_no import Mme, Pope, PopeFromBoxes

SOURCES: tuple[type[Source], ...] = (
    CocoCaptions,
    CocoInstances,
    CocoText,
    CocoRecognition,
    CocoKarpathy,
    Flickr30kCaptions,
    NoCaps,
    TextCaps,
    VqaV2,
    OkVqa,
    AOkVqa,
    IconQa,
    ScienceQa,
    VisDial,
    Pope,
    PopeFromBoxes,
    MmBench,
    Mme,
    Vsr,
    VisualGenomeRegions,
    VisualGenomeObjects,
    VisualGenomeAttributes,
    VisualGenomeRelationships,
    Gqa,
    GqaQuestions,
    Vcr,
    RefCoco,
    RefCocoPlus,
    RefCocoG,
    Flickr30kEntities,
    LlavaInstruct,
    SbuGrounding,
    PvitReleased,
    FineEval,
    Nlvr,
    Nlvr2,
    Vist,
    Aesop,
    SpotTheDiff,
    ClevrChange,
    MimicIt,
    Demon,
    MantisInstruct,
    LlavaInterleave,
    SamTest,
    QuestionTable,
)
