"""The model files of the papers, `conf/model`, with random weights of the real shapes: nothing is downloaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import ArgumentParser

from triscope.app.published import LANGUAGE_MODELS
from triscope.model import VisualLanguageModel

MODEL_FILES = Path(__file__).parent.parent / "conf" / "model"

# The same files at sizes that take milliseconds: another language model, and what is laid over the file's `init_args`. The
# widths of the language models are those of a block of 4-bit weights.
_TINY_T5 = {
    **LANGUAGE_MODELS["google/flan-t5-xl"],
    "vocab_size": 1000,
    "d_model": 64,
    "d_kv": 16,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
}
_TINY_LLAMA = {**LANGUAGE_MODELS["lmsys/vicuna-7b-v1.1"], "vocab_size": 1000, "hidden_size": 64, "intermediate_size": 64}
_TINY_LLAMA |= {"num_hidden_layers": 2, "num_attention_heads": 4}
_EVA = {"image_size": 28, "tower_options": {"embed_dim": 32, "depth": 3, "num_heads": 2}}
_QFORMER = {"queries": 4, "layers": 2, "hidden_width": 32, "heads": 2, "feed_forward_width": 64, "vocabulary_size": 1000}
_ALIGNMENT = {"init_args": {"read_layer": 2, "guide_layer": 2}}
_CLIP = {"image_size": 28, "taps": [1], "tower_options": {"layers": 3, "width": 32, "head_width": 16}}
_REGION_CLIP = {"shortest_side": 48, "longest_side": 64, "tower_options": {"width": 4, "layers": [1, 1, 1, 1], "embed_dim": 12}}
_TINY_LION = {
    "vision": {"init_args": {**_EVA, "taps": [2, 1, 0]}},
    "bridges": {"qformer": {"init_args": _QFORMER}, "aggregator": {"init_args": {"heads": 2, "feed_forward_width": 64}}},
}
_TINY_PVIT = {"vision": {"init_args": _CLIP}, "regions": {"init_args": _REGION_CLIP}}
_TINY_SAM = {
    "vision": {"init_args": {**_EVA, "taps": [2]}},
    "bridges": {"qformer": {"init_args": {**_QFORMER, "alignment": _ALIGNMENT}}},
}
_TINY = {
    "lion_4b": (_TINY_T5, _TINY_LION),
    "lion_12b": (_TINY_T5, _TINY_LION),
    "pvit_7b": (_TINY_LLAMA, _TINY_PVIT),
    "sam_7b": (_TINY_LLAMA, _TINY_SAM),
}
Sizes = Literal["published", "tiny"]


def model_of(name: str, folder: Path, sizes: Sizes = "published", **language: object) -> Callable[[], VisualLanguageModel]:
    """What builds the model of a shipped file.

    Args:
        name: of the file, such as `lion_4b`.
        folder: where the configuration of its language model is written; it must be there when the model is built.
        sizes: the file's own, or tiny ones.
        language: arguments of the language model that differ from the file's.
    """
    file = yaml.safe_load((MODEL_FILES / f"{name}.yaml").read_text())
    published = LANGUAGE_MODELS[file["init_args"]["language"]["init_args"]["path"]]
    config, changes = (published, {}) if sizes == "published" else _TINY[name]
    (folder / "config.json").write_text(json.dumps(config))
    file = _laid_over(file, {"init_args": changes})
    file = _laid_over(file, {"init_args": {"language": {"init_args": {"path": str(folder), "random_weights": True, **language}}}})
    for part in filter(None, (file["init_args"]["vision"], file["init_args"]["regions"])):
        part["init_args"]["weights"] = None
    parser = ArgumentParser()
    parser.add_argument("--model", type=Callable[[], VisualLanguageModel])
    return parser.instantiate_classes(parser.parse_object({"model": file})).model


def _laid_over(file: Any, changes: Any) -> Any:
    """A file with some of its keys changed, at any depth."""
    if not (isinstance(file, dict) and isinstance(changes, dict)):
        return changes
    return {**file, **{name: _laid_over(file.get(name), value) for name, value in changes.items()}}
