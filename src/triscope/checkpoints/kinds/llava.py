"""LLaVA and PVIT: a CLIP tower, a projector, a LLaMA; PVIT's regions on top.

    llava   Hugging Face's LLaVA, whole; or LLaVA v1 as its authors store it, without the tower
    pvit    the authors' PVIT, merged; or, with --base, their difference to LLaMA-7B

The authors put marks around pictures and regions into the vocabulary, as its last rows. Here these vectors belong to the parts
whose tokens they enclose, and the language model keeps the vocabulary of its base.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triscope.checkpoints.folder import VISION_FILE
from triscope.checkpoints.key_map import KeyMap, LeftOut, Rule
from triscope.checkpoints.kinds.blip import LANGUAGE_RULES
from triscope.checkpoints.kinds.eva import ABOVE_THE_TAPS, TOWER
from triscope.checkpoints.kinds.kind import BASE, Becomes, Given, Kind, layout_of_parts, our_dtype, write_language_folder
from triscope.data.errors import ConfigurationError

_USUAL_PVIT = Path("conf/model/pvit_7b.yaml")
_TABLE, _HEAD = "model.embed_tokens.weight", "lm_head.weight"
_OURS, _PROJECTOR = "language.model.", "bridges.image_projector."
_LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
_TURN = "USER: {prompt} ASSISTANT:"
_OPENING = (  # Vicuna's
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite "
    "answers to the user's questions. "
)
_MARKS = 5  # of PVIT: <im_patch> <im_start> <im_end> <Region> </Region>
_LARGEST_DIFFERENCE = 0.5  # of the base's length: what was tuned lies nearer to where it began


# Rows of the vocabulary -----------------------------------------------------------------------------------------------


def words(table_WD: Tensor) -> Tensor:
    """All rows but PVIT's marks."""
    return table_WD[:-_MARKS]


def row(number: int):
    """The vector of a mark, counted from the end of the vocabulary."""

    def take(table_WD: Tensor, *_: Tensor) -> Tensor:
        return table_WD[number]

    return take


# Differences to a base ------------------------------------------------------------------------------------------------


def sum_of(difference: Tensor, base: Tensor) -> Tensor:
    """What a difference was taken of, rounded once.

    Raises:
        ConfigurationError: the "difference" is as large as the base, so that it is none, or none to this base.
    """
    if difference.shape != base.shape:
        raise RuntimeError(f"a difference of shape {tuple(difference.shape)} to a base of {tuple(base.shape)}")
    if not base.is_meta and difference.float().norm() > _LARGEST_DIFFERENCE * base.float().norm():
        found = f"a difference of length {difference.float().norm():.3g} to a base of {base.float().norm():.3g}"
        remedy = "give the base that the difference was made for; a merged model needs no --base"
        raise ConfigurationError("--base", found, f"at most {_LARGEST_DIFFERENCE:g} of it", remedy)
    return (difference.float() + base.float()).to(difference.dtype)


def words_over_base(difference_WD: Tensor, base_WD: Tensor) -> Tensor:
    """The rows that the base has; it has none for the marks."""
    return sum_of(words(difference_WD), base_WD)


def no_difference(norm_D: Tensor) -> Tensor:
    """The last norm's gains, which are about 1 in a whole model.

    Raises:
        ConfigurationError: they are about 0, as in a difference between two models.
    """
    if not norm_D.is_meta and norm_D.float().mean().abs() < 0.1:
        found = f"gains of the last norm of {norm_D.float().mean():.2g}: a difference to a base"
        raise ConfigurationError("PATH", found, "a merged model, or its base beside it", "name the base: --base LLAMA-7B-FOLDER")
    return norm_D


# PVIT -----------------------------------------------------------------------------------------------------------------

_PVIT_PARTS = (
    *("language", "image_projector", "image_markers"),
    *("region_projector", "region_position", "region_markers"),
)
_PVIT_OWN = (
    Rule("model.mm_projector.*", _PROJECTOR + "projection.*"),
    Rule("model.prompt_projector.*", "regions.projector.*"),
    Rule("model.bbox_fc.*", "regions.position.*"),
    Rule(_TABLE, _PROJECTOR + "markers.start_D", row(-4)),
    Rule(_TABLE, _PROJECTOR + "markers.end_D", row(-3)),
    Rule(_TABLE, "regions.markers.start_D", row(-2)),
    Rule(_TABLE, "regions.markers.end_D", row(-1)),
)
_FREQUENCIES = LeftOut("*rotary_emb.inv_freq", "follows from the configuration")


def _pvit_becomes(given: Given, out: Path) -> Becomes:
    """The model file of the published size; its language model becomes the folder's."""
    model = given.model_configuration(_USUAL_PVIT)
    write_language_folder({**given.config, **_LLAMA, "vocab_size": given.config["vocab_size"] - _MARKS}, given.path, out)
    model["init_args"]["language"]["init_args"]["path"] = "./language"
    image_size = model["init_args"]["vision"]["init_args"]["image_size"]
    return Becomes(
        layout_of_parts(model, *_PVIT_PARTS, folder=out),
        model,
        {"image_size": image_size, "prompt_style": {"turn": _TURN, "opening": _OPENING, "regions": "token"}},
    )


_PVIT_LICENCE = "Apache-2.0 (authors' model card) over LLaMA, for research only"
PVIT_MERGED = KeyMap(
    (
        *_PVIT_OWN,
        Rule(_TABLE, _OURS + _TABLE, words),
        Rule(_HEAD, _OURS + _HEAD, words),
        Rule("model.layers.#.*", _OURS + "model.layers.#.*"),
        Rule("model.norm.weight", _OURS + "model.norm.weight", no_difference),
    ),
    (_FREQUENCIES,),
)
PVIT_DIFFERENCE = KeyMap(
    (
        *_PVIT_OWN,
        Rule((_TABLE, BASE + _TABLE), _OURS + _TABLE, words_over_base),
        Rule((_HEAD, BASE + _HEAD), _OURS + _HEAD, words_over_base),
        Rule(("model.layers.#.*", BASE + "model.layers.#.*"), _OURS + "model.layers.#.*", sum_of),
        Rule(("model.norm.weight", BASE + "model.norm.weight"), _OURS + "model.norm.weight", sum_of),
    ),
    (_FREQUENCIES,),
)
PVIT = Kind(
    about="the authors' PVIT, merged, or with --base LLAMA-7B-FOLDER their difference to it",
    map=PVIT_MERGED,
    map_over_base=PVIT_DIFFERENCE,
    becomes=_pvit_becomes,
    licence=_PVIT_LICENCE,
    stage="triscope.stages.RegionInstructionStage",
    base="the LLaMA-7B folder that a difference was taken to",
)

# LLaVA of Hugging Face ------------------------------------------------------------------------------------------------


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


def _llava_becomes(given: Given, out: Path) -> Becomes:
    """The whole model, its sizes from `config.json`."""
    text, vision = given.config["text_config"], given.config["vision_config"]
    write_language_folder(text, given.path, out)
    model = _llava_model(given.config, vision, text)
    layout = layout_of_parts(model, "vision", "image_projector", "language", folder=out)
    data = {"image_size": vision["image_size"], "prompt_style": {"turn": _TURN}}
    return Becomes(layout, model, data)


def _llava_model(config: dict[str, Any], vision: dict[str, Any], text: dict[str, Any]) -> dict[str, Any]:
    depth, width, dtype = vision["num_hidden_layers"], vision["hidden_size"], our_dtype(config)
    layer = config["vision_feature_layer"]  # counted from the end, or of the states of which the first is the input
    return {
        "class_path": "triscope.model.VisualLanguageModel",
        "init_args": {
            "language": {
                "class_path": "triscope.components.language.LanguageModel",
                "init_args": {"path": "./language", "dtype": dtype, "adapter_bottleneck": None},
            },
            "vision": {
                "class_path": "triscope.components.vision.VisionEncoder",
                "init_args": {
                    "tower": "ViT-L-14-quickgelu",
                    "weights": f"./{VISION_FILE}",
                    "taps": [depth + layer if layer < 0 else layer - 1],
                    "image_size": vision["image_size"],
                    "dtype": dtype,
                    "tower_options": {
                        "patch_size": vision["patch_size"],
                        "width": width,
                        "layers": depth,
                        "head_width": width // vision["num_attention_heads"],
                        "mlp_ratio": (vision["intermediate_size"] + 0.5) / width,  # the tower rounds the product down
                    },
                },
            },
            "bridges": {
                "image_projector": {
                    "class_path": "triscope.components.linear.LinearBridge",
                    "init_args": {
                        "keep_class_token": config["vision_feature_select_strategy"] == "full",
                        "hidden_width": text["hidden_size"],
                    },
                }
            },
            "soft_prompt": None,
            "question_tokenizer": None,
            "share_prefix": True,
        },
    }


LLAVA = Kind(
    about="a Hugging Face folder of LLaVA 1.5: tower, projector, language model",
    map=KeyMap(
        (
            *(rule for prefix in _TOWER_NAMES for rule in _tower_rules(prefix)),
            Rule("multi_modal_projector.linear_1.*", _PROJECTOR + "projection.0.*"),
            Rule("multi_modal_projector.linear_2.*", _PROJECTOR + "projection.2.*"),
            *LANGUAGE_RULES,
        ),
        (
            *(LeftOut(f"{prefix}post_layernorm.*", _FINAL_NORM) for prefix in _TOWER_NAMES),
            *(LeftOut(f"{prefix}embeddings.position_ids", "the numbers 0, 1, 2, ...") for prefix in _TOWER_NAMES),
            _FREQUENCIES,
        ),
    ),
    becomes=_llava_becomes,
    licence="LLaVA: as the LLaMA or Vicuna underneath; tower MIT (OpenAI)",
    stage="triscope.stages.RegionInstructionStage",
)
