"""Rows that stand one behind the other, behind what they share, give the losses and gradients of rows that are padded."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from tests.tiny_model import awake
from triscope.components.language import IGNORED_LABEL, LanguageModel
from triscope.components.unpadded_causal import SharedPrefix, alike, can_read_unpadded, without_padding

SIZES = {"vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
SHARED = 3
LENGTHS = [9, 6, 7, 8, 5]
PREFIXES = torch.tensor([1, 0, 2, 0, 2])  # rows 1 and 3 begin alike, and rows 2 and 4
LEVELS = torch.tensor([0, 1, 0, 1, 0])


@pytest.fixture(scope="module", params=[4, 2], ids=["all heads have keys", "heads share keys"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("llama")
    LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=request.param, initializer_range=0.2)).save_pretrained(path)
    return path


def language(folder: Path, **options: object) -> LanguageModel:
    """With adapters and routers that matter."""
    return awake(LanguageModel(str(folder), **options).train())


def rows(model: LanguageModel) -> dict[str, Tensor]:
    """Rows that end in answers of 2 tokens."""
    ids_BT = torch.randint(3, 61, (len(LENGTHS), max(LENGTHS)), generator=torch.Generator().manual_seed(5))
    ids_BT[:, :SHARED] = ids_BT[PREFIXES, :SHARED]
    place_T, length_B1 = torch.arange(max(LENGTHS)), torch.tensor(LENGTHS)[:, None]
    valid_BT = place_T < length_B1
    labels_BT = ids_BT.masked_fill(~valid_BT | (place_T < length_B1 - 2), IGNORED_LABEL)
    embeddings_BTD = model.embed(ids_BT).detach().requires_grad_()
    return {"embeddings_BTD": embeddings_BTD, "valid_BT": valid_BT, "labels_BT": labels_BT, "level_B": LEVELS}


def shared(*lengths: int) -> SharedPrefix:
    """Each prefix is read in another row than the first that has it."""
    return SharedPrefix(torch.tensor(lengths or [SHARED] * 3), torch.tensor([3, 0, 4]), PREFIXES)


DIFFERENT = SHARED, 0, SHARED - 1
PREFIXED = {"nothing shared": None, "shared": shared(), "more and less shared": shared(*DIFFERENT)}


@pytest.fixture(params=PREFIXED.values(), ids=PREFIXED.keys())
def prefix(request: pytest.FixtureRequest) -> SharedPrefix | None:
    return request.param


def test_in_bfloat16_the_predictions_are_those_of_float32_to_its_three_digits(folder, prefix):
    model = language(folder)
    given = rows(model)
    exact = model(**given, shared_prefix=prefix)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(**given, shared_prefix=prefix)
    error = (rounded.logits_MV.float() - exact.logits_MV).abs().max()
    assert 0 < error < 0.03 * exact.logits_MV.abs().max()


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_leaving_padding_out_changes_neither_predictions_nor_gradients(folder, prefix, checkpointing, attention):
    found = []
    for unpadded in (True, False):
        options = {"activation_checkpointing": checkpointing, "attention": attention} if unpadded else {}
        model = language(folder, unpadded=unpadded, **options)
        given = rows(model)
        predictions = model(**given, shared_prefix=prefix)
        predictions.logits_MV.logsumexp(-1).sum().backward()
        gradient_BTD = given["embeddings_BTD"].grad
        if prefix is not None:  # what is shared has one gradient, for all rows
            for number, length in enumerate(prefix.length_U.tolist()):
                rows_with_it = PREFIXES.eq(number)
                gradient_BTD[rows_with_it, :length] = gradient_BTD[rows_with_it, :length].sum(0)
        trained = {name: tensor.grad for name, tensor in model.named_parameters() if tensor.grad is not None}
        found.append((*predictions, gradient_BTD, trained))
    compact, padded = found
    assert compact[4].keys() == padded[4].keys() and compact[4]
    for mine, theirs in zip(compact, padded, strict=True):
        assert_close(mine, theirs, atol=1e-4, rtol=1e-3)


def test_a_row_reads_neither_its_neighbours_nor_what_is_behind(folder):
    model = language(folder)
    given = rows(model)
    usual = model(**given, shared_prefix=shared())
    changed = given["embeddings_BTD"].detach().clone()
    changed[3, SHARED:] = 9.0
    changed[1, LENGTHS[1] - 1] = 9.0  # the last token, from which nothing is predicted
    found = model(**{**given, "embeddings_BTD": changed}, shared_prefix=shared())
    others_M = usual.row_M != 3
    assert_close(found.logits_MV[others_M], usual.logits_MV[others_M], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found.logits_MV[~others_M], usual.logits_MV[~others_M])


def test_the_model_reads_each_token_once_and_no_padding(folder):
    given = rows(language(folder))
    tensors = given["embeddings_BTD"], given["valid_BT"], given["level_B"]
    assert len(without_padding(*tensors, None).embeddings_ED) == sum(LENGTHS)
    uneven = without_padding(*tensors, shared(*DIFFERENT))
    assert len(uneven.embeddings_ED) == sum(LENGTHS) - 2 * sum(DIFFERENT) + 3 * SHARED  # places for the longest of each
    compact = without_padding(*tensors, shared())
    assert len(compact.embeddings_ED) == sum(LENGTHS) - 2 * SHARED == sum(compact.lengths)
    for row, length in enumerate(LENGTHS):
        place_T = compact.place_BT[row, :length]
        assert_close(compact.embeddings_ED[place_T], given["embeddings_BTD"][row, :length])
        assert compact.position_E[place_T].tolist() == list(range(length))
    levels = [level for level, _ in zip(*torch.unique_consecutive(compact.level_C, return_counts=True), strict=True)]
    assert levels == [0, 1, 0, 1]  # prefixes, then rows, those of a level side by side


def test_rows_are_read_side_by_side_with_those_of_about_their_length(folder):
    assert alike([9, 3, 8, 2, 6]) == [[0, 2, 4], [1, 3]]
    given = rows(language(folder))
    compact = without_padding(given["embeddings_BTD"], given["valid_BT"], given["level_B"], shared())
    assert [group.place_GR.shape for group in compact.rows.groups] == [(4, 9 - SHARED), (1, 5 - SHARED)]


def test_a_model_that_forgets_what_is_far_behind_is_read_with_padding():
    sizes = {**SIZES, "num_key_value_heads": 4}
    assert can_read_unpadded(LlamaForCausalLM(LlamaConfig(**sizes)))
    assert not can_read_unpadded(MistralForCausalLM(MistralConfig(**sizes, sliding_window=4)))
    assert can_read_unpadded(MistralForCausalLM(MistralConfig(**sizes, sliding_window=None)))
