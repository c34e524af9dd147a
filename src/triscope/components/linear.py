"""Patch tokens through one Linear: the bridge of PVIT and of the first LLaVA."""

from collections.abc import Sequence

from torch import Tensor, nn

from triscope.components.bridge import Bridge
from triscope.components.markers import Markers


class LinearBridge(Bridge):
    """Maps each patch of the deepest tapped layer to one token.

    Source: Chen et al., "Position-Enhanced Visual Instruction Tuning" (PVIT), after Liu et al., "Visual Instruction
    Tuning" (LLaVA, arXiv 2304.08485).

    Args:
        vision_width: V.
        language_width: D.
        patches: P, class token included.
        keep_class_token: whether the first vector becomes a token too; LLaVA drops it. Say True for a vision encoder
            without a class token.
        markers: whether a learned vector stands on each side of an image's tokens (PVIT's `<im_start>` and `<im_end>`).
        hidden_width: of two Linears with a GELU between them, as LLaVA 1.5 has them; one Linear if None.
    """

    def __init__(
        self,
        vision_width: int,
        language_width: int,
        patches: int,
        keep_class_token: bool = False,
        markers: bool = False,
        hidden_width: int | None = None,
    ) -> None:
        super().__init__()
        self.first = 0 if keep_class_token else 1
        self.tokens = patches - self.first + (2 if markers else 0)
        self.markers = Markers(language_width) if markers else None
        self.projection: nn.Module = nn.Linear(vision_width, language_width)
        if hidden_width is not None:
            inner = nn.Linear(vision_width, hidden_width)
            self.projection = nn.Sequential(inner, nn.GELU(), nn.Linear(hidden_width, language_width))

    def forward(
        self,
        features_LIPV: Sequence[Tensor],
        pair_row_N: Tensor,
        pair_image_N: Tensor,
        question_ids_BS: Tensor,
        question_valid_BS: Tensor,
    ) -> Tensor:
        tokens_IPD = self.projection(features_LIPV[0][:, self.first :])
        tokens_NPD = tokens_IPD[pair_image_N]
        return tokens_NPD if self.markers is None else self.markers(tokens_NPD)
