"""Two learned vectors that stand around the tokens of a picture or a region, as `<Region>` and `</Region>` do in text."""

import torch
from torch import Tensor, nn


class Markers(nn.Module):
    """A vector in front of some tokens and one behind them.

    PVIT adds such marks to the vocabulary as words; here they belong to the part whose tokens they enclose, so that the
    language model keeps its vocabulary, and a stage trains the two of them alone.

    Args:
        language_width: D.
    """

    def __init__(self, language_width: int) -> None:
        super().__init__()
        self.start_D = nn.Parameter(torch.zeros(language_width))
        self.end_D = nn.Parameter(torch.zeros(language_width))

    @torch.no_grad()
    def start_at(self, embedding_D: Tensor) -> None:
        """Begin at a vector; PVIT begins a new word at the mean of the embeddings of the words before it."""
        self.start_D.copy_(embedding_D)
        self.end_D.copy_(embedding_D)

    def forward(self, tokens_NQD: Tensor) -> Tensor:
        """The tokens with their marks, (N, Q + 2, D)."""
        start_N1D, end_N1D = (vector_D.expand(len(tokens_NQD), 1, -1) for vector_D in (self.start_D, self.end_D))
        return torch.cat([start_N1D.to(tokens_NQD.dtype), tokens_NQD, end_N1D.to(tokens_NQD.dtype)], dim=1)
