"""Adapters, routing and the T5 with adapters against the recorded numbers of the reference LION."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.parity import lion_keys
from tests.parity.fixture import Fixture, for_each_fixture
from triscope.components.adapters import AdapterMixture
from triscope.components.language import IGNORED_LABEL, LanguageModel, TokenPredictions

LEVELS = ("region", "image")  # adapter 0 and router row 0 of the reference are the region level
OUTPUTS = {"rtol": 1e-4, "atol": 1e-4}
GRADIENTS = {"rtol": 1e-3, "atol": 1e-5}
both_levels = pytest.mark.parametrize("level", LEVELS)


def language_model(fixture: Fixture, folder: Path, levels: tuple[str, ...] = LEVELS) -> LanguageModel:
    """The reference's T5 and the adapters of `levels`, the first of them holding adapter 0."""
    (folder / "config.json").write_text(json.dumps({"model_type": "t5", **fixture.config["t5"]}))
    exact_gelu = {"dense_act_fn": fixture.config["t5"]["dense_act_fn"]}
    bottleneck = fixture.config["adapter"]["bottleneck"]
    language = LanguageModel(str(folder), adapter_bottleneck=bottleneck, levels=levels, config_overrides=exact_gelu)
    language.load_state_dict(lion_keys.language_model(fixture.under("weights/"), levels))
    return language.eval()


def predict(language: LanguageModel, fixture: Fixture, embeddings_BTD: Tensor, mask_BT: Tensor, level: str) -> TokenPredictions:
    """Encoder input and answer joined into rows, as the data of this project is laid out."""
    answer_ids_BA, labels_BA = fixture["inputs/output_ids"], fixture["inputs/labels"]
    unsupervised_BT = torch.full_like(mask_BT, IGNORED_LABEL)
    return language(
        torch.cat([embeddings_BTD, language.embed(answer_ids_BA)], dim=1),
        torch.cat([mask_BT, fixture["inputs/output_attention_mask"]], dim=1).bool(),
        torch.cat([unsupervised_BT, labels_BA], dim=1),
        torch.full((len(mask_BT),), LEVELS.index(level)),
    )


def check_predictions(predictions: TokenPredictions, fixture: Fixture, run: str) -> Tensor:
    """Logits, loss and loss of each row agree with a recorded run. Returns the loss."""
    supervised_BA = fixture["inputs/labels"] != IGNORED_LABEL
    torch.testing.assert_close(predictions.logits_MV, fixture[f"outputs/{run}/logits"][supervised_BA], **OUTPUTS)
    losses_M = nn.functional.cross_entropy(predictions.logits_MV, predictions.targets_M, reduction="none")
    torch.testing.assert_close(losses_M.mean(), fixture[f"outputs/{run}/loss"], rtol=0, atol=1e-5)
    losses_B = torch.zeros(len(supervised_BA)).index_add(0, predictions.row_M, losses_M)
    torch.testing.assert_close(losses_B, fixture[f"outputs/{run}/nll_sum_per_sample"], **OUTPUTS)
    return losses_M.mean()


@for_each_fixture("lion", "adapter_router")
@both_levels
def test_adapters_and_router_agree_with_the_reference(fixture, level):
    x_BTD, index = fixture["inputs/x"].clone().requires_grad_(), LEVELS.index(level)
    level_B = torch.full((len(x_BTD),), index)
    mixture = AdapterMixture(fixture.config["d_model"], LEVELS, fixture.config["bottleneck"])
    mixture.load_state_dict(lion_keys.mixture(fixture.under("weights/router.")))

    for name, adapter in zip(("adapter0", "adapter1"), mixture.adapters.values(), strict=True):
        torch.testing.assert_close(adapter(x_BTD), fixture[f"outputs/{name}"], **OUTPUTS)
    mixed_BTD = mixture(x_BTD, level_B)
    torch.testing.assert_close(mixed_BTD, fixture[f"outputs/router/idx{index}"], **OUTPUTS)

    mixed_BTD.square().sum().backward()
    recorded = fixture.under(f"grads/idx{index}/")
    torch.testing.assert_close(x_BTD.grad, recorded.pop("x"), **GRADIENTS)
    gradients = {name: parameter.grad for name, parameter in mixture.named_parameters()}
    torch.testing.assert_close(gradients, lion_keys.mixture(recorded), **GRADIENTS)
    for routing in mixture.router.values():
        assert not routing.grad[1 - index].any()

    mixture.keep_levels(["region"])
    torch.testing.assert_close(mixture(x_BTD, level_B), fixture[f"outputs/single/idx{index}"], **OUTPUTS)


@for_each_fixture("lion", "lion_full")
@both_levels
def test_the_language_model_agrees_with_the_reference(fixture, level, tmp_path):
    language = language_model(fixture, tmp_path)
    embeddings_BTD, mask_BT = fixture["outputs/encoder_inputs_embeds"], fixture["inputs/encoder_attention_mask"]
    encoded = []  # rows one behind the other, without padding
    language.model.encoder.final_layer_norm.register_forward_hook(lambda norm, inputs, output: encoded.append(output[0]))

    loss = check_predictions(predict(language, fixture, embeddings_BTD, mask_BT, level), fixture, f"{level}_level")
    expected_BTD = fixture[f"outputs/{level}_level/encoder_last_hidden"]
    torch.testing.assert_close(encoded[0], expected_BTD[mask_BT.bool()], **OUTPUTS)

    loss.backward()
    gradients = {name: parameter.grad for name, parameter in language.named_parameters() if parameter.requires_grad}
    recorded = fixture.under(f"grads/{level}_level/")
    recorded = lion_keys.language_model(recorded)
    assert recorded
    torch.testing.assert_close({name: gradients[name] for name in recorded}, recorded, **GRADIENTS)


@for_each_fixture("lion", "lion_full")
@both_levels
@pytest.mark.parametrize(
    ("run", "options"),
    [
        ("generated_greedy", {}),
        ("generated_beam5_rep1.5", {"beams": 5, "repetition_penalty": 1.5, "length_penalty": 1.0}),
    ],
)
def test_the_language_model_writes_what_the_reference_writes(fixture, level, run, options, tmp_path):
    language = language_model(fixture, tmp_path)
    mask_BT = fixture["inputs/encoder_attention_mask"]
    written = language.generate(
        fixture["outputs/encoder_inputs_embeds"],
        mask_BT.bool(),
        torch.full((len(mask_BT),), LEVELS.index(level)),
        max_new_tokens=fixture.config["generation"]["max_new_tokens"],
        **options,
    )
    end, padding = fixture.config["t5"]["eos_token_id"], fixture.config["t5"]["pad_token_id"]
    recorded = fixture[f"outputs/{level}_level/{run}"].tolist()
    assert written == [[token for token in ids if token not in (end, padding)] for ids in recorded]


@for_each_fixture("lion", "lion_full")
@pytest.mark.parametrize(("level", "run"), [("image", "qformer_only"), ("region", "aggregator_only")])
def test_a_single_branch_agrees_with_the_reference(fixture, level, run, tmp_path):
    language = language_model(fixture, tmp_path, levels=(level,))
    embeddings_BTD = fixture[f"outputs/{run}/encoder_inputs_embeds"]
    predictions = predict(language, fixture, embeddings_BTD, fixture[f"outputs/{run}/encoder_attention_mask"], level)
    check_predictions(predictions, fixture, run)
