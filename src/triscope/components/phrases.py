"""Phrases folded into one vector each, so that text can stand where the tokens of a picture will stand."""

import torch
from torch import Tensor


def fold_phrases(ids_BT: Tensor, embeddings_BTD: Tensor, begin: int, end: int, separator: int) -> tuple[Tensor, Tensor]:
    """Put the sum of a phrase's words at its first token, and leave its other tokens out.

    Args:
        ids_BT: token ids.
        embeddings_BTD: of the ids.
        begin, end, separator: ids of the tokens around a phrase, and of the one inside that is not a word.

    Returns:
        Embeddings (B, T, D), and True where a token is kept (B, T).
    """
    is_first_BT = ids_BT == begin
    is_inside_BT = inside_phrases(ids_BT, begin, end)
    is_word_BT = is_inside_BT & ~is_first_BT & (ids_BT != separator)
    first_BT = torch.where(is_first_BT, torch.arange(ids_BT.shape[1], device=ids_BT.device), 0).cummax(1).values

    row_W, column_W = is_word_BT.nonzero(as_tuple=True)
    folded_BTD = embeddings_BTD.masked_fill(is_first_BT[..., None], 0.0)
    place = row_W, first_BT[row_W, column_W]
    folded_BTD = folded_BTD.index_put(place, embeddings_BTD[row_W, column_W], accumulate=True)
    return folded_BTD, is_first_BT | ~(is_inside_BT | (ids_BT == end))


def inside_phrases(ids_BT: Tensor, begin: int, end: int) -> Tensor:
    """True from the first token of a phrase up to, but not at, its last (B, T)."""
    return (ids_BT == begin).cumsum(1) > (ids_BT == end).cumsum(1)
