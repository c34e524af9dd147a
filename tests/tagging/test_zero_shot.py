"""Zero-shot tags are cosines of CLIP's own vectors; weights of another model are refused."""

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from tests.tagging.tiny_taggers import CLIP, NAMES, built, write_open_clip
from triscope.data.errors import ConfigurationError


def test_a_score_is_the_cosine_of_the_picture_and_the_mean_of_the_sentences(tmp_path):
    tagger = built(write_open_clip(tmp_path))
    clip = open_clip.create_model(CLIP["model"], load_weights=False, **CLIP["model_options"]).eval()
    clip.load_state_dict(load_file(tmp_path / "clip.safetensors"))
    seen = torch.randint(0, 256, (2, 3, 28, 28), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))
    tokenize = open_clip.get_tokenizer(CLIP["model"])
    with torch.no_grad():
        pictures = clip.encode_image((seen / 255 - mean) / std)
        for k, name in enumerate(NAMES):
            texts = clip.encode_text(tokenize([f"a photo of a {name}.", f"the {name}"]))
            direction = F.normalize(texts, dim=-1).mean(0)
            expected = (1 + F.cosine_similarity(pictures, direction[None])) / 2
            torch.testing.assert_close(tagger(seen)[:, k], expected, atol=1e-6, rtol=1e-5)


def test_any_vocabulary_will_do(tmp_path):
    file = write_open_clip(tmp_path)
    (tmp_path / "names.txt").write_text("a red square\nan old photo\n")
    (tmp_path / "thresholds.txt").write_text("0.0\n1.0\n")
    (tags,) = built(file).tags(torch.zeros(1, 3, 28, 28, dtype=torch.uint8))
    assert [tag.name for tag in tags] == ["a red square"]


def test_weights_of_another_model_and_truncated_ones_are_refused(tmp_path):
    file, weights = write_open_clip(tmp_path), tmp_path / "clip.safetensors"
    state = load_file(weights)
    save_file({name: value for name, value in state.items() if name != "text_projection"}, weights)
    with pytest.raises(ConfigurationError, match=r"do not fit.*text_projection.*expected the \d+ tensors of ViT-B-32"):
        built(file)
    weights.write_bytes(weights.read_bytes()[:-500])
    with pytest.raises(ConfigurationError, match="bytes that cannot be read"):
        built(file)


def test_an_unknown_model_and_a_sentence_without_a_place_for_the_name_are_refused(tmp_path):
    file = write_open_clip(tmp_path)
    text = file.read_text()
    file.write_text(text.replace("ViT-B-32", "ViT-B-33"))
    with pytest.raises(ConfigurationError, match="'ViT-B-33'; expected a CLIP that open_clip knows"):
        built(file)
    file.write_text(text.replace("the {}", "the name"))
    with pytest.raises(ConfigurationError, match=r"one \{\}"):
        built(file)
