"""What the tokens of a bridge say when the language model's own output embeddings read them, at no cost of a pass through it."""

from torch import Tensor

SHARPNESS = 32.0  # logit of a word in a token that is that word's embedding


def said_words(tokens_IQD: Tensor, embeddings_VD: Tensor) -> Tensor:
    """Logit of every word in each token (I, Q, V), float32.

    Args:
        tokens_IQD: of a bridge.
        embeddings_VD: the language model's output embeddings.
    """
    scale = SHARPNESS / embeddings_VD.float().square().sum(1).mean()
    return scale * tokens_IQD.float() @ embeddings_VD.float().T
