"""A bridge's own naming as a tagger: what a cell of the picture says is what the picture has."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tagging.tiny_taggers import NAMES, built, write_naming, write_ram
from triscope.data.errors import ConfigurationError
from triscope.tagging.naming import WORDS

SEEN = torch.randint(0, 256, (2, 3, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def test_a_score_is_the_likelihood_of_a_name_s_words_in_the_cell_that_says_them_best(tmp_path):
    file = write_naming(tmp_path)
    (tmp_path / "names.txt").write_text("\n".join(("dog", "the dog", *NAMES[2:])))
    tagger = built(file)
    none, image_I = torch.zeros(2, 0, dtype=torch.long), torch.arange(2)
    tokens_IQD = tagger.bridge(tagger.vision(SEEN), image_I, image_I, none, none.bool())
    logits_IQV = tokens_IQD @ tagger.words_VD.T * 32 / tagger.words_VD.square().sum(1).mean()
    likelihood_IQV = logits_IQV.softmax(-1)
    vocabulary = json.loads((tmp_path / "tokenizer" / "tokenizer.json").read_text())["model"]["vocab"]
    dog_IQ, the_IQ = likelihood_IQV[..., vocabulary["dog"]], likelihood_IQV[..., vocabulary["the"]]
    expected_I2 = torch.stack([dog_IQ.amax(1), (dog_IQ * the_IQ).sqrt().amax(1)], dim=1)
    torch.testing.assert_close(tagger(SEEN)[:, :2], expected_I2, rtol=1e-4, atol=1e-6)


def test_weights_of_another_bridge_and_of_no_bridge_are_refused(tmp_path):
    file = write_naming(tmp_path)
    tensors = load_file(tmp_path / "naming.safetensors")
    other = {name: value for name, value in tensors.items() if not name.endswith("norm.bias")}
    save_file(other, tmp_path / "naming.safetensors")
    with pytest.raises(ConfigurationError, match=r"naming\.safetensors.*do not fit.*norm\.bias.*expected a AggregatorBridge"):
        built(file)
    save_file({name: value for name, value in tensors.items() if name != WORDS}, tmp_path / "naming.safetensors")
    with pytest.raises(ConfigurationError, match=f"without {WORDS}"):
        built(file)
    whole = (write_ram(tmp_path).parent / "ram.safetensors").read_bytes()
    (tmp_path / "naming.safetensors").write_bytes(whole[:500])
    with pytest.raises(ConfigurationError, match=r"naming\.safetensors"):
        built(file)


def test_a_bridge_that_reads_a_question_is_refused(tmp_path):
    file = write_naming(tmp_path)
    with_question = file.read_text().replace("aggregator.AggregatorBridge", "qformer.QFormerBridge")
    file.write_text(with_question.replace("projector_width: 24", "vocabulary_size: 99").replace("heads: 2", "heads: 4", 1))
    with pytest.raises(ConfigurationError, match="found QFormerBridge; expected one that reads no question"):
        built(file)
