"""RegionCLIP's RN50x4 (`regionclip_pretrained-cc_rn50x4.pth`), PVIT's region encoder."""

from pathlib import Path

import torch

from triscope.checkpoints.key_map import KeyMap, LeftOut, Rule
from triscope.checkpoints.kinds.kind import Becomes, Given, Kind
from triscope.checkpoints.slices import layout_of
from triscope.components.region_clip import RegionClipEncoder

_TOWER = "regions.encoder."


def _becomes(given: Given, out: Path) -> Becomes:
    """The tower of a model file, or the published one. How many batches a norm has seen is stored by none and used by none."""
    arguments = given.model_configuration(None)["init_args"]["regions"]["init_args"] if given.model_file else {}
    with torch.device("meta"):
        encoder = RegionClipEncoder(1, 1, 1, **{**arguments, "weights": None}).encoder
    layout = layout_of(encoder, _TOWER)
    return Becomes({name: tensor for name, tensor in layout.items() if not name.endswith("num_batches_tracked")})


REGIONCLIP = Kind(
    about="regionclip_pretrained-cc_rn50x4.pth: the region encoder of PVIT",
    map=KeyMap(
        (Rule("backbone.*", _TOWER + "*"),),
        (
            LeftOut("lang_encoder.*", "text encoder"),
            LeftOut("roi_heads.*", "detection head"),
            LeftOut("proposal_generator.*", "proposals of regions; boxes are given here"),
            LeftOut("offline_*", "proposals of regions; boxes are given here"),
            LeftOut("teacher_*", "teacher of the pre-training"),
        ),
    ),
    becomes=_becomes,
    licence="Apache-2.0 (Microsoft)",
)
