"""BLIP-2 and InstructBLIP as Hugging Face stores them, over FlanT5 or Vicuna: tower, Q-Former, projection, language model.

Their final norm of the tower is LAVIS's `ln_vision`, which is the Q-Former bridge's here.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from triscope.checkpoints.folder import QUESTION_TOKENIZER
from triscope.checkpoints.key_map import KeyMap, LeftOut, Rule
from triscope.checkpoints.kinds.eva import ABOVE_THE_TAPS, TOWER
from triscope.checkpoints.kinds.kind import (
    TOKENIZER_FILES,
    Becomes,
    Given,
    Kind,
    copy_files,
    layout_of_parts,
    model_over_folder,
    our_dtype,
    write_language_folder,
)
from triscope.checkpoints.kinds.lion import as_row, first_row
from triscope.data.errors import ConfigurationError

_LANGUAGE, _OUR_LANGUAGE = "language_model.", "language.model."
_TIED = "the same as the language model's input embedding"
_LAYER, _OUR_LAYER = "qformer.encoder.layer.#.", "bridges.qformer.qformer.layers.#."
_BLOCK, _OUR_BLOCK = "vision_model.encoder.layers.#.", TOWER + "blocks.#."


def query_bias(bias: Tensor) -> Tensor:
    """The first third of the bias of queries, keys and values; EVA's keys have none, so the second must be zero."""
    query, key, _ = bias.chunk(3)
    if not key.is_meta and bool(key.any()):
        raise ConfigurationError("qkv.bias", "a bias of the keys", "zeros there", "this tower is no EVA ViT-g: import another")
    return query


def value_bias(bias: Tensor) -> Tensor:
    """The last third."""
    return bias.chunk(3)[2]


LANGUAGE_RULES = (
    Rule(_LANGUAGE + "model.*", _OUR_LANGUAGE + "model.*"),
    Rule(_LANGUAGE + "shared.weight", _OUR_LANGUAGE + "shared.weight"),
    *(Rule(f"{_LANGUAGE}{side}.block.#.*", f"{_OUR_LANGUAGE}{side}.block.#.*") for side in ("encoder", "decoder")),
    *(
        Rule(f"{_LANGUAGE}{side}.final_layer_norm.*", f"{_OUR_LANGUAGE}{side}.final_layer_norm.*")
        for side in ("encoder", "decoder")
    ),
    Rule(_LANGUAGE + "lm_head.weight", _OUR_LANGUAGE + "lm_head.weight", unless=_TIED),
)
_RULES = (
    Rule("vision_model.embeddings.class_embedding", TOWER + "cls_token"),
    Rule("vision_model.embeddings.position_embedding", TOWER + "pos_embed"),
    Rule("vision_model.embeddings.patch_embedding.*", TOWER + "patch_embed.proj.*"),
    Rule(_BLOCK + "layer_norm1.*", _OUR_BLOCK + "norm1.*", unless=ABOVE_THE_TAPS),
    Rule(_BLOCK + "layer_norm2.*", _OUR_BLOCK + "norm2.*", unless=ABOVE_THE_TAPS),
    Rule(_BLOCK + "mlp.*", _OUR_BLOCK + "mlp.*", unless=ABOVE_THE_TAPS),
    Rule(_BLOCK + "self_attn.qkv.weight", _OUR_BLOCK + "attn.qkv.weight", unless=ABOVE_THE_TAPS),
    Rule(_BLOCK + "self_attn.qkv.bias", _OUR_BLOCK + "attn.q_bias", query_bias, unless=ABOVE_THE_TAPS),
    Rule(_BLOCK + "self_attn.qkv.bias", _OUR_BLOCK + "attn.v_bias", value_bias, unless=ABOVE_THE_TAPS),
    Rule(_BLOCK + "self_attn.projection.*", _OUR_BLOCK + "attn.proj.*", unless=ABOVE_THE_TAPS),
    Rule("vision_model.post_layernorm.*", "bridges.qformer.norm.*"),
    Rule("query_tokens", "bridges.qformer.qformer.queries_Qh", first_row, as_row),
    Rule(_LAYER + "*", _OUR_LAYER + "*"),
    Rule("language_projection.*", "bridges.qformer.projection.*"),
    *LANGUAGE_RULES,
)
_LEFT_OUT = (
    LeftOut(_LANGUAGE + "encoder.embed_tokens.weight", _TIED),
    LeftOut(_LANGUAGE + "decoder.embed_tokens.weight", _TIED),
    LeftOut("qformer.embeddings.position_ids", "the numbers 0, 1, 2, ..."),
    LeftOut(_LANGUAGE + "model.layers.#.self_attn.rotary_emb.inv_freq", "follows from the configuration"),
)


def _becomes(given: Given, out: Path) -> Becomes:
    """The whole model, its sizes from `config.json`."""
    text, vision = given.configured("text_config", "vision_config")
    write_language_folder(text, given.path, out)
    if (given.path / "qformer_tokenizer").is_dir():
        (out / QUESTION_TOKENIZER).mkdir()
        copy_files(given.path / "qformer_tokenizer", out / QUESTION_TOKENIZER, *TOKENIZER_FILES)
    model = _model(given, (out / QUESTION_TOKENIZER).is_dir())
    layout = layout_of_parts(model, "vision", "qformer", "language", folder=out)
    if text.get("tie_word_embeddings") and _LANGUAGE + "lm_head.weight" not in given.names:
        layout.pop(_OUR_LANGUAGE + "lm_head.weight", None)
    return Becomes(layout, model, {"image_size": vision["image_size"], "prompt_style": {"turn": "{prompt}"}})


def _model(given: Given, has_question_tokenizer: bool) -> dict[str, Any]:
    vision, qformer = given.configured("vision_config", "qformer_config")
    depth, width = vision["num_hidden_layers"], vision["hidden_size"]
    question_aware = given.config["model_type"] == "instructblip"
    question = (
        {"vocabulary_size": qformer["vocab_size"], "positions": qformer["max_position_embeddings"]} if question_aware else {}
    )
    tower = {
        "tower": "EVA01-g-14",
        "taps": [depth - 1],
        "image_size": vision["image_size"],
        "tower_options": {
            "patch_size": vision["patch_size"],
            "embed_dim": width,
            "depth": depth,
            "num_heads": vision["num_attention_heads"],
            "mlp_ratio": (vision["intermediate_size"] + 0.5) / width,  # the tower rounds the product down
        },
    }
    bridge = {
        "class_path": "triscope.components.qformer.QFormerBridge",
        "init_args": {
            "queries": given.config["num_query_tokens"],
            "layers": qformer["num_hidden_layers"],
            "hidden_width": qformer["hidden_size"],
            "heads": qformer["num_attention_heads"],
            "feed_forward_width": qformer["intermediate_size"],
            "cross_attention_every": qformer["cross_attention_frequency"],
            "question_aware": question_aware,
            **question,
        },
    }
    tokenizer = f"./{QUESTION_TOKENIZER}" if has_question_tokenizer else None
    return model_over_folder(our_dtype(given.config), tower, {"qformer": bridge}, tokenizer)


INSTRUCTBLIP = Kind(
    about="a Hugging Face folder of InstructBLIP over FlanT5 or Vicuna: starting point of LION's stage 1 and of SAM",
    map=KeyMap(
        (
            *_RULES,
            Rule("qformer.embeddings.word_embeddings.weight", "bridges.qformer.qformer.word_embeddings.weight"),
            Rule("qformer.embeddings.position_embeddings.weight", "bridges.qformer.qformer.position_embeddings.weight"),
            Rule("qformer.embeddings.layernorm.*", "bridges.qformer.qformer.norm.*"),
        ),
        _LEFT_OUT,
    ),
    becomes=_becomes,
    licence="InstructBLIP: BSD-3-Clause code; over FlanT5 Apache-2.0 weights, over Vicuna for research only",
    stage="triscope.stages.ImageLevelStage",
)
BLIP_2 = Kind(
    about="a Hugging Face folder of BLIP-2 over FlanT5: as instructblip, with a Q-Former that reads no question",
    map=KeyMap((*_RULES, Rule("qformer.layernorm.*", "bridges.qformer.qformer.norm.*")), _LEFT_OUT),
    becomes=_becomes,
    licence="BLIP-2: MIT (Salesforce); over FlanT5 Apache-2.0",
    stage="triscope.stages.ImageLevelStage",
)
