"""Training a small language model on text in which a phrase is one token."""

from functools import partial

import pytest
import torch

from data_pipelines.vocabulary import write_untrained_language
from triscope.components.language import LanguageModel
from triscope.data.phrases import write_phrase
from triscope.stages.language import PhraseReader

CAT, DOG = write_phrase("red cat", "c", "3"), write_phrase("dog", "f", "7")
TEXTS = [f" .{CAT} .{DOG} . Where is the red cat? [c3]"] * 20


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> PhraseReader:
    """A tiny untrained reader of phrases."""
    folder = write_untrained_language(TEXTS, tmp_path_factory.mktemp("language"), 300, width=16, layers=1, heads=2)
    torch.manual_seed(0)
    return PhraseReader(language=partial(LanguageModel, path=str(folder), adapter_bottleneck=None))


def embedded(reader: PhraseReader, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The embeddings of a text that are read, and the ids they stand for."""
    ids_BT = torch.tensor([reader.language.tokenizer.encode(text)])
    folded_BTD, is_kept_BT = reader.embed_text(ids_BT, torch.ones_like(ids_BT, dtype=torch.bool))
    return folded_BTD[is_kept_BT], ids_BT[is_kept_BT]


def test_a_written_phrase_is_read_as_one_token(reader):
    without, _ = embedded(reader.eval(), " . Where")
    with_phrases, _ = embedded(reader.eval(), f" .{CAT}{DOG} Where")
    assert len(with_phrases) == len(without) + 2


def test_phrases_are_blurred_in_training_alone_and_words_never_are(reader):
    exact, ids_T = embedded(reader.eval(), f" .{CAT} Where")
    blurred, _ = embedded(reader.train(), f" .{CAT} Where")
    is_phrase_T = ids_T == reader.language.tokenizer.convert_tokens_to_ids("<phrase>")
    assert int(is_phrase_T.sum()) == 1
    assert torch.equal(exact[~is_phrase_T], blurred[~is_phrase_T])
    assert not torch.equal(exact[is_phrase_T], blurred[is_phrase_T])
