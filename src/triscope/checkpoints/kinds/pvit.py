"""PVIT as its authors store it, merged, or with --base as their difference to LLaMA-7B; without its two towers."""

from pathlib import Path

from triscope.checkpoints.key_map import KeyMap, Rule
from triscope.checkpoints.kinds.kind import Becomes, Given, Kind, layout_of_parts
from triscope.checkpoints.kinds.llama import FREQUENCIES, OPENING, TABLE, TURN, language_rules, row, write_llama_folder
from triscope.checkpoints.kinds.llava import PROJECTOR

_USUAL_MODEL = Path("conf/model/pvit_7b.yaml")
_MARKS = 5  # <im_patch> <im_start> <im_end> <Region> </Region>
_PARTS = (
    *("language", "image_projector", "image_markers"),
    *("region_projector", "region_position", "region_markers"),
)


def _becomes(given: Given, out: Path) -> Becomes:
    """The model file of the published size; its language model becomes the folder's."""
    model = given.model_configuration(_USUAL_MODEL)
    write_llama_folder(given, _MARKS, out)
    model["init_args"]["language"]["init_args"]["path"] = "./language"
    return Becomes(
        layout_of_parts(model, *_PARTS, folder=out),
        model,
        {
            "image_size": model["init_args"]["vision"]["init_args"]["image_size"],
            "prompt_style": {"turn": TURN, "opening": OPENING, "regions": "token"},
        },
        _map(over_base=given.has_base),
    )


def _map(over_base: bool) -> KeyMap:
    return KeyMap(
        (
            Rule("model.mm_projector.*", PROJECTOR + "projection.*"),
            Rule("model.prompt_projector.*", "regions.projector.*"),
            Rule("model.bbox_fc.*", "regions.position.*"),
            Rule(TABLE, PROJECTOR + "markers.start_D", row(-4)),
            Rule(TABLE, PROJECTOR + "markers.end_D", row(-3)),
            Rule(TABLE, "regions.markers.start_D", row(-2)),
            Rule(TABLE, "regions.markers.end_D", row(-1)),
            *language_rules(_MARKS, over_base),
        ),
        (FREQUENCIES,),
    )


PVIT = Kind(
    about="the authors' PVIT, merged, or with --base LLAMA-7B-FOLDER their difference to it",
    map=_map(over_base=False),
    becomes=_becomes,
    licence="Apache-2.0 (authors' model card) over LLaMA, for research only",
    stage="triscope.stages.RegionInstructionStage",
    base="the LLaMA-7B folder that a difference was taken to",
)
