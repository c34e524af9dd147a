"""What every bridge between the vision encoder and the language model is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class Bridge(nn.Module, ABC):
    """Turns vision features into tokens of LLM width, one set a (row, image) pair.

    The first three arguments of every bridge are `vision_width` (V), `language_width` (D) and `patches` (P, class token
    included), which the model passes when it builds its parts. A recipe gives the others by name.

    Attributes:
        tokens: tokens of one image, as many as the prompt has placeholders for it.
        question_aware: whether the tokens depend on the question; those that do not are the same in every row that shows
            the same images.
    """

    tokens: int
    question_aware: bool = False

    @abstractmethod
    def forward(
        self,
        features_LIPV: Sequence[Tensor],
        pair_row_N: Tensor,
        pair_image_N: Tensor,
        question_ids_BS: Tensor,
        question_valid_BS: Tensor,
    ) -> Tensor:
        """The tokens of every pair.

        Args:
            features_LIPV: a tensor (I, P, V) a tapped layer, the deepest first, class token first in each.
            pair_row_N, pair_image_N: the row and the image of each pair, in row order.
            question_ids_BS: the question of each row, in the Q-Former's vocabulary.
            question_valid_BS: True where the question has a token.

        Returns:
            (N, tokens, D). What belongs to a pair does not depend on the pairs of other rows; no pairs give (0, tokens, D).
        """
