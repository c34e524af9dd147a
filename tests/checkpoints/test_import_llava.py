"""LLaVA of Hugging Face with random weights: saved, imported, it gives its own logits and answers."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import LlavaConfig, LlavaForConditionalGeneration

from tests.checkpoints.test_import_blip import ANSWERS, IMAGE_TOKEN, LANGUAGES, PROMPTS, VISION
from tests.data.tiny import word_tokenizer
from tests.rows import batch_of_rows
from triscope.checkpoints.folder import load_model
from triscope.cli import main
from triscope.data.batch import Batch, Placeholder
from triscope.data.sample import Level

PATCHES = 4


def hugging_face(layer: int) -> LlavaForConditionalGeneration:
    """A tiny model with random weights everywhere."""
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config={**VISION, "model_type": "clip_vision_model", "num_hidden_layers": 3, "projection_dim": 8},
        text_config=LANGUAGES["llama"],
        image_token_index=IMAGE_TOKEN,
        vision_feature_layer=layer,
    )
    model = LlavaForConditionalGeneration(config).eval()
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, mean=1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0, std=0.2)
    return model


def batch(pixels: torch.Tensor) -> Batch:
    rows = [([Placeholder.IMAGE, *prompt], answer) for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)]
    nothing = torch.zeros(len(rows), 0, dtype=torch.long)
    return batch_of_rows(rows, pixels, nothing, nothing, Level.IMAGE)


@pytest.mark.parametrize("layer", [-2, -1])
@torch.no_grad()
def test_an_imported_model_gives_its_own_logits_and_answers(layer, tmp_path):
    theirs = hugging_face(layer)
    theirs.save_pretrained(tmp_path / "theirs")
    word_tokenizer(bos=True).save_pretrained(tmp_path / "theirs")
    main(["import", "llava", str(tmp_path / "theirs"), "--out", str(tmp_path / "ours")])
    ours, pixels = load_model(tmp_path / "ours"), torch.randn(2, 3, 28, 28)

    prompts = torch.tensor([[IMAGE_TOKEN] * PATCHES + prompt for prompt in PROMPTS])
    predictions = ours(batch(pixels))
    for row, answer in enumerate(ANSWERS):
        ids = torch.cat([prompts[row], torch.tensor(answer)])[None]
        logits = theirs(input_ids=ids, pixel_values=pixels[[row]]).logits[0, -len(answer) - 1 : -1]
        assert_close(predictions.logits_MV[predictions.row_M == row], logits, atol=1e-4, rtol=1e-4)

    written = theirs.generate(input_ids=prompts, pixel_values=pixels, max_new_tokens=6, do_sample=False, pad_token_id=0)
    new = written[:, prompts.shape[1] :].tolist()
    until_end = [ids[: next((place for place, token in enumerate(ids) if token in (0, 2)), len(ids))] for ids in new]
    assert ours.generate(batch(pixels), max_new_tokens=6) == until_end
