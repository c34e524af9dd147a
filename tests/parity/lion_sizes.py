"""The recorded sizes of LION as the arguments of our parts."""

from typing import Any


def vision(config: dict[str, Any]) -> dict[str, Any]:
    """Of `VisionEncoder`."""
    return {
        "tower": "EVA01-g-14",
        "taps": tuple(config["taps_0based"].values()),
        "image_size": config["vit"]["img_size"],
        "tower_options": {name: config["vit"][name] for name in ("embed_dim", "depth", "num_heads", "mlp_ratio")},
    }


def qformer(config: dict[str, Any]) -> dict[str, Any]:
    """Of `QFormerBridge`."""
    sizes = config["qformer"]
    return {
        "queries": sizes["num_query_tokens"],
        "layers": sizes["num_hidden_layers"],
        "hidden_width": sizes["hidden_size"],
        "heads": sizes["num_attention_heads"],
        "feed_forward_width": sizes["intermediate_size"],
        "vocabulary_size": sizes["vocab_size_after_resize"],
        "positions": sizes["max_position_embeddings"],
        "cross_attention_every": sizes["cross_attention_freq"],
    }


def aggregator(config: dict[str, Any]) -> dict[str, Any]:
    """Of `AggregatorBridge`."""
    sizes = config["aggregator"]
    return {
        "projector_width": config["adapter_proj_hidden"],
        "blocks": sizes["num_blocks"],
        "heads": sizes["num_heads"],
        "feed_forward_width": sizes["intermediate_size"],
    }


def language(config: dict[str, Any]) -> dict[str, Any]:
    """Of `LanguageModel`."""
    return {
        "adapter_bottleneck": config["adapter"]["bottleneck"],
        "config_overrides": {"dense_act_fn": config["t5"]["dense_act_fn"]},
    }
