"""The layouts of the real files at their real sizes, on the meta device: not a tensor missing, not one to spare."""

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
)
from transformers.core_model_loading import revert_weight_conversion

from tests.checkpoints.layouts import layout
from tests.conftest import REPOSITORY, shared
from triscope.checkpoints.key_map import Mapped
from triscope.checkpoints.kinds import KINDS, Given
from triscope.checkpoints.kinds.kind import BASE

FLAN_T5 = {"model_type": "t5", "vocab_size": 32128, "d_kv": 64, "num_layers": 24, "feed_forward_proj": "gated-gelu"}
FLAN_T5_XL = {**FLAN_T5, "d_model": 2048, "d_ff": 5120, "num_heads": 32, "tie_word_embeddings": False}
FLAN_T5_XXL = {**FLAN_T5, "d_model": 4096, "d_ff": 10240, "num_heads": 64, "tie_word_embeddings": False}
LLAMA_7B = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32}
VICUNA_7B = {"model_type": "llama", "vocab_size": 32000, **LLAMA_7B}


def model_over(name: str, language: dict, folder: Path) -> Path:
    """A model file of ours over a language model of which only the configuration is at hand."""
    (folder / "config.json").write_text(json.dumps(language))
    text = (REPOSITORY / "conf" / "model" / f"{name}.yaml").read_text()
    path = next(line.strip() for line in text.splitlines() if line.strip().startswith("path:"))
    (folder / "model.yaml").write_text(text.replace(path, f"path: {folder}"))
    return folder / "model.yaml"


def mapped(kind: str, names: dict, folder: Path, model: Path | None = None) -> Mapped:
    """The tensors of a source, all accounted for."""
    becomes = KINDS[kind].becomes(Given(folder, model, names), folder)
    return KINDS[kind].map.apply(names, becomes.layout, "the layout table")


@pytest.mark.parametrize(
    ("table", "model", "language", "trained"),
    [
        ("lion_flant5xl_checkpoint", "lion_4b", FLAN_T5_XL, 281_570_400),
        ("lion_flant5xxl_checkpoint", "lion_12b", FLAN_T5_XXL, 320_439_392),
    ],
)
def test_lion_at_its_published_sizes(table, model, language, trained, tmp_path):
    found = mapped("lion", layout(table), tmp_path, model_over(model, language, tmp_path))
    assert sum(entry.shape.numel() for entry in found.entries) == trained
    assert sorted(name for names in found.left_out.values() for name in names) == [
        "Qformer.bert.embeddings.position_ids",
        "t5_model.decoder.embed_tokens.weight",
        "t5_model.encoder.embed_tokens.weight",
    ]


def test_eva_at_its_published_size_and_what_lies_above_the_deepest_tap(tmp_path):
    names = layout("eva_vit_g_14")
    found = mapped("eva-vit-g", names, tmp_path)
    assert sum(entry.shape.numel() for entry in found.entries) == 985_894_528 and not found.left_out
    above = {name.replace("blocks.38.", "blocks.39."): tensor for name, tensor in names.items() if "blocks.38." in name}
    above |= {"norm.weight": torch.empty(1408, device="meta"), "head.weight": torch.empty(1000, 1408, device="meta")}
    left_out = mapped("eva-vit-g", names | above, tmp_path).left_out
    assert sorted(name for each in left_out.values() for name in each) == sorted(above)


def test_sam_and_the_trimmed_instructblip_at_their_published_sizes(tmp_path):
    trimmed = {BASE + name: tensor for name, tensor in layout("instructblip_vicuna7b_trimmed").items()}
    found = mapped("sam", layout("sam_trainable") | trimmed, tmp_path, model_over("sam_7b", VICUNA_7B, tmp_path))
    assert sum(entry.shape.numel() for entry in found.entries) == 1_182_593 + 188_837_888 - 512  # positions
    assert list(found.left_out.values()) == [["base/Qformer.bert.embeddings.position_ids"]]


def test_regionclip_at_its_published_size(tmp_path):
    found = mapped("regionclip", layout("regionclip_rn50x4") | layout("regionclip_rn50x4_text"), tmp_path)
    assert sum(entry.shape.numel() for entry in found.entries) == 87_246_840
    assert list(found.left_out) == ["text encoder"]


def test_ram_at_its_published_size(tmp_path):
    names, lists = layout("ram_swin_large_384"), shared("ram_tags")
    becomes = KINDS["ram"].becomes(Given(lists / "ram_swin_large_14m.pth", None, names), tmp_path)
    found = KINDS["ram"].map.apply(names, becomes.layout, "the layout table")
    assert sum(entry.shape.numel() for entry in found.entries) == 212_117_045
    assert sorted(found.left_out) == ["is computed anew", "serves captions, not tags"]


def llama_7b(words: int) -> dict:
    """Names and shapes of LLaMA-7B, by building it on the meta device."""
    with torch.device("meta"):
        return dict(LlamaForCausalLM(LlamaConfig(**LLAMA_7B, vocab_size=words)).named_parameters())


@pytest.mark.parametrize("form", ["merged", "difference"])
def test_pvit_at_its_published_size(form, tmp_path):
    names = llama_7b(32000) | layout("pvit_delta_extra")
    if form == "difference":
        names |= {BASE + name: tensor for name, tensor in llama_7b(32000).items()}
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "config.json").write_text(json.dumps({**LLAMA_7B, "model_type": "llava", "vocab_size": 32005}))
    kind = KINDS["pvit"]
    becomes = kind.becomes(Given(tmp_path / "given", model_over("pvit_7b", VICUNA_7B, tmp_path), names), tmp_path)
    found = becomes.map.apply(names, becomes.layout, "the layout table")
    assert {entry.target for entry in found.entries} == becomes.layout.keys() and not found.left_out


# Hugging Face's folders, of which no table is at hand: their own classes have the names and shapes ---------------------

CLIP_L_336 = {
    **{"model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24},
    **{"num_attention_heads": 16, "image_size": 336, "patch_size": 14, "projection_dim": 768},
}
ABOVE = {"block above the deepest tap": 16, "final norm, above the deepest tap": 2}
TIED = {"the same as the language model's input embedding": 2}


@pytest.mark.parametrize(
    ("kind", "model", "config", "mapped_parameters", "left_out"),
    [
        (
            "llava",
            LlavaForConditionalGeneration,
            LlavaConfig(text_config={**VICUNA_7B, "vocab_size": 32064}, vision_config=CLIP_L_336),
            7_050_828_800,
            ABOVE,
        ),
        ("instructblip", InstructBlipForConditionalGeneration, InstructBlipConfig(text_config=FLAN_T5_XL), 4_022_913_408, TIED),
        (
            "instructblip",
            InstructBlipForConditionalGeneration,
            InstructBlipConfig(text_config={**VICUNA_7B, "vocab_size": 32001}),
            7_913_154_944,
            {},
        ),
        ("blip2", Blip2ForConditionalGeneration, Blip2Config(text_config=FLAN_T5_XL), 3_942_391_680, TIED),
    ],
    ids=["llava 1.5 7b", "instructblip flan-t5-xl", "instructblip vicuna-7b", "blip-2 flan-t5-xl"],
)
def test_hugging_face_s_folders_at_their_published_sizes(kind, model, config, mapped_parameters, left_out, tmp_path):
    with torch.device("meta"):
        theirs = model(config)
    names = revert_weight_conversion(theirs, theirs.state_dict())  # as `save_pretrained` writes them
    (tmp_path / "given").mkdir()
    (tmp_path / "out").mkdir()
    config.save_pretrained(tmp_path / "given")
    becomes = KINDS[kind].becomes(Given(tmp_path / "given", None, names), tmp_path / "out")
    found = (becomes.map or KINDS[kind].map).apply(names, becomes.layout, kind)
    assert sum(entry.shape.numel() for entry in found.entries) == mapped_parameters
    assert {reason: len(names) for reason, names in found.left_out.items()} == left_out
