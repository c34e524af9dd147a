"""SAM's checkpoint as its authors store it: the six tensors that train; with a base, the Q-Former of the trimmed InstructBLIP."""

from pathlib import Path

from triscope.checkpoints.key_map import KeyMap, LeftOut, Rule
from triscope.checkpoints.kinds.kind import BASE, Becomes, Given, Kind, layout_of_parts
from triscope.checkpoints.kinds.lion import POSITION_COUNT, qformer_rules

_USUAL_MODEL = Path("conf/model/sam_7b.yaml")
_ALIGNMENT = "bridges.qformer.alignment."
PARTS = ("alignment",)
_RULES = (  # their spelling
    Rule("Qformer.bert.encoder.one_2_muliple.0.*", _ALIGNMENT + "into_context.*"),
    Rule("Qformer.bert.encoder.multiple_2_one.0.*", _ALIGNMENT + "from_context.*"),
    Rule("attn.*", _ALIGNMENT + "adjustment.*"),
)
_LEFT_OUT = (
    POSITION_COUNT,
    LeftOut("llm_model.model.layers.#.self_attn.rotary_emb.inv_freq", "follows from the configuration"),
)


def _becomes(given: Given, out: Path) -> Becomes:
    """The alignment, and with the second file the Q-Former that it joins up."""
    model = given.model_configuration(_USUAL_MODEL)
    parts = (*PARTS, "qformer") if given.has_base else PARTS
    image_size = model["init_args"]["vision"]["init_args"]["image_size"]
    return Becomes(
        layout_of_parts(model, *parts, folder=out),
        model if given.has_base else None,
        {"image_size": image_size, "prompt_style": {"turn": "{prompt}", "placement": "prefix"}},
    )


ALIGNMENT = KeyMap(_RULES, _LEFT_OUT)
SAM = Kind(
    about="the authors' SAM checkpoint: the alignment; with --base instruct_blip_vicuna7b_trimmed.pth the Q-Former too",
    map=KeyMap((*_RULES, *qformer_rules(BASE, "llm_proj")), _LEFT_OUT),
    becomes=_becomes,
    licence="BSD-3-Clause (SAM, LAVIS); over Vicuna for research only",
    stage="triscope.stages.MultiImageStage",
    base="instruct_blip_vicuna7b_trimmed.pth",
)
