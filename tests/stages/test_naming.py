"""Bridges learn to name what stands where, as the language model's output embeddings read them."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from tests.data.tiny import ask, sample, write_shards
from tests.tiny_model import prepare, tiny_data, tiny_model, tiny_trainer
from triscope.data.batch import Batch
from triscope.data.errors import ConfigurationError
from triscope.data.phrases import NOTHING
from triscope.data.sample import Level
from triscope.stages import NamingStage
from triscope.stages.naming import NO_WORD, found_words, naming_losses, phrase_errors

LEFT, RIGHT = [0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The frozen base of tiny models."""
    return prepare(tmp_path_factory.mktemp("base"))


def fit(base, folder, objects_of: dict[str, list[dict] | None], steps: int) -> NamingStage:
    """A stage after some steps on samples of a grey picture each: by key, what they show."""
    asked = [ask(("What is this?", "the dog")), ask(("What is this?", "dog"), level=Level.REGION)]
    samples = [
        replace(sample(key, asked), extra=None if objects is None else {"objects": objects})
        for key, objects in objects_of.items()
    ]
    write_shards(folder / "shards", samples)
    stage = NamingStage(lambda: tiny_model(base), learning_rate=0.02, warmup_steps=1)
    tiny_trainer(folder, max_steps=steps).fit(stage, tiny_data(str(folder / "shards")))
    return stage


def batch_of(stage: NamingStage) -> Batch:
    """A batch with all samples."""
    return next(iter(stage.trainer.datamodule.train_dataloader()))


def test_the_loss_of_a_token_is_the_mean_over_its_words_whatever_is_padded():
    logits_IQV = torch.randn(1, 2, 9)
    words_IQw = torch.tensor([[[3, 5, NO_WORD], [1, NO_WORD, NO_WORD]]])
    two_words = F.cross_entropy(logits_IQV[0, :1].repeat(2, 1), torch.tensor([3, 5]))
    one_word = F.cross_entropy(logits_IQV[0, 1:], torch.tensor([1]))
    torch.testing.assert_close(naming_losses(logits_IQV, words_IQw), torch.stack([two_words, one_word])[None])


def test_the_error_of_a_token_is_its_squared_distance_from_the_sum_of_its_words():
    embeddings_VD = torch.eye(4)
    words_IQw = torch.tensor([[[0, 1], [2, NO_WORD]]])
    tokens_IQD = torch.tensor([[[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 4.0, 0.0]]])
    mean_square = (2 + 1) / 2
    torch.testing.assert_close(phrase_errors(tokens_IQD, words_IQw, embeddings_VD), torch.tensor([[0.0, 3.0**2 / mean_square]]))


def test_words_are_found_that_are_among_the_most_likely():
    logits_MV = torch.tensor([[0.0, 5.0, 4.0, 3.0]])
    assert found_words(logits_MV, torch.tensor([[1, 2, NO_WORD]])) == 1.0
    assert found_words(logits_MV, torch.tensor([[1, 3, NO_WORD]])) == 0.5


def test_tokens_come_to_name_what_the_picture_shows_and_the_frozen_base_stays(base, tmp_path):
    stage = fit(base, tmp_path, {name: [{"name": name, "box": [0.0, 0.0, 1.0, 1.0]}] for name in ("dog", "cat")}, steps=200)
    assert {stage.model.part_of(name) for name, _ in stage.trained_parameters()} == {"qformer", "aggregator"}
    untrained = tiny_model(base)
    for name, tensor in untrained.named_parameters():
        if untrained.part_of(name) in ("language", "vision"):
            torch.testing.assert_close(tensor, stage.model.get_parameter(name), rtol=0, atol=0)

    batch = batch_of(stage)
    features_LIPV = stage.model.vision(batch.pixels_ICHW)
    question = batch.question_ids_BS, batch.question_valid_BS
    names = [row.key.partition(":")[0] for row in batch.rows]
    for bridge, extra in (("aggregator", 1), ("qformer", 2)):  # tokens that are more than a square
        tokens_NQD = stage.model.bridges[bridge](features_LIPV, batch.pair_row_N, batch.pair_image_N, *question)
        said_NQ = stage.model.language.model.get_output_embeddings()(tokens_NQD).argmax(-1)
        to_say = [[NOTHING] * extra + [name] * (said_NQ.shape[1] - extra) for name in names]
        encode = stage.tokenizers().language.encode
        assert said_NQ.tolist() == [[encode(word, add_special_tokens=False)[0] for word in words] for words in to_say]
        words_VD = stage.model.language.model.get_input_embeddings().weight
        assert phrase_errors(tokens_NQD, said_NQ[:, :, None], words_VD)[:, extra:].max() < 0.9  # 3 and more before training


def test_each_token_is_to_name_the_thing_over_its_cell(base, tmp_path):
    things = [{"name": "dog", "box": LEFT}, {"name": "cat", "color": "two", "box": RIGHT}]
    stage = fit(base, tmp_path, {"a": things}, steps=1)
    dog, cat, two = stage.tokenizers().language.convert_tokens_to_ids(["dog", "cat", "two"])
    first = torch.tensor([0])
    (nothing,) = stage.tokenizers().language.encode(NOTHING, add_special_tokens=False)
    cells = [[nothing, NO_WORD], [dog, NO_WORD], [two, cat], [dog, NO_WORD], [two, cat]]  # class token, then row by row
    assert stage.words_to_say(batch_of(stage), first, first, tokens=5).tolist() == [cells]


def test_a_sample_that_does_not_tell_what_it_shows_is_refused(base, tmp_path):
    with pytest.raises(ConfigurationError, match=r"sample a:\d, extra.objects: found nothing"):
        fit(base, tmp_path, {"a": None}, steps=1)
