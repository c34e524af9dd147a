"""Layouts of published weights: for each kind, one map of names, and the model of ours that it becomes."""

from triscope.checkpoints.kinds.blip import BLIP_2, INSTRUCTBLIP
from triscope.checkpoints.kinds.eva import EVA_VIT_G
from triscope.checkpoints.kinds.kind import Becomes, Given, Kind
from triscope.checkpoints.kinds.lion import LION
from triscope.checkpoints.kinds.llava import LLAVA
from triscope.checkpoints.kinds.pvit import PVIT
from triscope.checkpoints.kinds.ram import RAM
from triscope.checkpoints.kinds.regionclip import REGIONCLIP
from triscope.checkpoints.kinds.sam import SAM

KINDS: dict[str, Kind] = {
    "instructblip": INSTRUCTBLIP,
    "blip2": BLIP_2,
    "eva-vit-g": EVA_VIT_G,
    "lion": LION,
    "sam": SAM,
    "pvit": PVIT,
    "llava": LLAVA,
    "regionclip": REGIONCLIP,
    "ram": RAM,
}

__all__ = ["KINDS", "Becomes", "Given", "Kind"]
