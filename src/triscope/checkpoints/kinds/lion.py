"""LION's checkpoints as the authors publish them (`LION-FlanT5-XL.pth`, `-XXL`, `-XL-stage3`): all that trains, nothing frozen.

The names of the Q-Former are those of LAVIS, which SAM shares. Adapter and routing row 0 are the region level, 1 the image level.
"""

from pathlib import Path

from torch import Tensor

from triscope.checkpoints.key_map import KeyMap, LeftOut, Rule
from triscope.checkpoints.kinds.kind import Becomes, Given, Kind, layout_of_parts
from triscope.data.errors import ConfigurationError

PARTS = ("qformer", "aggregator", "adapter_region", "adapter_image", "router", "soft_prompt")
_USUAL_MODELS = {2048: Path("conf/model/lion_4b.yaml"), 4096: Path("conf/model/lion_12b.yaml")}
_SOFT_PROMPT = "soft_prompt_hint"


def first_row(rows: Tensor) -> Tensor:
    """(1, ...) -> (...)"""
    return rows.squeeze(0)


def as_row(tensor: Tensor) -> Tensor:
    """(...) -> (1, ...)"""
    return tensor.unsqueeze(0)


def flat(tensor: Tensor) -> Tensor:
    """(D,), whatever dimensions of length 1 stand around it."""
    return tensor.flatten()


def qformer_rules(prefix: str = "", projection: str = "t5_proj") -> tuple[Rule, ...]:
    """The Q-Former bridge in LAVIS's names.

    Args:
        prefix: before their names.
        projection: their name of the Linear to the language model.
    """
    theirs, ours = f"{prefix}Qformer.bert.", "bridges.qformer."
    layer, our_layer = f"{theirs}encoder.layer.#.", f"{ours}qformer.layers.#."
    return (
        Rule(f"{prefix}query_tokens", f"{ours}qformer.queries_Qh", first_row, as_row),
        Rule(f"{prefix}ln_vision.*", f"{ours}norm.*"),
        Rule(f"{prefix}{projection}.*", f"{ours}projection.*"),
        Rule(f"{theirs}embeddings.word_embeddings.weight", f"{ours}qformer.word_embeddings.weight"),
        Rule(f"{theirs}embeddings.position_embeddings.weight", f"{ours}qformer.position_embeddings.weight"),
        Rule(f"{theirs}embeddings.LayerNorm.*", f"{ours}qformer.norm.*"),
        Rule(f"{layer}attention.self.*", f"{our_layer}attention.attention.*"),
        Rule(f"{layer}attention.output.*", f"{our_layer}attention.output.*"),
        Rule(f"{layer}crossattention.self.*", f"{our_layer}crossattention.attention.*"),
        Rule(f"{layer}crossattention.output.*", f"{our_layer}crossattention.output.*"),
        *(Rule(f"{layer}{name}.*", f"{our_layer}{name}.*") for name in _FEED_FORWARD),
    )


_FEED_FORWARD = ("intermediate", "output", "intermediate_query", "output_query")
POSITION_COUNT = LeftOut("*Qformer.bert.embeddings.position_ids", "the numbers 0, 1, 2, ...")

_BLOCK, _OUR_BLOCK = "fusion_adapter.blocks.#.", "bridges.aggregator.aggregator.blocks.#."


def _attention_rules(theirs: str, ours: str) -> tuple[Rule, ...]:
    """One attention of an aggregator's block. Each Linear is named: what is renamed back must be so by one rule."""
    return (
        *(Rule(f"{_BLOCK}{theirs}.self.{linear}.*", f"{_OUR_BLOCK}{ours}.{linear}.*") for linear in ("query", "key", "value")),
        Rule(f"{_BLOCK}{theirs}.output.dense.*", f"{_OUR_BLOCK}{ours}.output.*"),
        Rule(f"{_BLOCK}{theirs}.output.LayerNorm.*", f"{_OUR_BLOCK}{ours}.norm.*"),
    )


_AGGREGATOR_RULES = (
    *_attention_rules("attention", "self_attention"),
    *_attention_rules("crossattention", "cross_attention"),
    Rule(_BLOCK + "intermediate.dense.*", _OUR_BLOCK + "feed_forward.inner.*"),
    Rule(_BLOCK + "output.dense.*", _OUR_BLOCK + "feed_forward.output.*"),
    Rule(_BLOCK + "output.LayerNorm.*", _OUR_BLOCK + "feed_forward.norm.*"),
    Rule("ln_adapter.*", "bridges.aggregator.norm.*"),
    Rule("adapter_proj.#.*", "bridges.aggregator.projector.#.*"),
)


def _adapter_rules() -> tuple[Rule, ...]:
    """Adapters and routing vectors; the feed-forward of a block is layer 1 of the encoder's, layer 2 of the decoder's."""
    rules = []
    for block in ("encoder.block.#.layer.1", "decoder.block.#.layer.2"):
        theirs, ours = f"t5_model.{block}.adapter.", f"language.model.{block}.mixture."
        for number, level in enumerate(("region", "image")):
            adapter, our_adapter = f"{theirs}adapters.{number}.", f"{ours}adapters.{level}."
            rules += [
                Rule(f"{adapter}scale", f"{our_adapter}scale"),
                Rule(f"{adapter}down_proj.*", f"{our_adapter}down.*"),
                Rule(f"{adapter}up_proj.*", f"{our_adapter}up.*"),
                Rule(f"{theirs}router_ratio{number + 1}", f"{ours}router.{level}"),
            ]
    return tuple(rules)


_TIED = "copy of the frozen language model's input embedding"


def _becomes(given: Given, out: Path) -> Becomes:
    """The model file that the user names, or that of the published size which the soft prompt's length tells."""
    if _SOFT_PROMPT not in given.names:
        remedy = "give LION-FlanT5-XL.pth, -XXL or -XL-stage3, or check the kind"
        raise ConfigurationError(f"weights {given.path}", f"no {_SOFT_PROMPT}", "a checkpoint of LION with a soft prompt", remedy)
    model = given.model_configuration(_USUAL_MODELS.get(given.names[_SOFT_PROMPT].numel()))
    layout = layout_of_parts(model, *PARTS, folder=out)
    image_size = model["init_args"]["vision"]["init_args"]["image_size"]
    return Becomes(layout, model, {"image_size": image_size, "prompt_style": {"box_format": "decimal", "tags": "soft"}})


CHECKPOINT = KeyMap(
    (Rule(_SOFT_PROMPT, "soft_prompt.vector_D", flat), *qformer_rules(), *_AGGREGATOR_RULES, *_adapter_rules()),
    (
        LeftOut("t5_model.encoder.embed_tokens.weight", _TIED),
        LeftOut("t5_model.decoder.embed_tokens.weight", _TIED),
        POSITION_COUNT,
    ),
)
LION = Kind(
    about="the authors' LION-FlanT5-XL.pth, -XXL, -XL-stage3: all trained parts of LION",
    map=CHECKPOINT,
    becomes=_becomes,
    licence="MIT (authors of LION); over FlanT5 (Apache-2.0) and EVA ViT-g (MIT)",
    stage="triscope.stages.MixtureStage",
)
