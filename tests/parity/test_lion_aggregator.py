"""The Vision Aggregator against recorded numbers of LION's authors, at the tolerances of the fixture's README."""

import torch
from torch.testing import assert_close

from tests.parity import lion_keys
from tests.parity.fixture import Fixture, for_each_fixture
from triscope.components.aggregator import AggregatorBridge, VisionAggregator

OUTPUTS = {"atol": 1e-4, "rtol": 1e-4}
GRADIENTS = {"atol": 1e-5, "rtol": 1e-3}


def recorded_aggregator(fixture: Fixture) -> VisionAggregator:
    sizes = fixture.config
    aggregator = VisionAggregator(
        sizes["dim"],
        blocks=sizes["num_blocks"],
        heads=sizes["num_heads"],
        feed_forward_width=sizes["intermediate_size"],
        dropout=sizes["hidden_dropout_prob"],
    )
    aggregator.load_state_dict(lion_keys.aggregator(fixture.under("weights/")))
    return aggregator.eval()


@for_each_fixture("lion", "vision_aggregator")
def test_every_step_of_every_block_is_the_authors(fixture):
    aggregator = recorded_aggregator(fixture)
    tokens = fixture["inputs/hidden_last"]
    memories = (fixture["inputs/memory_mid"], fixture["inputs/memory_early"])
    for index, (block, memory) in enumerate(zip(aggregator.blocks, memories, strict=True)):
        tokens = block.self_attention(tokens, tokens)
        assert_close(tokens, fixture[f"outputs/block{index}_self_attention"], **OUTPUTS)
        tokens = block.cross_attention(tokens, memory)
        assert_close(tokens, fixture[f"outputs/block{index}_cross_attention"], **OUTPUTS)
        tokens = block.feed_forward(tokens)
        assert_close(tokens, fixture[f"outputs/block{index}"], **OUTPUTS)


@for_each_fixture("lion", "vision_aggregator")
def test_the_aggregator_and_its_gradients_are_the_authors(fixture):
    names = ("hidden_last", "memory_mid", "memory_early")
    taps = [fixture[f"inputs/{name}"].clone().requires_grad_() for name in names]
    output = recorded_aggregator(fixture)(taps)
    assert_close(output, fixture["outputs/output"], **OUTPUTS)
    (output * fixture["inputs/cotangent"]).sum().backward()
    for name, tap in zip(names, taps, strict=True):
        assert_close(tap.grad, fixture[f"grads/inputs/{name}"], **GRADIENTS)


@for_each_fixture("lion", "vision_aggregator")
def test_gradients_of_the_weights_have_the_recorded_norms(fixture):
    aggregator = recorded_aggregator(fixture)
    output = aggregator([fixture[f"inputs/{name}"] for name in ("hidden_last", "memory_mid", "memory_early")])
    (output * fixture["inputs/cotangent"]).sum().backward()
    norms = {
        name.removeprefix("weights/"): torch.tensor(norm)
        for name, norm in fixture.description["grad_norms"].items()
        if "blocks." in name and not name.endswith("key.bias")  # a key's bias has none but rounding
    }
    for name, norm in lion_keys.aggregator(norms).items():
        assert_close(aggregator.get_parameter(name).grad.norm(), norm, **GRADIENTS, msg=lambda m, n=name: f"{n}: {m}")


@for_each_fixture("lion", "vision_aggregator")
def test_one_memory_can_serve_every_block(fixture):
    memory = fixture["inputs/memory_mid"]
    output = recorded_aggregator(fixture)([fixture["inputs/hidden_last"]] + [memory] * fixture.config["num_blocks"])
    assert_close(output, fixture["outputs/output_single_memory"], **OUTPUTS)


@for_each_fixture("lion", "lion_full")
def test_aggregator_tokens_are_the_authors_from_taps_to_language_model(fixture):
    weights, sizes = fixture.under("weights/"), fixture.config["aggregator"]
    taps = [fixture[f"outputs/vit_tap_{depth}"] for depth in ("last", "mid", "early")]
    rows, patches, vision_width = taps[0].shape
    bridge = AggregatorBridge(
        vision_width,
        fixture.config["t5"]["d_model"],
        patches,
        projector_width=fixture.config["adapter_proj_hidden"],
        blocks=sizes["num_blocks"],
        heads=sizes["num_heads"],
        feed_forward_width=sizes["intermediate_size"],
    ).eval()
    bridge.load_state_dict(lion_keys.ours(weights, "bridges.aggregator."))

    first = bridge.aggregator.blocks[0](taps[0], taps[1])
    assert_close(first, fixture["outputs/aggregator_block0"], **OUTPUTS)
    assert_close(bridge.aggregator(taps), fixture["outputs/aggregator"], **OUTPUTS)
    assert_close(bridge.norm(bridge.aggregator(taps)), fixture["outputs/ln_adapter"], **OUTPUTS)
    no_question = torch.zeros(rows, 0, dtype=torch.long)
    tokens = bridge(taps, torch.arange(rows), torch.arange(rows), no_question, no_question.bool())
    assert_close(tokens, fixture["outputs/visual_tokens_aggregator"], **OUTPUTS)
