"""The learned vector that stands before the tags in a prompt."""

import torch
from torch import Tensor, nn


class SoftPrompt(nn.Module):
    """One learned vector of LLM width, put in the place of a placeholder token.

    It lets the model learn how far to trust tags that a tagger recognised and that may be wrong.
    Source: Chen et al., "LION" (arXiv 2311.11860), soft prompting with image tags.

    Args:
        language_width: D.
        init_std: standard deviation of its initial values; 1.0 is how T5 initialises its word embeddings. For other
            language models, take the spread of theirs.
    """

    def __init__(self, language_width: int, init_std: float = 1.0):
        super().__init__()
        self.vector_D = nn.Parameter(torch.empty(language_width))
        nn.init.normal_(self.vector_D, std=init_std)

    def forward(self) -> Tensor:
        """The vector (D,)."""
        return self.vector_D
