"""RAM as its authors publish it (`ram_swin_large_14m.pth`), the tagger of LION.

It becomes a folder of its own, a tagger's (`tagging/tagger.py`). The checkpoint does not know the names of its tags: they are
copied from the two published lists beside it, or from those that a tagger's file names.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
import yaml

from triscope.checkpoints.key_map import KeyMap, LeftOut, Rule
from triscope.checkpoints.kinds.kind import Becomes, Given, Kind
from triscope.checkpoints.relative_paths import HERE
from triscope.checkpoints.slices import layout_of
from triscope.tagging.ram import LABELS, RamTagger, other_vocabulary
from triscope.tagging.tagger import TAGGER_FILE, read_tagger

TAGGER = "tagger."
TAGGER_WEIGHTS = "tagger.safetensors"
_PUBLISHED_LISTS = {"names": "ram_tag_list.txt", "thresholds": "ram_tag_list_threshold.txt"}
_CLASS = f"{RamTagger.__module__}.{RamTagger.__qualname__}"
_LABELS = "label_embed"
_BLOCK = "layers.#.blocks.#"
_CAPTIONS = "serves captions, not tags"
_COMPUTED = "is computed anew"


def _becomes(given: Given, out: Path) -> Becomes:
    """The tagger of a tagger's file, or the published one with the lists that lie beside the checkpoint."""
    arguments = _arguments(given)
    with torch.device("meta"):
        tagger = RamTagger(**{**arguments, "weights": None})
    listed = len(tagger.vocabulary.names)
    if _LABELS in given.names and len(given.names[_LABELS]) != listed:
        raise other_vocabulary(f"weights {given.path}", len(given.names[_LABELS]), listed, arguments["names"])
    for name in _PUBLISHED_LISTS:
        if arguments.get(name) is not None:
            shutil.copyfile(arguments[name], out / f"{name}.txt")
            arguments[name] = f"{HERE}{name}.txt"
    written = {"class_path": _CLASS, "init_args": {**arguments, "weights": HERE + TAGGER_WEIGHTS}}
    (out / TAGGER_FILE).write_text(yaml.safe_dump(written, sort_keys=False))
    return Becomes(layout_of(tagger.network, TAGGER))


def _arguments(given: Given) -> dict[str, Any]:
    if given.model_file is None:
        return {name: str(given.path.parent / file) for name, file in _PUBLISHED_LISTS.items()}
    return read_tagger(given.model_file, RamTagger)["init_args"]


def _head(prefix: str) -> tuple[Rule, ...]:
    """A layer of the head under its name in the checkpoint (`vision_multi` in older ones)."""
    layer, ours = f"{prefix}.encoder.layer.#", TAGGER + "layers.#"
    return (
        *(
            Rule(f"{layer}.crossattention.self.{part}.*", f"{ours}.cross_attention.{part}.*")
            for part in ("query", "key", "value")
        ),
        Rule(f"{layer}.crossattention.output.dense.*", f"{ours}.cross_attention.output.*"),
        Rule(f"{layer}.crossattention.output.LayerNorm.*", f"{ours}.cross_attention.norm.*"),
        Rule(f"{layer}.intermediate.dense.*", f"{ours}.feed_forward.inner.*"),
        Rule(f"{layer}.output.dense.*", f"{ours}.feed_forward.output.*"),
        Rule(f"{layer}.output.LayerNorm.*", f"{ours}.feed_forward.norm.*"),
    )


def _trunk() -> tuple[Rule, ...]:
    """timm's Swin, as its older versions and RAM's checkpoint, but for the merging of patches: it stands at the end of a stage
    there and at the beginning of the next one in timm now."""
    theirs, ours = "visual_encoder.", TAGGER + "trunk."
    return (
        *(Rule(f"{theirs}{part}.*", f"{ours}{part}.*") for part in ("patch_embed", "norm")),
        *(
            Rule(f"{theirs}{_BLOCK}.{part}.*", f"{ours}{_BLOCK}.{part}.*")
            for part in ("norm1", "norm2", "mlp", "attn.qkv", "attn.proj")
        ),
        Rule(f"{theirs}{_BLOCK}.attn.relative_position_bias_table", f"{ours}{_BLOCK}.attn.relative_position_bias_table"),
        *(Rule(f"{theirs}layers.{stage}.downsample.*", f"{ours}layers.{stage + 1}.downsample.*") for stage in range(3)),
    )


RAM = Kind(
    about="RAM's ram_swin_large_14m.pth, with its two lists of tags and thresholds beside it: a tagger",
    map=KeyMap(
        (
            Rule(_LABELS, TAGGER + LABELS),
            Rule("wordvec_proj.*", TAGGER + "label_projection.*"),
            Rule("image_proj.*", TAGGER + "image_projection.*"),
            Rule("fc.*", TAGGER + "score.*"),
            *_head("tagging_head"),
            *_head("vision_multi"),
            *_trunk(),
        ),
        (
            LeftOut("tag_encoder.*", _CAPTIONS),
            LeftOut("text_decoder.*", _CAPTIONS),
            LeftOut(f"visual_encoder.{_BLOCK}.attn_mask", _COMPUTED),
            LeftOut(f"visual_encoder.{_BLOCK}.attn.relative_position_index", _COMPUTED),
        ),
    ),
    becomes=_becomes,
    licence="Apache-2.0 (Recognize Anything)",
)
