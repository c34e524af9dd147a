"""Properties T1 to T8 of semantic alignment; the authors' numbers are in tests/parity/test_sam_alignment.py."""

from collections.abc import Sequence
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from triscope.components.alignment import SemanticAlignment
from triscope.components.qformer import QFormerBridge

V, D, P = 16, 10, 7
SIZES = {"queries": 4, "layers": 4, "hidden_width": 12, "heads": 3, "feed_forward_width": 20, "vocabulary_size": 30}
LAST = {"read_layer": 4, "guide_layer": 4}
LINKS = ("into_context", "from_context")
every_context = pytest.mark.parametrize("context", ["all", "others"])
every_depth = pytest.mark.parametrize(("read_layer", "guide_layer"), [(4, 4), (2, 3), (1, 4), (3, 3), (1, 1)])


def bridge_with(stir: bool = True, dropout: float = 0.0, **options) -> QFormerBridge:
    """A tiny bridge with alignment, nothing in it at zero unless it is as initialised."""
    torch.manual_seed(0)
    bridge = QFormerBridge(V, D, P, alignment=partial(SemanticAlignment, **LAST | options), dropout=dropout, **SIZES)
    for parameter in bridge.parameters() if stir else bridge.qformer.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    return bridge


def plain_of(bridge: QFormerBridge) -> QFormerBridge:
    """The same bridge without alignment."""
    plain = QFormerBridge(V, D, P, dropout=0.0, **SIZES)
    plain.load_state_dict({name: value for name, value in bridge.state_dict().items() if not name.startswith("alignment.")})
    return plain


class Given:
    """Rows with some numbers of images each and questions of different lengths."""

    def __init__(self, *images: int, dtype: torch.dtype = torch.float32) -> None:
        torch.manual_seed(sum(images))
        self.images, total = images, sum(images)
        self.features_LIPV = [torch.randn(total, P, V, dtype=dtype)]
        self.pair_row_N = torch.tensor([row for row, count in enumerate(images) for _ in range(count)], dtype=torch.long)
        self.pair_image_N = torch.arange(total)
        self.question_ids_BS = torch.randint(1, 30, (len(images), 5))
        self.question_valid_BS = torch.arange(5) < torch.arange(2, 2 + len(images))[:, None].clamp(max=5)

    def __iter__(self):
        return iter((self.features_LIPV, self.pair_row_N, self.pair_image_N, self.question_ids_BS, self.question_valid_BS))

    def row(self, row: int) -> Sequence:
        """One row alone, its question without padding."""
        mine_N = self.pair_row_N == row
        length = int(self.question_valid_BS[row].sum())
        return (
            [self.features_LIPV[0][mine_N]],
            torch.zeros(self.images[row], dtype=torch.long),
            torch.arange(self.images[row]),
            self.question_ids_BS[row : row + 1, :length],
            self.question_valid_BS[row : row + 1, :length],
        )


def gradients(bridge: QFormerBridge, given: Given) -> dict[str, Tensor]:
    bridge.zero_grad()
    torch.manual_seed(1)
    tokens = bridge(*given)
    (tokens * torch.randn_like(tokens)).sum().backward()
    return {name: parameter.grad for name, parameter in bridge.alignment.named_parameters()}


# What it computes -----------------------------------------------------------------------------------------------------


@every_context
@pytest.mark.parametrize("images", [1, 2, 3, 9])
def test_as_initialised_it_is_the_plain_q_former_to_the_bit(context, images):
    """T1, whatever the adjustment is."""
    bridge = bridge_with(stir=False, context=context)
    given = Given(images)
    assert torch.equal(bridge(*given), plain_of(bridge)(*given))
    torch.nn.init.normal_(bridge.alignment.adjustment.weight)
    assert torch.equal(bridge(*given), plain_of(bridge)(*given))


@every_context
@every_depth
def test_a_batch_is_its_rows_run_alone(context, read_layer, guide_layer):
    """T8: rows of 0 to 9 images, with questions of different lengths."""
    bridge = bridge_with(context=context, read_layer=read_layer, guide_layer=guide_layer)
    given = Given(3, 1, 0, 9, 2)
    together = bridge(*given)
    for row, images in enumerate(given.images):
        alone = bridge(*given.row(row))
        assert len(alone) == images
        assert_close(together[given.pair_row_N == row], alone, atol=1e-5, rtol=1e-5)


@every_context
@every_depth
def test_images_in_another_order_give_the_same_tokens_in_that_order(context, read_layer, guide_layer):
    """T4: nothing tells the place of an image."""
    bridge = bridge_with(context=context, read_layer=read_layer, guide_layer=guide_layer)
    given, order = Given(4), torch.tensor([2, 0, 3, 1])
    tokens = bridge(*given)
    given.pair_image_N = order
    assert_close(bridge(*given), tokens[order], atol=1e-5, rtol=1e-5)


@every_context
@every_depth
def test_the_other_images_of_a_row_change_what_is_read_of_an_image(context, read_layer, guide_layer):
    bridge = bridge_with(context=context, read_layer=read_layer, guide_layer=guide_layer)
    given = Given(3, 2)
    before = bridge(*given)
    given.features_LIPV[0][1] = torch.randn(P, V)
    after = bridge(*given)
    changed_N = (after - before).abs().amax((1, 2)) > 1e-3
    assert changed_N.tolist() == [True, True, True, False, False]


def test_a_lone_image_among_others_is_not_guided():
    """T6: it has no context, and nothing is undefined."""
    bridge = bridge_with(context="others")
    given = Given(1)
    assert_close(bridge(*given), plain_of(bridge)(*given), atol=1e-6, rtol=1e-6)


def test_a_lone_image_among_all_guides_itself():
    bridge = bridge_with(context="all")
    given = Given(1)
    assert (bridge(*given) - plain_of(bridge)(*given)).abs().max() > 1e-2


@every_context
def test_shares_sum_to_one_over_the_images_of_a_context(context):
    bridge = bridge_with(context=context)
    given = Given(3, 1, 2)
    reads_RN = bridge.alignment.streams(given.pair_row_N, rows=3).reads_RN
    share_RNP = bridge.alignment.shares(given.features_LIPV[0], reads_RN)
    assert (share_RNP[~reads_RN] == 0).all() and (share_RNP[reads_RN] > 0).all()
    assert_close(share_RNP.sum(1), reads_RN.any(1)[:, None].expand(-1, P).float())
    assert reads_RN.any(1).tolist() == ([True] * 3 if context == "all" else [True] * 3 + [False] + [True] * 2)


# What it costs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("context", "streams"), [("all", [2, 2, 5, 5]), ("others", [5, 5, 5, 5])])
def test_a_context_that_is_one_for_the_row_has_one_stream_up_to_the_layer_that_reads(context, streams):
    bridge, seen = bridge_with(context=context, read_layer=3, guide_layer=4), []
    for layer in bridge.qformer.layers:
        layer.register_forward_hook(lambda _, inputs, output: seen.append(len(output)))
    bridge(*Given(3, 2))
    assert seen[::2] == streams and seen[1::2] == [5, 5, 5, 5]


# How it learns --------------------------------------------------------------------------------------------------------


@every_context
def test_at_the_first_step_only_the_link_back_learns_and_then_all_do(context):
    """T2."""
    bridge, given = bridge_with(stir=False, context=context), Given(3, 4)
    optimizer = torch.optim.SGD(bridge.alignment.parameters(), lr=1.0)
    first = gradients(bridge, given)
    learned = {name for name, gradient in first.items() if gradient.any()}
    assert learned == {"from_context.weight", "from_context.bias"}
    optimizer.step()
    second = gradients(bridge, given)
    assert {name for name, gradient in second.items() if gradient.abs().max() > 1e-6} == set(second) - {"adjustment.bias"}


@every_context
def test_the_bias_of_the_adjustment_cancels_out(context):
    """T3."""
    found = gradients(bridge_with(context=context), Given(3, 4))
    assert found["adjustment.bias"].abs().max() < 1e-5 < found["adjustment.weight"].abs().max()


@pytest.mark.parametrize(("context", "images", "learns"), [("others", 2, False), ("others", 3, True), ("all", 2, True)])
def test_of_two_images_each_is_the_other_s_whole_context(context, images, learns):
    """T6: nothing is left to adjust."""
    found = gradients(bridge_with(context=context), Given(images))["adjustment.weight"]
    assert (found.abs().max() > 1e-4) == learns and found.isfinite().all()


@every_context
@every_depth
def test_gradients_agree_with_finite_differences(context, read_layer, guide_layer):
    """T5: the sums leave what the backward pass needs as it was."""
    bridge = bridge_with(context=context, read_layer=read_layer, guide_layer=guide_layer).double()
    given = Given(2, 1, dtype=torch.double)
    trained = tuple(bridge.alignment.parameters())
    assert torch.autograd.gradcheck(lambda *_: bridge(*given), trained, fast_mode=True)


@every_context
@pytest.mark.parametrize("images", [(), (0, 0), (1,), (3, 1)])
def test_every_weight_has_a_gradient_in_every_kind_of_batch(context, images):
    bridge, given = bridge_with(context=context), Given(*images)
    bridge(*given).square().sum().backward()
    assert [name for name, parameter in bridge.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in bridge.parameters())


@every_context
def test_it_trains_in_bfloat16(context):
    """T5, in the precision that training uses: all of it in bfloat16, and under autocast."""
    bridge, given = bridge_with(context=context, dropout=0.1).train(), Given(3, 1)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = gradients(bridge, given)
    bridge.bfloat16()
    given.features_LIPV = [given.features_LIPV[0].bfloat16()]
    short = gradients(bridge, given)
    for found in (mixed, short):
        learned = {name for name, gradient in found.items() if gradient.any() and gradient.isfinite().all()}
        assert {"adjustment.weight", *(f"{link}.{kind}" for link in LINKS for kind in ("weight", "bias"))} <= learned


def test_dropout_is_drawn_in_both_streams_in_training():
    bridge, given = bridge_with(dropout=0.3), Given(2)
    assert not torch.allclose(bridge(*given), bridge(*given))
    bridge.eval()
    assert torch.equal(bridge(*given), bridge(*given))


# What is refused, and its size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("read_layer", "guide_layer"), [(0, 2), (3, 2), (4, 5), (5, 5)])
def test_layers_that_are_not_there_or_in_the_wrong_order_are_told(read_layer, guide_layer):
    expected = rf"read_layer {read_layer} and guide_layer {guide_layer}; expected 1 <= read_layer <= guide_layer <= 4"
    with pytest.raises(ValueError, match=expected):
        SemanticAlignment(V, 12, 4, read_layer, guide_layer)


def test_its_size_at_paper_scale():
    with torch.device("meta"):
        alignment = SemanticAlignment(1408, 768, 12)
    assert sum(parameter.numel() for parameter in alignment.parameters()) == 1_182_593


@pytest.mark.parametrize("context", ["all", "others"])
def test_the_shares_of_images_are_those_of_the_contexts_that_read_them(context):
    alignment = SemanticAlignment(8, 6, layers=2, read_layer=1, guide_layer=2, context=context)
    memory_NPV, pair_row_N = torch.randn(5, 3, 8), torch.tensor([0, 0, 0, 1, 2])
    share_NP = alignment.shares_of_images(memory_NPV, pair_row_N)
    alone = torch.ones(3) if context == "all" else torch.zeros(3)
    assert_close(share_NP[3:], alone.expand(2, 3))
    if context == "all":
        assert_close(share_NP[:3].sum(0), torch.ones(3))
        assert_close(share_NP[:3], alignment.adjustment(memory_NPV[:3]).squeeze(2).softmax(0))
    else:
        assert (share_NP[:3] > 0).all() and (share_NP[:3] < 1).all()


def test_a_q_former_without_alignment_has_no_shares_to_show():
    bridge = QFormerBridge(8, 6, 3, queries=2, layers=1, hidden_width=4, heads=2, feed_forward_width=4, vocabulary_size=9)
    first = torch.zeros(1, dtype=torch.long)
    with pytest.raises(ValueError, match="found a Q-Former without alignment"):
        bridge.context_shares([torch.randn(1, 3, 8)], first, first)
