"""From the authors' names of LION's bridges to ours. Each function takes their state dict and gives one of ours."""

from torch import Tensor

_IN_AGGREGATOR = (
    ("crossattention.self.", "cross_attention."),
    ("crossattention.output.dense.", "cross_attention.output."),
    ("crossattention.output.LayerNorm.", "cross_attention.norm."),
    ("attention.self.", "self_attention."),
    ("attention.output.dense.", "self_attention.output."),
    ("attention.output.LayerNorm.", "self_attention.norm."),
    ("intermediate.dense.", "feed_forward.inner."),
    ("output.dense.", "feed_forward.output."),
    ("output.LayerNorm.", "feed_forward.norm."),
)


def aggregator(weights: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """`VisionAggregator`, from the keys that start with `prefix`: `blocks.0.attention.self.query.weight`, ..."""
    state = {}
    for name, value in _under(weights, prefix).items():
        blocks, number, rest = name.split(".", 2)
        theirs, ours = next(pair for pair in _IN_AGGREGATOR if rest.startswith(pair[0]))
        state[f"{blocks}.{number}.{ours}{rest.removeprefix(theirs)}"] = value
    return state


def aggregator_bridge(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """`AggregatorBridge`, from the keys of the whole LION."""
    return (
        _renamed("aggregator.", aggregator(weights, "fusion_adapter."))
        | _renamed("norm.", _under(weights, "ln_adapter."))
        | _renamed("projector.", _under(weights, "adapter_proj."))
    )


def qformer(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """`QFormer`, from the keys of the whole LION (those of BLIP-2's public code, hence SAM's too)."""
    layers = {
        f"layers.{name.replace('attention.self.', 'attention.attention.')}": value
        for name, value in _under(weights, "Qformer.bert.encoder.layer.").items()
    }
    embeddings = _under(weights, "Qformer.bert.embeddings.")
    return layers | {
        "queries_Qh": weights["query_tokens"][0],
        "word_embeddings.weight": embeddings["word_embeddings.weight"],
        "position_embeddings.weight": embeddings["position_embeddings.weight"],
        "norm.weight": embeddings["LayerNorm.weight"],
        "norm.bias": embeddings["LayerNorm.bias"],
    }


def qformer_bridge(weights: dict[str, Tensor], projection: str = "t5_proj.") -> dict[str, Tensor]:
    """`QFormerBridge`, from the keys of the whole LION."""
    return (
        _renamed("qformer.", qformer(weights))
        | _renamed("norm.", _under(weights, "ln_vision."))
        | _renamed("projection.", _under(weights, projection))
    )


def _under(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _renamed(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in weights.items()}
