import pytest
import torch
from torch.testing import assert_close

from triscope.components.linear import LinearBridge

NO_QUESTION = torch.zeros(3, 0, dtype=torch.long), torch.zeros(3, 0, dtype=torch.bool)
NO_PAIR = torch.empty(0, dtype=torch.long)


@pytest.mark.parametrize(("keep", "tokens"), [(False, 4), (True, 5)])
def test_each_patch_of_the_deepest_tap_becomes_one_token(keep, tokens):
    bridge = LinearBridge(6, 10, 5, keep_class_token=keep)
    deepest, shallower = torch.randn(2, 5, 6), torch.randn(2, 5, 6)
    output = bridge([deepest, shallower], torch.arange(3), torch.tensor([1, 0, 1]), *NO_QUESTION)
    assert bridge.tokens == tokens
    assert_close(output, bridge.projection(deepest[[1, 0, 1], 5 - tokens :]))


def test_six_rows_about_one_image_compute_it_once():
    bridge, seen = LinearBridge(6, 10, 5), []
    bridge.projection.register_forward_hook(lambda _, inputs, output: seen.append(len(output)))
    bridge([torch.randn(1, 5, 6)], torch.arange(6), torch.zeros(6, dtype=torch.long), *NO_QUESTION)
    assert seen == [1]


@pytest.mark.parametrize("images", [0, 2])
def test_no_pairs_give_no_tokens_and_zero_gradients(images):
    bridge = LinearBridge(6, 10, 5)
    output = bridge([torch.randn(images, 5, 6)], NO_PAIR, NO_PAIR, *NO_QUESTION)
    assert output.shape == (0, 4, 10)
    output.sum().backward()
    assert all(parameter.grad.eq(0).all() for parameter in bridge.parameters())
