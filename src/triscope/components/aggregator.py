"""The Vision Aggregator: the deepest features attend to shallower ones and keep their spatial detail.

Source: Chen et al., "LION" (arXiv 2311.11860), the Vision Aggregator; block details as in the authors' public code.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from triscope.components.attention import attention, initialise_as_bert
from triscope.components.bridge import Bridge


class PostNormAttention(nn.Module):
    """Multi-head attention, added to what asked, then normalised: LN(x + O(Attention(x, y))).

    Args:
        width: of the tokens that ask.
        heads: must divide `width`.
        dropout: of attention weights and of the output.
        memory_width: of the tokens that are read; `width` if None.
    """

    def __init__(self, width: int, heads: int, dropout: float, memory_width: int | None = None):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(memory_width or width, width)
        self.value = nn.Linear(memory_width or width, width)
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, tokens_IPV: Tensor, memory_IPV: Tensor) -> Tensor:
        query, key, value = (
            linear(source).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for linear, source in ((self.query, tokens_IPV), (self.key, memory_IPV), (self.value, memory_IPV))
        )
        read = attention(query, key, value, dropout=self.dropout.p if self.training else 0.0)
        return self.norm(tokens_IPV + self.dropout(self.output(read.transpose(1, 2).flatten(2))))


class PostNormFeedForward(nn.Module):
    """Two Linears with an exact GELU between them, added, then normalised: LN(x + W2 gelu(W1 x))."""

    def __init__(self, width: int, inner_width: int, dropout: float):
        super().__init__()
        self.inner = nn.Linear(width, inner_width)
        self.activation = nn.GELU()
        self.output = nn.Linear(inner_width, width)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, tokens_IPV: Tensor) -> Tensor:
        return self.norm(tokens_IPV + self.dropout(self.output(self.activation(self.inner(tokens_IPV)))))


class AggregatorBlock(nn.Module):
    """One BERT decoder block without masks: B(X; Y) = FFN(CrossAttention(SelfAttention(X), Y))."""

    def __init__(self, width: int, heads: int, feed_forward_width: int, dropout: float):
        super().__init__()
        self.self_attention = PostNormAttention(width, heads, dropout)
        self.cross_attention = PostNormAttention(width, heads, dropout)
        self.feed_forward = PostNormFeedForward(width, feed_forward_width, dropout)
        initialise_as_bert(self)
        for part in (self.self_attention, self.cross_attention, self.feed_forward):
            nn.init.zeros_(part.output.weight)

    def forward(self, tokens_IPV: Tensor, memory_IPV: Tensor) -> Tensor:
        tokens_IPV = self.self_attention(tokens_IPV, tokens_IPV)
        tokens_IPV = self.cross_attention(tokens_IPV, memory_IPV)
        return self.feed_forward(tokens_IPV)


class VisionAggregator(nn.Module):
    """A chain of blocks along the deepest features; block i reads tapped layer i+1: B2(B1(V_0; V_1); V_2).

    All output layers of the residual branches start at zero, so that it begins as a chain of LayerNorms of V_0.
    At the paper's size (width 1408) it has 49.07 M parameters.

    Args:
        width: V.
        blocks: number of blocks; as many tapped layers are needed besides the deepest.
        heads: of both attentions.
        feed_forward_width: inner width of the FFN; 3072 whatever V is.
        dropout: on attention weights and on the outputs of the residual branches.

    Raises:
        ValueError: `heads` does not divide `width`.
    """

    def __init__(self, width: int, blocks: int = 2, heads: int = 16, feed_forward_width: int = 3072, dropout: float = 0.1):
        super().__init__()
        if width % heads:
            raise ValueError(f"the aggregator's heads must divide the vision width, found {heads} heads, width {width}")
        self.blocks = nn.ModuleList(AggregatorBlock(width, heads, feed_forward_width, dropout) for _ in range(blocks))

    def forward(self, features_LIPV: Sequence[Tensor]) -> Tensor:
        """The aggregated features (I, P, V) of L = blocks + 1 tapped layers, the deepest first.

        Raises:
            ValueError: another number of tapped layers.
        """
        tokens_IPV, *memories_IPV = features_LIPV
        if len(memories_IPV) != len(self.blocks):
            raise ValueError(
                f"an aggregator of {len(self.blocks)} blocks reads {len(self.blocks) + 1} tapped layers, found "
                f"{len(features_LIPV)}: list as many layers in the vision encoder, or change the bridge's `blocks`"
            )
        for block, memory_IPV in zip(self.blocks, memories_IPV, strict=True):
            tokens_IPV = block(tokens_IPV, memory_IPV)
        return tokens_IPV


class AggregatorBridge(Bridge):
    """Vision Aggregator, LayerNorm, and a two-layer MLP to LLM width; computed once an image, whoever asks about it.

    Args:
        vision_width: V.
        language_width: D.
        patches: P, class token included.
        projector_width: hidden width of the MLP; None is the paper's 4V.
        aggregator: the arguments of `VisionAggregator` from `blocks` on.

    Raises:
        ValueError: `heads` does not divide V.
    """

    def __init__(
        self,
        vision_width: int,
        language_width: int,
        patches: int,
        projector_width: int | None = None,
        **aggregator,
    ):
        super().__init__()
        projector_width = projector_width or 4 * vision_width
        self.tokens = patches
        self.aggregator = VisionAggregator(vision_width, **aggregator)
        self.norm = nn.LayerNorm(vision_width)
        self.projector = nn.Sequential(
            nn.Linear(vision_width, projector_width), nn.GELU(), nn.Linear(projector_width, language_width)
        )

    def forward(
        self,
        features_LIPV: Sequence[Tensor],
        pair_row_N: Tensor,
        pair_image_N: Tensor,
        question_ids_BS: Tensor,
        question_valid_BS: Tensor,
    ) -> Tensor:
        tokens_IPD = self.projector(self.norm(self.aggregator(features_LIPV)))
        return tokens_IPD[pair_image_N]
