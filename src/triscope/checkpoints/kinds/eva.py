"""EVA ViT-g/14 as LAVIS publishes it (`eva_vit_g.pth`), the tower of BLIP-2, InstructBLIP, LION and SAM."""

from pathlib import Path

import torch

from triscope.checkpoints.key_map import KeyMap, LeftOut, Rule
from triscope.checkpoints.kinds.kind import Becomes, Given, Kind
from triscope.checkpoints.slices import layout_of
from triscope.components.vision import VisionEncoder

TOWER = "vision.tower."
ABOVE_THE_TAPS = "block above the deepest tap"


def _becomes(given: Given, out: Path) -> Becomes:
    """The tower of a model file, or the published one."""
    arguments = given.model_configuration(None)["init_args"]["vision"]["init_args"] if given.model_file else {}
    with torch.device("meta"):
        vision = VisionEncoder(**{**arguments, "weights": None, "cache_folder": None})
    return Becomes(layout_of(vision, "vision."))


EVA_VIT_G = Kind(
    about="LAVIS eva_vit_g.pth: the vision tower",
    map=KeyMap(
        (
            Rule("cls_token", TOWER + "cls_token"),
            Rule("pos_embed", TOWER + "pos_embed"),
            Rule("patch_embed.proj.*", TOWER + "patch_embed.proj.*"),
            Rule("blocks.#.*", TOWER + "blocks.#.*", unless=ABOVE_THE_TAPS),
        ),
        (
            LeftOut("norm.*", "final norm, above the deepest tap"),
            LeftOut("fc_norm.*", "final norm, above the deepest tap"),
            LeftOut("head.*", "classifier"),
            LeftOut("mask_token", "masked pre-training only"),
        ),
    ),
    becomes=_becomes,
    licence="EVA-CLIP weights: MIT (BAAI); distributed by LAVIS, BSD-3-Clause",
)
