"""What the BERT-type blocks of the Vision Aggregator and the Q-Former share: attention and initialisation.

Local letters: h heads, t positions that ask, s positions that are read, d width of a head.
"""

import torch
from torch import Tensor, nn


def attention(
    query_Nhtd: Tensor,
    key_Nhsd: Tensor,
    value_Nhsd: Tensor,
    readable: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Softmax attention without a causal mask, scaled by 1/sqrt(d).

    PyTorch's fused kernel (SDPA), but for bfloat16 on CPU: there it is slow, and three plain operations take a half to
    a quarter of its time forward and backward.

    Args:
        query_Nhtd, key_Nhsd, value_Nhsd: heads apart, of one dtype.
        readable: bool, broadcastable to (N, h, t, s): True where a position may be read. None: all of them.
            Every position that asks must be allowed to read at least one.
        dropout: share of the attention weights to drop.

    Returns:
        (N, h, t, d).
    """
    if query_Nhtd.device.type != "cpu" or query_Nhtd.dtype != torch.bfloat16:
        return nn.functional.scaled_dot_product_attention(query_Nhtd, key_Nhsd, value_Nhsd, readable, dropout)
    scores_Nhts = (query_Nhtd * query_Nhtd.shape[-1] ** -0.5) @ key_Nhsd.transpose(-1, -2)
    if readable is not None:
        scores_Nhts = scores_Nhts.masked_fill(~readable, torch.finfo(scores_Nhts.dtype).min)
    return nn.functional.dropout(scores_Nhts.softmax(-1), dropout) @ value_Nhsd


def initialise_as_bert(module: nn.Module) -> None:
    """Weights N(0, 0.02) and biases 0 in every `Linear` and `Embedding` inside; LayerNorms keep 1 and 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=0.02)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
