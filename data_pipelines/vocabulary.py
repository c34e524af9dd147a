"""A small tokenizer and an untrained Llama-layout language model for it, learned from the text of shards.

Byte-level BPE: every text survives a round trip, and what the shards say often (nouns, numbers to 100) is one token.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, PreTrainedTokenizerFast

from triscope.data.errors import ConfigurationError
from triscope.data.phrases import phrase_tokens
from triscope.data.shards import ShardSet

END_OF_TEXT = "<end>"
PADDING = "<pad>"
SMALLEST_VOCABULARY = 256 + 4  # all bytes, and the special tokens


def write_untrained_language(
    texts: Iterable[str],
    folder: str | Path,
    vocabulary_size: int = 1024,
    width: int = 256,
    layers: int = 6,
    heads: int = 8,
    feed_forward_width: int = 704,
) -> Path:
    """Write a Hugging Face folder with a tokenizer and a configuration, ready for `LanguageStage`.

    Args:
        texts: what the tokenizer is learned from.
        folder: written to.
        vocabulary_size: tokens, the two special ones included.
        width, layers, heads, feed_forward_width: size of the language model.

    Returns:
        The folder.

    Raises:
        ConfigurationError: the folder holds a model, or the vocabulary cannot hold every byte.
    """
    folder = Path(folder)
    if vocabulary_size < SMALLEST_VOCABULARY:
        remedy = f"ask for {SMALLEST_VOCABULARY} or more"
        raise ConfigurationError("vocabulary_size", str(vocabulary_size), "room for all bytes and the special tokens", remedy)
    if (folder / "config.json").exists():
        raise ConfigurationError(f"folder {folder}", "a language model", "a new or empty folder", "choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = learn_tokenizer(texts, vocabulary_size)
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=vocabulary_size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        intermediate_size=feed_forward_width,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        initializer_range=width**-0.5,  # the usual 0.02 leaves attention this narrow flat for thousands of steps
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        architectures=["LlamaForCausalLM"],
    )
    (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=2, default=str) + "\n")
    return folder


def texts_of(folder: str | Path) -> Iterator[str]:
    """Every prompt and every answer of a shard set, an answer as it reads behind its prompt."""
    for raw in ShardSet.open(folder):
        sample, _ = raw.parse()
        for turn in (turn for conversation in sample.conversations for turn in conversation.turns):
            yield f"{turn.prompt} Answer: {turn.answers[0]}"


def learn_tokenizer(texts: Iterable[str], vocabulary_size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer over these texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[PADDING, END_OF_TEXT, *phrase_tokens()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END_OF_TEXT, pad_token=PADDING)
