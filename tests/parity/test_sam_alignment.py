"""Semantic alignment against recorded numbers of SAM's authors, and of the paper's wording for `others`."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from tests.parity import sam_keys
from tests.parity.fixture import Fixture, for_each_fixture
from triscope.components.alignment import SemanticAlignment
from triscope.components.qformer import QFormerBridge

OUTPUTS = {"atol": 2e-5, "rtol": 1e-4}


def sam_bridge(fixture: Fixture, **alignment) -> QFormerBridge:
    """The reference's Q-Former with alignment. Its recorded features stand behind the norm."""
    sizes = fixture.config["qformer"]
    bridge = QFormerBridge(
        sizes["vw"],
        fixture.config["llm_hidden"],
        fixture.config.get("P", 10),
        alignment=partial(SemanticAlignment, **alignment),
        queries=sizes["queries"],
        layers=sizes["layers"],
        hidden_width=sizes["hidden"],
        heads=sizes["heads"],
        feed_forward_width=sizes["inter"],
        vocabulary_size=sizes["vocab"],
        positions=sizes["maxpos"],
        cross_attention_every=sizes["freq"],
    )
    bridge.norm = nn.Identity()
    bridge.load_state_dict(sam_keys.qformer_bridge(fixture.under("weights/")))
    return bridge.eval()


def given(fixture: Fixture, features_BnPV: Tensor) -> tuple:
    """The recorded inputs as arguments of a bridge. Local letter: n images a row."""
    rows, images = features_BnPV.shape[:2]
    return (
        [features_BnPV.flatten(0, 1)],
        torch.arange(rows).repeat_interleave(images),
        torch.arange(rows * images),
        fixture["inputs/text_ids"],
        fixture["inputs/text_mask"].bool(),
    )


def check(bridge: QFormerBridge, fixture: Fixture, features_BnPV: Tensor, recorded: str) -> None:
    """What the queries read and the tokens of LLM width agree with a recorded run."""
    features_LIPV, pair_row_N, _, *question = arguments = given(fixture, features_BnPV)
    read = bridge.alignment(bridge.qformer, features_LIPV[0], pair_row_N, *question)
    assert_close(read.view_as(fixture[f"{recorded}/V"]), fixture[f"{recorded}/V"], **OUTPUTS)
    tokens = bridge(*arguments)
    assert_close(tokens.view_as(fixture[f"{recorded}/V_proj"]), fixture[f"{recorded}/V_proj"], **OUTPUTS)


@for_each_fixture("sam", "sam_alignment")
def test_the_adaptive_adjustment_is_the_authors(fixture):
    for images in fixture.config["n"]:
        bridge = sam_bridge(fixture, read_layer=fixture.config["l"], guide_layer=fixture.config["k"])
        features_BnPV = fixture[f"inputs/n{images}/I"]
        features_LIPV, pair_row_N, *_ = given(fixture, features_BnPV)
        alpha_BnP = fixture[f"outputs/n{images}/alpha"]
        reads_BN = bridge.alignment.streams(pair_row_N, rows=len(features_BnPV)).reads_RN
        share_BNP = bridge.alignment.shares(features_LIPV[0], reads_BN)
        assert_close(share_BNP[reads_BN].view_as(alpha_BnP), alpha_BnP, **OUTPUTS)
        assert_close(bridge.alignment.mixtures(features_LIPV[0], reads_BN), fixture[f"outputs/n{images}/I_hat"], **OUTPUTS)


@for_each_fixture("sam", "sam_alignment")
def test_tokens_of_one_two_and_three_images_are_the_authors(fixture):
    bridge = sam_bridge(fixture, read_layer=fixture.config["l"], guide_layer=fixture.config["k"])
    for images in fixture.config["n"]:
        check(bridge, fixture, fixture[f"inputs/n{images}/I"], f"outputs/n{images}")


@for_each_fixture("sam", "sam_alignment")
def test_without_alignment_they_are_plain_instructblip_s(fixture):
    bridge = sam_bridge(fixture, read_layer=fixture.config["l"], guide_layer=fixture.config["k"])
    bridge.projection, bridge.alignment = nn.Identity(), None
    for images in fixture.config["n"]:
        expected = fixture[f"outputs/n{images}/V_unguided"]
        found = bridge(*given(fixture, fixture[f"inputs/n{images}/I"]))
        assert_close(found.view_as(expected), expected, **OUTPUTS)


@for_each_fixture("sam", "sam_alignment")
def test_a_ragged_batch_has_the_authors_tokens_too(fixture):
    """The first row shows three images and the second two, as recorded apart."""
    bridge = sam_bridge(fixture, read_layer=fixture.config["l"], guide_layer=fixture.config["k"])
    features = torch.cat([fixture["inputs/n3/I"][0], fixture["inputs/n2/I"][1]])
    rows = torch.tensor([0, 0, 0, 1, 1])
    tokens = bridge([features], rows, torch.arange(5), fixture["inputs/text_ids"], fixture["inputs/text_mask"].bool())
    expected = torch.cat([fixture["outputs/n3/V_proj"][0], fixture["outputs/n2/V_proj"][1]])
    assert_close(tokens, expected, **OUTPUTS)


@for_each_fixture("sam", "sam_alignment")
def test_the_states_between_the_layers_are_the_authors(fixture):
    """Both streams enter and leave every layer as theirs do."""
    bridge = sam_bridge(fixture, read_layer=fixture.config["l"], guide_layer=fixture.config["k"])
    left: list[Tensor] = []
    for layer in bridge.qformer.layers:
        layer.register_forward_hook(lambda _, inputs, output: left.append(output))
    bridge(*given(fixture, fixture["inputs/n3/I"]))
    for layer, (linked, seen) in enumerate(zip(left[::2], left[1::2], strict=True), start=1):
        w_BnJh, q_BnJh = (fixture[f"intermediate/n3/{stream}_after_layer_{layer}"] for stream in ("w", "q"))
        one_a_row = layer < fixture.config["l"]
        assert_close(linked, w_BnJh[:, 0] if one_a_row else w_BnJh.flatten(0, 1), **OUTPUTS)
        assert_close(seen, q_BnJh.flatten(0, 1), **OUTPUTS)


@for_each_fixture("sam", "sam_alignment_lk")
def test_tokens_with_hooks_inside_the_stack_are_the_authors(fixture):
    recorded = [depths for depths in fixture.config["lk_1based"] if f"outputs/all_l{depths[0]}_k{depths[1]}/V" in fixture.tensors]
    assert len(recorded) >= 5
    for read_layer, guide_layer in recorded:
        bridge = sam_bridge(fixture, read_layer=read_layer, guide_layer=guide_layer)
        check(bridge, fixture, fixture["inputs/I"], f"outputs/all_l{read_layer}_k{guide_layer}")


@for_each_fixture("sam", "sam_alignment_lk")
@pytest.mark.parametrize("images", [1, 2, 3])
def test_tokens_with_the_other_images_as_context_are_those_of_the_paper_s_formula(fixture, images):
    features_BnPV = fixture["inputs/I"][:, :images]
    checked = 0
    for read_layer, guide_layer in fixture.config["lk_1based"]:
        recorded = f"outputs/formula_others_l{read_layer}_k{guide_layer}_n{images}"
        if f"{recorded}/V" in fixture.tensors:
            bridge = sam_bridge(fixture, read_layer=read_layer, guide_layer=guide_layer, context="others")
            check(bridge, fixture, features_BnPV, recorded)
            checked += 1
    assert checked >= 2
    features_LIPV, pair_row_N, *_ = given(fixture, features_BnPV)
    context_RPV = bridge.alignment.mixtures(features_LIPV[0], bridge.alignment.streams(pair_row_N, len(features_BnPV)).reads_RN)
    if images > 1:  # a lone image has none
        recorded_map = fixture[f"outputs/formula_others_n{images}/I_hat"]
        assert_close(context_RPV.view_as(recorded_map), recorded_map, **OUTPUTS)
