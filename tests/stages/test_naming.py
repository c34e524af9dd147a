"""Bridges learn to name what stands where, as the language model's output embeddings read them."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from tests.data.tiny import ask, sample, write_shards
from tests.tiny_model import prepare, tiny_data, tiny_model, tiny_trainer
from triscope.data.batch import Batch
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Level
from triscope.stages import NamingStage
from triscope.stages.naming import NO_WORD, found_words, naming_losses

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
    logits_MV = torch.randn(2, 9)
    words_Mw = torch.tensor([[3, 5, NO_WORD], [1, NO_WORD, NO_WORD]])
    two_words = F.cross_entropy(logits_MV[:1].repeat(2, 1), torch.tensor([3, 5]))
    one_word = F.cross_entropy(logits_MV[1:], torch.tensor([1]))
    torch.testing.assert_close(naming_losses(logits_MV, words_Mw), torch.stack([two_words, one_word]))


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
    for bridge, extra in (("aggregator", 1), ("qformer", 2)):  # tokens that are more than a square
        tokens_NQD = stage.model.bridges[bridge](features_LIPV, batch.pair_row_N, batch.pair_image_N, *question)
        said_NQ = stage.model.language.model.get_output_embeddings()(tokens_NQD[:, extra:]).argmax(-1)
        shown = stage.tokenizers().language.convert_tokens_to_ids([row.key.partition(":")[0] for row in batch.rows])
        assert said_NQ.tolist() == [[word] * said_NQ.shape[1] for word in shown]


def test_each_token_is_to_name_the_thing_over_its_cell(base, tmp_path):
    things = [{"name": "dog", "box": LEFT}, {"name": "cat", "color": "two", "box": RIGHT}]
    stage = fit(base, tmp_path, {"a": things}, steps=1)
    dog, cat, two = stage.tokenizers().language.convert_tokens_to_ids(["dog", "cat", "two"])
    first = torch.tensor([0])
    cells = [[NO_WORD, NO_WORD], [dog, NO_WORD], [two, cat], [dog, NO_WORD], [two, cat]]  # class token, then row by row
    assert stage.words_to_say(batch_of(stage), first, first, tokens=5).tolist() == [cells]


def test_tokens_that_are_more_than_a_square_say_nothing(base, tmp_path):
    stage = fit(base, tmp_path, {"a": [{"name": "dog", "box": LEFT}]}, steps=1)
    given = []

    def keep(bridge, inputs, tokens_IQD):
        tokens_IQD.retain_grad()
        given.append(tokens_IQD)

    stage.model.bridges["aggregator"].register_forward_hook(keep)
    stage.training_step(batch_of(stage)).backward()
    (tokens_IQD,) = given
    gradient_Q = tokens_IQD.grad.abs().amax((0, 2))
    assert gradient_Q[0] == 0 and (gradient_Q[1:] > 0).all()


def test_a_sample_that_does_not_tell_what_it_shows_is_refused(base, tmp_path):
    with pytest.raises(ConfigurationError, match=r"sample a:\d, extra.objects: found nothing"):
        fit(base, tmp_path, {"a": None}, steps=1)
