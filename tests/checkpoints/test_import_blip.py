"""BLIP-2 and InstructBLIP of Hugging Face with random weights: saved, imported, they give their own logits and answers."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    PreTrainedModel,
)

from tests.data.tiny import word_tokenizer
from tests.rows import batch_of_rows
from triscope.checkpoints.folder import load_model
from triscope.checkpoints.slices import read_slice
from triscope.cli import main
from triscope.data.batch import Batch, Placeholder
from triscope.data.sample import Level

QUERIES, IMAGE_TOKEN, WORDS = 3, 59, 60
VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
QFORMER = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "encoder_hidden_size": 16,
}
T5 = {
    "model_type": "t5",
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 40,
    "num_layers": 2,
    "num_heads": 4,
    "feed_forward_proj": "gated-gelu",
}
LLAMA = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
LANGUAGES = {
    "t5": {
        **T5,
        "vocab_size": WORDS,
        "tie_word_embeddings": False,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 2,
    },
    "llama": {**LLAMA, "vocab_size": WORDS, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
PROMPTS, ANSWERS = [[5, 9, 17], [8, 11, 30]], [[12, 2], [40, 41, 2]]
QUESTIONS, ASKED = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])


def hugging_face(kind: str, language: str) -> PreTrainedModel:
    """A tiny model with random weights everywhere, but for the bias of the tower's keys, which EVA does not have."""
    torch.manual_seed(0)
    config_class, model_class = (
        (InstructBlipConfig, InstructBlipForConditionalGeneration)
        if kind == "instructblip"
        else (Blip2Config, Blip2ForConditionalGeneration)
    )
    qformer = {**QFORMER, "vocab_size": 40} if kind == "instructblip" else QFORMER
    config = config_class(
        vision_config=VISION,
        qformer_config=qformer,
        text_config=LANGUAGES[language],
        num_query_tokens=QUERIES,
        image_token_index=IMAGE_TOKEN,
    )
    model = model_class(config).eval()
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, mean=1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0, std=0.2)
        if name.endswith("qkv.bias"):
            parameter.data.chunk(3)[1].zero_()
    return model


def saved(model: PreTrainedModel, folder: Path) -> Path:
    """The model as Hugging Face stores it, with the tokenizers beside it."""
    model.save_pretrained(folder)
    word_tokenizer(bos=True).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder / "qformer_tokenizer")
    return folder


def batch(pixels: torch.Tensor) -> Batch:
    rows = [([Placeholder.IMAGE, *prompt], answer) for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)]
    return batch_of_rows(rows, pixels, QUESTIONS, ASKED, Level.IMAGE)


@pytest.mark.parametrize(("kind", "language"), [("instructblip", "t5"), ("instructblip", "llama"), ("blip2", "t5")])
@torch.no_grad()
def test_an_imported_model_gives_its_own_logits_and_answers(kind, language, tmp_path, capsys):
    theirs = hugging_face(kind, language)
    main(["import", kind, str(saved(theirs, tmp_path / "theirs")), "--out", str(tmp_path / "ours")])
    ours, pixels = load_model(tmp_path / "ours"), torch.randn(2, 3, 28, 28)

    question = {"qformer_input_ids": QUESTIONS, "qformer_attention_mask": ASKED} if kind == "instructblip" else {}
    prompts = torch.tensor([[IMAGE_TOKEN] * QUERIES + prompt for prompt in PROMPTS])
    predictions = ours(batch(pixels))
    for row, answer in enumerate(ANSWERS):
        one = {"pixel_values": pixels[[row]], **{name: value[[row]] for name, value in question.items()}}
        if language == "t5":
            logits = theirs(**one, input_ids=prompts[[row]], labels=torch.tensor([answer])).logits[0]
        else:
            ids = torch.cat([prompts[row], torch.tensor(answer)])[None]
            logits = theirs(**one, input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -len(answer) - 1 : -1]
        assert_close(predictions.logits_MV[predictions.row_M == row], logits, atol=1e-4, rtol=1e-4)

    written = theirs.generate(pixel_values=pixels, **question, input_ids=prompts, max_new_tokens=6, num_beams=2, do_sample=False)
    found = ours.generate(batch(pixels), max_new_tokens=6, beams=2)
    assert found == [_answer(ids[-6:] if language == "llama" else ids[1:]) for ids in written.tolist()]
    assert any(found)


def _answer(ids: list[int]) -> list[int]:
    """The ids before the end or padding."""
    return ids[: next((place for place, token in enumerate(ids) if token in (0, 2)), len(ids))]


def test_the_qformer_alone_is_a_slice_that_a_stage_starts_from(tmp_path):
    main(
        [
            "import",
            "instructblip",
            str(saved(hugging_face("instructblip", "t5"), tmp_path / "theirs")),
            "--out",
            str(tmp_path / "ours"),
        ]
    )
    assert all(name.startswith("bridges.qformer.") for name in read_slice(tmp_path / "ours"))


def test_a_tower_whose_keys_have_a_bias_is_refused_and_nothing_is_left(tmp_path):
    model = hugging_face("blip2", "t5")
    nn.init.ones_(model.vision_model.encoder.layers[0].self_attn.qkv.bias)
    with pytest.raises(SystemExit, match="found a bias of the keys; expected zeros there"):
        main(["import", "blip2", str(saved(model, tmp_path / "theirs")), "--out", str(tmp_path / "ours")])
    assert [file.name for file in tmp_path.iterdir()] == ["theirs"]


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("blip2", {}, "Looks like kind instructblip"),
        ("lion", {}, "Looks like kind instructblip"),
        ("instructblip", {"vocab_size": 61}, r"of shape \(60, 32\); expected \(61, 32\) for language\.model\.shared\.weight"),
        ("instructblip", {"num_layers": 1}, r"encoder\.block\.1\..*which the model does not have"),
        ("instructblip", {"num_layers": 3}, r"found nothing for language\.model\.encoder\.block\.2"),
    ],
)
def test_a_wrong_kind_and_another_size_are_refused_and_nothing_is_left(kind, change, message, tmp_path):
    folder = saved(hugging_face("instructblip", "t5"), tmp_path / "theirs")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SystemExit, match=f"(?i){message}"):
        main(["import", kind, str(folder), "--out", str(tmp_path / "ours")])
    assert [file.name for file in tmp_path.iterdir()] == ["theirs"]
