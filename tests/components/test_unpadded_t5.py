"""Rows that stand one behind the other give the losses and gradients of rows that are padded."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from transformers import T5Config, T5ForConditionalGeneration

from tests.tiny_model import awake
from triscope.components.language import IGNORED_LABEL, LanguageModel
from triscope.components.unpadded_t5 import can_read_unpadded

SIZES = {"vocab_size": 61, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "dropout_rate": 0.0}
LEVELS = [[0, 0, 0], [1, 0, 1]]


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = T5Config(**SIZES, feed_forward_proj="gated-gelu", decoder_start_token_id=0, tie_word_embeddings=request.param)
    path = tmp_path_factory.mktemp("t5")
    T5ForConditionalGeneration(config).save_pretrained(path)
    return path


def language(folder: Path, **options: object) -> LanguageModel:
    """With adapters and routers that matter."""
    return awake(LanguageModel(str(folder), **options).train())


def rows(model: LanguageModel, levels: list[int], answers: tuple[int, ...] = (3, 1, 4)) -> dict[str, Tensor]:
    """Rows of 9, 6 and 7 tokens; the last of each are its answer."""
    ids_BT = torch.randint(3, 61, (3, 9), generator=torch.Generator().manual_seed(5))
    place_T, length_B1, answer_B1 = torch.arange(9), torch.tensor([[9], [6], [7]]), torch.tensor(answers)[:, None]
    valid_BT = place_T < length_B1
    labels_BT = ids_BT.masked_fill(~valid_BT | (place_T < length_B1 - answer_B1), IGNORED_LABEL)
    embeddings_BTD = model.embed(ids_BT).detach().requires_grad_()
    return {"embeddings_BTD": embeddings_BTD, "valid_BT": valid_BT, "labels_BT": labels_BT, "level_B": torch.tensor(levels)}


@pytest.mark.parametrize("levels", LEVELS, ids=["one level", "mixed levels"])
@pytest.mark.parametrize("answers", [(3, 1, 4), (3, 0, 4), (0, 0, 0)], ids=str)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_leaving_padding_out_changes_neither_predictions_nor_gradients(folder, levels, answers, checkpointing):
    found = []
    for unpadded in (True, False):
        model = language(folder, unpadded=unpadded, activation_checkpointing=checkpointing)
        given = rows(model, levels, answers)
        predictions = model(**given)
        (predictions.logits_MV.logsumexp(-1).sum() + 0 * given["embeddings_BTD"].sum()).backward()
        trained = {name: tensor.grad for name, tensor in model.named_parameters() if tensor.grad is not None}
        found.append((*predictions, given["embeddings_BTD"].grad, trained))
    compact, padded = found
    for mine, theirs in zip(compact[:4], padded[:4], strict=True):
        assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
    if any(answers):
        assert compact[4].keys() == padded[4].keys() and compact[4]
        for name, gradient in compact[4].items():
            assert_close(gradient, padded[4][name], atol=1e-4, rtol=1e-3)


def test_a_row_does_not_read_its_neighbours(folder):
    model = language(folder)
    given = rows(model, [0, 1, 0])
    alone = model(**{name: tensor[1:2] for name, tensor in given.items()})
    together = model(**given)
    assert_close(together.logits_MV[together.row_M == 1], alone.logits_MV, atol=1e-4, rtol=1e-4)


def test_answers_are_written_as_with_padding(folder):
    given = {"max_new_tokens": 5}
    written = []
    for unpadded in (True, False):
        model = language(folder, unpadded=unpadded).eval()
        asked = rows(model, [1, 0, 1])
        asked.pop("labels_BT")
        written.append(model.generate(**asked, **given))
    assert written[0] == written[1]


def test_only_a_t5_reads_without_padding(folder):
    assert language(folder).unpadded and not language(folder, unpadded=False).unpadded
    assert not can_read_unpadded(nn.Linear(2, 2))
