import pytest
import torch
from torch.testing import assert_close

from triscope.components.qformer import QFormer, QFormerBridge

SIZES = {
    "queries": 4,
    "layers": 3,
    "hidden_width": 12,
    "heads": 3,
    "feed_forward_width": 20,
    "vocabulary_size": 30,
    "positions": 8,
}
ROWS = torch.arange(3)
IMAGES = torch.tensor([0, 1, 1])
QUESTIONS = torch.tensor([[5, 6, 7, 8], [9, 5, 0, 0], [0, 0, 0, 0]])
VALID = torch.arange(4) < torch.tensor([[4], [2], [0]])


def stirred_bridge(**changes) -> QFormerBridge:
    """A tiny bridge in evaluation mode with nothing at zero."""
    torch.manual_seed(0)
    bridge = QFormerBridge(16, 10, 7, **SIZES | changes)
    for parameter in bridge.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    return bridge.eval()


def features(images: int = 2) -> list[torch.Tensor]:
    return [torch.randn(images, 7, 16)]


def test_a_pairs_tokens_do_not_depend_on_its_batch_nor_on_its_padding():
    bridge, taps = stirred_bridge(), features()
    together = bridge(taps, ROWS, IMAGES, QUESTIONS, VALID)
    assert together.shape == (3, bridge.tokens, 10)
    for pair, length in enumerate((4, 2, 0)):
        image = [taps[0][IMAGES[pair]][None]]
        question = QUESTIONS[pair : pair + 1, :length], VALID[pair : pair + 1, :length]
        alone = bridge(image, torch.tensor([0]), torch.tensor([0]), *question)
        assert_close(together[pair], alone[0], atol=1e-5, rtol=1e-5)


def test_what_stands_in_the_padding_is_never_read():
    bridge, taps = stirred_bridge(), features()
    other = torch.where(VALID, QUESTIONS, 17)
    assert_close(bridge(taps, ROWS, IMAGES, QUESTIONS, VALID), bridge(taps, ROWS, IMAGES, other, VALID))


def test_the_question_changes_what_is_read_and_so_does_the_image():
    bridge, taps = stirred_bridge(), features()
    tokens = bridge(taps, ROWS, torch.tensor([0, 0, 1]), QUESTIONS[[0, 1, 0]], VALID[[0, 1, 0]])
    assert not torch.allclose(tokens[0], tokens[1], atol=1e-2)
    assert not torch.allclose(tokens[0], tokens[2], atol=1e-2)


def test_the_order_of_the_questions_words_counts():
    bridge, taps = stirred_bridge(), features(1)
    first, valid = torch.tensor([0]), torch.ones(1, 3, dtype=torch.bool)
    forward, backward = (bridge(taps, first, first, torch.tensor([ids]), valid) for ids in ([5, 6, 7], [7, 6, 5]))
    assert not torch.allclose(forward, backward, atol=1e-2)


@pytest.mark.parametrize("question_aware", [True, False])
def test_without_a_question_six_rows_about_one_image_compute_it_once(question_aware):
    bridge, seen = stirred_bridge(question_aware=question_aware), []
    bridge.qformer.register_forward_hook(lambda _, inputs, output: seen.append(len(output)))
    ids = torch.zeros(6, 0 if question_aware else 4, dtype=torch.long)
    tokens = bridge(features(1), torch.arange(6), torch.zeros(6, dtype=torch.long), ids, ids.bool())
    assert (seen, len(tokens)) == ([1], 6)


def test_an_image_is_normalised_once_whoever_asks_about_it():
    bridge, seen = stirred_bridge(), []
    bridge.norm.register_forward_hook(lambda _, inputs, output: seen.append(len(output)))
    bridge(features(1), ROWS, torch.zeros(3, dtype=torch.long), QUESTIONS, VALID)
    assert seen == [1]


def test_a_bridge_that_is_not_question_aware_neither_reads_questions_nor_has_weights_for_them():
    bridge, taps = stirred_bridge(question_aware=False), features()
    assert_close(bridge(taps, ROWS, IMAGES, QUESTIONS, VALID), bridge(taps, ROWS, IMAGES, QUESTIONS.flip(0), VALID.flip(0)))
    bridge(taps, ROWS, IMAGES, QUESTIONS, VALID).sum().backward()
    assert all(parameter.grad is not None for parameter in bridge.parameters())


@pytest.mark.parametrize(("pairs", "images", "length"), [(3, 2, 4), (3, 2, 0), (0, 2, 4), (0, 2, 0), (0, 0, 4), (0, 0, 0)])
def test_every_weight_has_a_gradient_in_every_kind_of_batch_and_no_pairs_give_no_tokens(pairs, images, length):
    bridge = stirred_bridge()
    tokens = bridge(features(images), ROWS[:pairs], IMAGES[:pairs], QUESTIONS[:pairs, :length], VALID[:pairs, :length])
    assert tokens.shape == (pairs, bridge.tokens, 10)
    tokens.square().sum().backward()
    assert all(parameter.grad is not None for parameter in bridge.parameters())
    if pairs == 0:
        assert all(parameter.grad.eq(0).all() for parameter in bridge.parameters())


def test_gradients_agree_with_finite_differences():
    bridge = stirred_bridge().double()
    taps = torch.randn(2, 3, 16, dtype=torch.double, requires_grad=True)
    queries = bridge.qformer.queries_Qh
    assert torch.autograd.gradcheck(lambda taps, _: bridge([taps], ROWS, IMAGES, QUESTIONS, VALID), (taps, queries))


def test_a_question_longer_than_its_positions_is_told():
    ids = torch.ones(1, 9, dtype=torch.long)
    with pytest.raises(ValueError, match="at most 8 tokens, found 9"):
        stirred_bridge()(features(1), torch.tensor([0]), torch.tensor([0]), ids, ids.bool())


def test_only_every_nth_layer_reads_the_image():
    qformer = QFormer(16, **SIZES | {"layers": 5, "cross_attention_every": 3})
    assert [layer.has_cross_attention for layer in qformer.layers] == [True, False, False, True, False]


def test_it_starts_at_bert_values():
    qformer = QFormer(64, **SIZES | {"hidden_width": 48, "queries": 32})
    for name, parameter in qformer.named_parameters():
        if "norm" in name.lower():
            assert parameter.eq(1 if name.endswith("weight") else 0).all(), name
        elif name.endswith("bias"):
            assert parameter.eq(0).all(), name
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.15), name


def test_dropout_acts_in_training_only():
    bridge, taps = stirred_bridge(), features()
    assert_close(bridge(taps, ROWS, IMAGES, QUESTIONS, VALID), bridge(taps, ROWS, IMAGES, QUESTIONS, VALID))
    bridge.train()
    assert not torch.allclose(bridge(taps, ROWS, IMAGES, QUESTIONS, VALID), bridge(taps, ROWS, IMAGES, QUESTIONS, VALID))


def test_its_size_at_paper_scale():
    with torch.device("meta"):
        bridge = QFormerBridge(1408, 2048, 257)
    assert bridge.tokens == 32
    assert round(sum(parameter.numel() for parameter in bridge.parameters()) / 1e6, 2) == 187.26


def test_it_runs_under_bfloat16_autocast():
    bridge, taps = stirred_bridge(), features()
    exact = bridge(taps, ROWS, IMAGES, QUESTIONS, VALID)
    with torch.autocast("cpu", torch.bfloat16):
        short = bridge(taps, ROWS, IMAGES, QUESTIONS, VALID)
    assert torch.nn.functional.cosine_similarity(exact.flatten(), short.float().flatten(), 0) > 0.999
