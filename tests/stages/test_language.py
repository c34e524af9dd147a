"""Training a small language model on text in which a phrase is one token."""

from collections.abc import Sequence
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from data_pipelines.vocabulary import write_untrained_language
from tests.tiny_model import batch_of
from triscope.components.language import LanguageModel
from triscope.data.phrases import write_phrase
from triscope.data.prompts import PromptStyle
from triscope.data.sample import Conversation, Level, Sample, Turn
from triscope.stages.language import PhraseReader

CAT, DOG = write_phrase("red cat", "c", "3"), write_phrase("dog", "f", "7")
GREEN_CAT = write_phrase("green cat", "c", "3")
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


def asked(board: str, questions: Sequence[str]) -> Sample:
    """Questions that each stand alone behind the same board."""
    conversations = tuple(Conversation("scene_text", Level.IMAGE, (Turn(f"{board}{each}", ("dog",)),)) for each in questions)
    return Sample(board, images=(), conversations=conversations)


def test_questions_about_one_text_read_it_once_and_not_each_other(reader):
    """Texts of different length side by side, one of them asked about once; the questions about the last differ in a phrase."""
    boards = f" .{CAT} .{DOG}", f"{DOG}{DOG} All there is. All there is. All there is.", f"{DOG}{DOG}{CAT} ."
    questions = ("Where is it?", "Any other? Say it in a word."), ("How many?",), (f"{CAT}?", f"{GREEN_CAT}?")
    batch = batch_of(reader.eval(), [asked(*each) for each in zip(boards, questions, strict=True)], PromptStyle(turn="{prompt}"))
    read, results = [], []
    reader.language.layers()[0].register_forward_pre_hook(lambda layer, inputs: read.append(inputs[0].shape[1]))
    for share in (False, True):
        reader.share_prefix = share
        results.append(reader(batch).logits_MV)
    assert_close(results[1], results[0], atol=1e-4, rtol=1e-4)
    first, _, last = (len(embedded(reader, board)[0]) for board in boards)
    assert reader.shared_prefix(batch).length_U.tolist() == [first, 0, last]
    places = 3 * max(first, last)
    assert read[1] == read[0] - 2 * (first + last) + places


def test_texts_that_are_asked_about_once_share_nothing(reader):
    reader.share_prefix = True
    assert reader.shared_prefix(batch_of(reader, [asked(f" .{CAT}", ["Where?"]), asked(f" .{DOG}", ["Where?"])])) is None
