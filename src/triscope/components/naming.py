"""What the tokens of a bridge say when the language model's own output embeddings read them, at no cost of a pass through it."""

import math

from torch import Tensor

SHARPNESS = 8.0  # logit of a word in a token that is that word's embedding


def said_words(tokens_IQD: Tensor, embeddings_VD: Tensor) -> Tensor:
    """Logit of every word in each cell of a picture (I, cells, V), float32.

    The tokens of a bridge lie over the picture as a square of cells, row by row; what is more than a square comes first and
    is left out (a class token).

    Args:
        tokens_IQD: of a bridge.
        embeddings_VD: the language model's output embeddings.
    """
    cells = math.isqrt(tokens_IQD.shape[1]) ** 2
    scale = SHARPNESS / embeddings_VD.float().square().sum(1).mean()
    return scale * tokens_IQD[:, -cells:].float() @ embeddings_VD.float().T
