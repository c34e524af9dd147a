"""LLaVA: a CLIP tower, a projector, a LLaMA.

Hugging Face's folder    whole
its authors' folder      without the tower; merged, or with --base as a difference to LLaMA
mm_projector.bin         the projector that its authors trained first, alone
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triscope.checkpoints.key_map import KeyMap, LeftOut, Rule
from triscope.checkpoints.kinds.blip import LANGUAGE_RULES
from triscope.checkpoints.kinds.eva import ABOVE_THE_TAPS, TOWER
from triscope.checkpoints.kinds.kind import (
    Becomes,
    Given,
    Kind,
    layout_of_parts,
    model_over_folder,
    our_dtype,
    write_language_folder,
)
from triscope.checkpoints.kinds.llama import FREQUENCIES, OPENING, TABLE, TURN, language_rules, row, write_llama_folder
from triscope.checkpoints.slices import layout_of
from triscope.components.linear import LinearBridge

PROJECTOR = "bridges.image_projector."
_USUAL_MODEL = Path("conf/model/pvit_7b.yaml")
_PARTS = ("image_projector", "language")

# Hugging Face's -------------------------------------------------------------------------------------------------------


def _joined(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Projections of queries, keys and values as one."""
    return torch.cat([query, key, value])


def _tower_rules(prefix: str) -> tuple[Rule, ...]:
    """CLIP's vision transformer, from Hugging Face's names to open_clip's. `pre_layrnorm` is their spelling."""
    layer, block = f"{prefix}encoder.layers.#.", TOWER + "transformer.resblocks.#."
    renamed = {
        **{"layer_norm1.*": "ln_1.*", "layer_norm2.*": "ln_2.*", "self_attn.out_proj.*": "attn.out_proj.*"},
        **{"mlp.fc1.*": "mlp.c_fc.*", "mlp.fc2.*": "mlp.c_proj.*"},
    }
    return (
        Rule(f"{prefix}embeddings.class_embedding", TOWER + "class_embedding"),
        Rule(f"{prefix}embeddings.patch_embedding.weight", TOWER + "conv1.weight"),
        Rule(f"{prefix}embeddings.position_embedding.weight", TOWER + "positional_embedding"),
        Rule(f"{prefix}pre_layrnorm.*", TOWER + "ln_pre.*"),
        *(Rule(layer + theirs, block + ours, unless=ABOVE_THE_TAPS) for theirs, ours in renamed.items()),
        *(
            Rule(
                tuple(f"{layer}self_attn.{part}_proj.{kind}" for part in "qkv"),
                f"{block}attn.in_proj_{kind}",
                _joined,
                unless=ABOVE_THE_TAPS,
            )
            for kind in ("weight", "bias")
        ),
    )


_TOWER_NAMES = ("vision_tower.", "vision_tower.vision_model.")  # of newer and of older files
_FINAL_NORM = "final norm, above the deepest tap"


_HUGGING_FACE = KeyMap(
    (
        *(rule for prefix in _TOWER_NAMES for rule in _tower_rules(prefix)),
        Rule("multi_modal_projector.linear_1.*", PROJECTOR + "projection.0.*"),
        Rule("multi_modal_projector.linear_2.*", PROJECTOR + "projection.2.*"),
        *LANGUAGE_RULES,
    ),
    (
        *(LeftOut(f"{prefix}post_layernorm.*", _FINAL_NORM) for prefix in _TOWER_NAMES),
        *(LeftOut(f"{prefix}embeddings.position_ids", "the numbers 0, 1, 2, ...") for prefix in _TOWER_NAMES),
        FREQUENCIES,
    ),
)


def _becomes_of_hugging_face(given: Given, out: Path) -> Becomes:
    """The whole model, its sizes from `config.json`."""
    text, vision, layer, strategy = given.configured(
        "text_config", "vision_config", "vision_feature_layer", "vision_feature_select_strategy"
    )
    write_language_folder(text, given.path, out)
    depth, width = vision["num_hidden_layers"], vision["hidden_size"]
    tower = {
        "tower": "ViT-L-14-quickgelu",
        "taps": [depth + layer if layer < 0 else layer - 1],  # counted from the end, or of the states, the first the input
        "image_size": vision["image_size"],
        "tower_options": {
            "patch_size": vision["patch_size"],
            "width": width,
            "layers": depth,
            "head_width": width // vision["num_attention_heads"],
            "mlp_ratio": (vision["intermediate_size"] + 0.5) / width,  # the tower rounds the product down
        },
    }
    projector = {
        "class_path": "triscope.components.linear.LinearBridge",
        "init_args": {
            "keep_class_token": strategy == "full",
            "hidden_width": text["hidden_size"],
        },
    }
    model = model_over_folder(our_dtype(given.config), tower, {"image_projector": projector}, share_prefix=True)
    data = {"image_size": vision["image_size"], "prompt_style": {"turn": TURN}}
    return Becomes(layout_of_parts(model, "vision", *_PARTS, folder=out), model, data, _HUGGING_FACE)


# The authors' ---------------------------------------------------------------------------------------------------------

_AUTHORS_PROJECTOR = ("model.mm_projector.", "mm_projector.")  # with the model, and in some files alone
_PROJECTOR_RULES = tuple(Rule(f"{prefix}*", PROJECTOR + "projection.*") for prefix in _AUTHORS_PROJECTOR)
_MARKS = 3  # <im_patch> <im_start> <im_end>, where there are marks around pictures
_MARKER_RULES = (
    Rule(TABLE, PROJECTOR + "markers.start_D", row(-2)),
    Rule(TABLE, PROJECTOR + "markers.end_D", row(-1)),
)
_TOWER_APART = LeftOut("model.vision_tower.*", "the tower, CLIP ViT-L/14: it is frozen, and named in the model file")


def _is_by_authors(given: Given) -> bool:
    return any(name.startswith(_AUTHORS_PROJECTOR) for name in given.names)


def _becomes_of_authors(given: Given, out: Path) -> Becomes:
    """The model file of the published size, without regions; its language model becomes the folder's."""
    has_marks = given.config.get("mm_use_im_start_end", False)
    marks = _MARKS if has_marks else 0
    model = given.model_configuration(_USUAL_MODEL)
    parts = model["init_args"]
    write_llama_folder(given, marks, out)
    parts["language"]["init_args"]["path"] = "./language"
    parts["bridges"]["image_projector"]["init_args"] |= _projector_arguments(given.names, has_marks)
    parts["regions"] = None
    data = {
        "image_size": parts["vision"]["init_args"]["image_size"],
        "prompt_style": {"turn": TURN, "opening": OPENING},
    }
    layout = layout_of_parts(model, *_PARTS, "image_markers", folder=out)
    return Becomes(layout, model, data, _authors(marks, given.has_base))


def _becomes_of_projector(given: Given, out: Path) -> Becomes:
    """The projector, as a slice; with the marks, where the vocabulary came along."""
    has_marks = TABLE in given.names
    arguments = _projector_arguments(given.names, has_marks)
    first, last = (given.names[name] for name in _projector_matrices(given.names))
    with torch.device("meta"):
        projector = LinearBridge(first.shape[-1], len(last), patches=1, **arguments)
    rules = (*_PROJECTOR_RULES, *_MARKER_RULES) if has_marks else _PROJECTOR_RULES
    return Becomes(layout_of(projector, PROJECTOR), map=KeyMap(rules))


def _projector_arguments(names: dict[str, Tensor], has_marks: bool) -> dict[str, Any]:
    """What tells LLaVA 1.5's two Linears from one, and whether marks stand around a picture."""
    first, last = _projector_matrices(names)
    return {"markers": has_marks, "hidden_width": None if first == last else len(names[first])}


def _projector_matrices(names: dict[str, Tensor]) -> tuple[str, str]:
    """Names of the first and of the last matrix of the projector, which may be one."""
    matrices = sorted(name for name in names if name.startswith(_AUTHORS_PROJECTOR) and name.endswith("weight"))
    return matrices[0], matrices[-1]


def _authors(marks: int, over_base: bool) -> KeyMap:
    return KeyMap(
        (*_PROJECTOR_RULES, *(_MARKER_RULES if marks else ()), *language_rules(marks, over_base)),
        (FREQUENCIES, _TOWER_APART),
    )


def _becomes(given: Given, out: Path) -> Becomes:
    if not _is_by_authors(given):
        return _becomes_of_hugging_face(given, out)
    return _becomes_of_projector(given, out) if given.path.is_file() else _becomes_of_authors(given, out)


_ANY = _authors(_MARKS, over_base=False)
LLAVA = Kind(
    about="LLaVA: a Hugging Face folder of 1.5; or the authors' v1, whole, with --base over LLaMA, or their mm_projector.bin",
    map=KeyMap((*_HUGGING_FACE.rules, *_ANY.rules), (*_HUGGING_FACE.left_out, *_ANY.left_out)),
    becomes=_becomes,
    licence="LLaVA: as the LLaMA or Vicuna underneath; tower MIT (OpenAI)",
    stage="triscope.stages.RegionInstructionStage",
    base="the LLaMA folder that the authors' difference was taken to",
)
