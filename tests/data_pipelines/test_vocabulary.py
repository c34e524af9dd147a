"""The small tokenizer and the untrained language model that shards are turned into."""

import json
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from data_pipelines.__main__ import main
from data_pipelines.vocabulary import END_OF_TEXT, PADDING, learn_tokenizer, texts_of, write_untrained_language
from tests.data.tiny import ask, sample, write_shards
from triscope.data.errors import ConfigurationError

SIZE = 300
TEXTS = ["Where is the umbrella? Answer: [12,44,35,98]", "Is there an umbrella? Answer: yes"] * 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A tiny language model for the texts."""
    return write_untrained_language(TEXTS, tmp_path_factory.mktemp("language"), SIZE, width=16, layers=2, heads=2)


@pytest.mark.parametrize("text", [TEXTS[0], "Ein Café – naïve?\n  two  spaces", "日本", ""])
def test_every_text_survives_a_round_trip(folder, text):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_a_frequent_word_is_one_token_and_a_rare_one_is_not(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer.encode(" umbrella", add_special_tokens=False)) == 1
    assert len(tokenizer.encode(" walrus", add_special_tokens=False)) > 1


def test_texts_end_and_are_padded_with_different_tokens_and_begin_with_none(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token) == (END_OF_TEXT, PADDING, None)
    assert tokenizer.eos_token_id != tokenizer.pad_token_id


def test_the_configuration_builds_a_model_for_all_ids_of_the_tokenizer(folder):
    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_config(config)
    assert (config.hidden_size, config.num_hidden_layers, config.vocab_size) == (16, 2, SIZE)
    assert len(AutoTokenizer.from_pretrained(folder)) <= model.get_input_embeddings().num_embeddings
    assert (config.eos_token_id, config.pad_token_id) == (1, 0)


def test_no_weights_are_written(folder):
    assert not list(folder.glob("*.safetensors"))


def test_the_same_texts_give_the_same_tokenizer(folder):
    again = learn_tokenizer(TEXTS, SIZE)
    assert again.get_vocab() == AutoTokenizer.from_pretrained(folder).get_vocab()


def test_an_answer_is_read_behind_its_prompt(tmp_path):
    write_shards(tmp_path / "set", [sample("a", [ask(("What is this?", "a dog"), ("Sure?", "yes"))], images=0)])
    assert list(texts_of(tmp_path / "set")) == ["What is this? Answer: a dog", "Sure? Answer: yes"]


def test_the_command_writes_the_folder_that_a_model_file_names(tmp_path, capsys):
    write_shards(tmp_path / "set", [sample("a", [ask(("What is this?", "a dog"))], images=0)])
    assert main(["vocabulary", str(tmp_path / "set"), "--out", str(tmp_path / "language"), "--size", str(SIZE)]) == 0
    assert str(tmp_path / "language") in capsys.readouterr().out
    assert json.loads((tmp_path / "language" / "config.json").read_text())["vocab_size"] == SIZE


def test_a_vocabulary_without_room_for_every_byte_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="260 or more"):
        write_untrained_language(TEXTS, tmp_path / "small", vocabulary_size=100)
    assert not (tmp_path / "small").exists()


def test_a_language_model_is_not_written_over(folder):
    with pytest.raises(ConfigurationError, match="a new or empty folder"):
        write_untrained_language(TEXTS, folder, vocabulary_size=SIZE)
