"""The recorded sizes of SAM as the arguments of our parts, and as the configuration of its LLaMA."""

from typing import Any


def llama(config: dict[str, Any]) -> dict[str, Any]:
    """`config.json` of Hugging Face."""
    sizes = config["llm"]
    return {
        "model_type": "llama",
        "vocab_size": sizes["vocab"],
        "hidden_size": sizes["hidden"],
        "intermediate_size": sizes["inter"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "rms_norm_eps": sizes["eps"],
        "max_position_embeddings": sizes["maxpos"],
    }


def vision(config: dict[str, Any]) -> dict[str, Any]:
    """Of `VisionEncoder`."""
    sizes = config["vit"]
    tower = {"embed_dim": sizes["width"], "depth": sizes["depth"], "num_heads": sizes["heads"], "mlp_ratio": sizes["mlp_ratio"]}
    return {"tower": "EVA01-g-14", "taps": (sizes["depth"] - 1,), "image_size": sizes["img"], "tower_options": tower}


def qformer(config: dict[str, Any]) -> dict[str, Any]:
    """Of `QFormerBridge`."""
    sizes = config["qformer"]
    return {
        "queries": sizes["queries"],
        "layers": sizes["layers"],
        "hidden_width": sizes["hidden"],
        "heads": sizes["heads"],
        "feed_forward_width": sizes["inter"],
        "vocabulary_size": sizes["vocab"],
        "positions": sizes["maxpos"],
        "cross_attention_every": sizes["freq"],
    }
