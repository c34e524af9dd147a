"""Tiny real things for the tests of the data: pictures, samples, shards and tokenizers."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.JpegImagePlugin
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from triscope.data.boxes import Box
from triscope.data.prompts import Tokenizers
from triscope.data.sample import Conversation, Image, Level, Region, Sample, Tag, Turn
from triscope.data.shard_writer import ShardWriter
from triscope.data.shards import ShardSet

KNOWN_TEXT = (
    "<unk> <s> </s> question answer : , . ? [ ] - What is this Where the dog cat one two three yes no left right "
    "According to you are allowed use or partially following tags Question Answer grass leash and of { image # }"
)


def word_tokenizer(bos: bool = False, **special: str) -> PreTrainedTokenizerFast:
    """One token a word, a punctuation mark or a digit."""
    words = dict.fromkeys([*KNOWN_TEXT.split(), *"0123456789", *special.values()])
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits(individual_digits=True)]
    )
    start = {"bos_token": "<s>"} if bos else {}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>", **start, **special)


def causal_tokenizers() -> Tokenizers:
    """Of a decoder-only model that begins its texts with a token."""
    return Tokenizers(language=word_tokenizer(bos=True), question=word_tokenizer(), seq2seq=False)


def seq2seq_tokenizers() -> Tokenizers:
    """Of an encoder-decoder model."""
    return Tokenizers(language=word_tokenizer(), question=word_tokenizer(), seq2seq=True)


def jpeg(shade: int = 128, width: int = 40, height: int = 30) -> bytes:
    """A picture of one shade of grey."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.full((height, width, 3), shade, dtype=np.uint8)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def decoded_sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Width and height of every JPEG that is decoded from now on, as its decoder gives it."""
    sizes, load = [], PIL.JpegImagePlugin.JpegImageFile.load

    def noted(picture: PIL.JpegImagePlugin.JpegImageFile) -> Any:
        sizes.append(picture.size)
        return load(picture)

    monkeypatch.setattr(PIL.JpegImagePlugin.JpegImageFile, "load", noted)
    return sizes


def ask(*turns: tuple[str, str], task: str = "vqa", level: Level = Level.IMAGE) -> Conversation:
    """A conversation of questions and answers."""
    return Conversation(task, level, tuple(Turn(prompt, (answer,)) for prompt, answer in turns))


def picture(number: int = 0, tags: Sequence[str] = ()) -> Image:
    """The record of a picture made by `jpeg`."""
    return Image(f"{number}.jpg", 40, 30, tuple(Tag(name) for name in tags))


def sample(
    key: str = "a",
    conversations: Sequence[Conversation] = (ask(("What is this?", "the dog")),),
    images: int = 1,
    tags: Sequence[str] = (),
    boxes: Sequence[Box] = (),
) -> Sample:
    """A sample with pictures of 40 x 30 pixels."""
    pictures = tuple(picture(number, tags) for number in range(images))
    return Sample(key, pictures, tuple(conversations), tuple(Region(0, box) for box in boxes), source="tiny")


def write_shards(folder: Path, samples: Sequence[Sample], samples_per_shard: int = 4) -> ShardSet:
    """Write samples with grey pictures, of another shade each."""
    with ShardWriter(folder, samples_per_shard) as writer:
        for number, each in enumerate(samples):
            writer.write(each, [jpeg(shade=(37 * number + 11 * order) % 256) for order in range(len(each.images))])
    return ShardSet.open(folder)


def numbered_shards(folder: Path, count: int, samples_per_shard: int = 4, prefix: str = "s") -> ShardSet:
    """Samples with keys s000, s001, ..."""
    return write_shards(folder, [sample(f"{prefix}{number:03d}") for number in range(count)], samples_per_shard)
