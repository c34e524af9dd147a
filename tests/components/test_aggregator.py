import pytest
import torch
from torch.testing import assert_close

from triscope.components.aggregator import AggregatorBridge, VisionAggregator

SIZES = {"heads": 4, "feed_forward_width": 24}


def features(images: int, patches: int = 17, taps: int = 3) -> list[torch.Tensor]:
    return [torch.randn(images, patches, 16) for _ in range(taps)]


def no_question(pairs: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(pairs, 0, dtype=torch.long), torch.zeros(pairs, 0, dtype=torch.bool)


def stirred(module: torch.nn.Module) -> torch.nn.Module:
    """The module in evaluation mode with nothing at zero."""
    for parameter in module.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    return module.eval()


def test_it_starts_as_a_chain_of_layer_norms():
    taps = features(2)
    expected = taps[0]
    for _ in range(6):
        expected = torch.nn.functional.layer_norm(expected, (16,), eps=1e-12)
    for mode in (True, False):
        assert_close(VisionAggregator(16, **SIZES).train(mode)(taps), expected)


def test_every_linear_starts_at_bert_values_except_the_outputs_of_residual_branches():
    aggregator = VisionAggregator(64, **SIZES)
    for name, parameter in aggregator.named_parameters():
        if name.endswith("bias") or "output" in name:
            assert parameter.eq(0).all(), name
        elif "norm" in name:
            assert parameter.eq(1).all(), name
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.1), name


def test_block_i_reads_tap_i_plus_one():
    torch.manual_seed(0)
    aggregator, taps = stirred(VisionAggregator(16, **SIZES)), features(1)
    by_hand = aggregator.blocks[1](aggregator.blocks[0](taps[0], taps[1]), taps[2])
    assert_close(aggregator(taps), by_hand)
    assert not torch.allclose(aggregator(taps), aggregator([taps[0], taps[2], taps[1]]), atol=1e-2)


def test_its_size_at_paper_scale():
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in VisionAggregator(1408).parameters())
    assert round(parameters / 1e6, 2) == 49.07


def test_the_wrong_number_of_taps_is_told():
    with pytest.raises(ValueError, match="2 blocks reads 3 tapped layers, found 2"):
        VisionAggregator(16, **SIZES)(features(1, taps=2))


def test_heads_that_do_not_divide_the_width_are_told():
    with pytest.raises(ValueError, match="found 5 heads, width 16"):
        VisionAggregator(16, heads=5)


def test_dropout_acts_in_training_only():
    aggregator, taps = stirred(VisionAggregator(16, **SIZES)), features(1)
    assert_close(aggregator(taps), aggregator(taps))
    aggregator.train()
    assert not torch.allclose(aggregator(taps), aggregator(taps))


def test_gradients_agree_with_finite_differences():
    torch.manual_seed(0)
    aggregator = stirred(VisionAggregator(4, heads=2, feed_forward_width=6).double())
    taps = [torch.randn(1, 3, 4, dtype=torch.double, requires_grad=True) for _ in range(3)]
    assert torch.autograd.gradcheck(lambda *taps: aggregator(taps), taps)


def test_a_pairs_tokens_do_not_depend_on_its_batch():
    torch.manual_seed(0)
    bridge, taps = stirred(AggregatorBridge(16, 12, 17, **SIZES)), features(3)
    together = bridge(taps, torch.arange(3), torch.tensor([2, 0, 2]), *no_question(3))
    alone = bridge([tap[2:] for tap in taps], torch.tensor([0]), torch.tensor([0]), *no_question(1))
    assert together.shape == (3, bridge.tokens, 12)
    assert_close(together[0], alone[0])
    assert_close(together[2], alone[0])


def test_six_rows_about_one_image_compute_it_once():
    bridge, seen = AggregatorBridge(16, 12, 17, **SIZES), []
    for part in (bridge.aggregator, bridge.projector):
        part.register_forward_hook(lambda _, inputs, output: seen.append(len(output)))
    bridge(features(1), torch.arange(6), torch.zeros(6, dtype=torch.long), *no_question(6))
    assert seen == [1, 1]


@pytest.mark.parametrize("images", [0, 2])
def test_no_pairs_give_no_tokens_and_zero_gradients(images):
    bridge = AggregatorBridge(16, 12, 17, **SIZES)
    no_pair = torch.empty(0, dtype=torch.long)
    tokens = bridge(features(images), no_pair, no_pair, *no_question(0))
    assert tokens.shape == (0, bridge.tokens, 12)
    tokens.sum().backward()
    assert all(parameter.grad.eq(0).all() for parameter in bridge.parameters())


def test_it_runs_under_bfloat16_autocast():
    torch.manual_seed(0)
    bridge, taps = stirred(AggregatorBridge(16, 12, 17, **SIZES)), features(2)
    exact = bridge(taps, torch.arange(2), torch.arange(2), *no_question(2))
    with torch.autocast("cpu", torch.bfloat16):
        short = bridge(taps, torch.arange(2), torch.arange(2), *no_question(2))
    assert torch.nn.functional.cosine_similarity(exact.flatten(), short.float().flatten(), 0) > 0.999
