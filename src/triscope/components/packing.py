"""Matrices in 4 bits (NF4 with double quantisation, by `bitsandbytes`).

Source: Dettmers et al., "QLoRA" (arXiv 2305.14314).
"""

from typing import Any

import torch
from torch import Tensor, nn


def packed(linear: nn.Linear, kept_in: torch.dtype = torch.uint8) -> nn.Linear:
    """A matrix in 4 bits, which computes in bfloat16.

    Args:
        linear: in bfloat16, on the device where it is to be packed.
        kept_in: the type of the tensor that holds the bytes. T5 casts what enters its `wo` to the type of its weight: there it
            must be bfloat16, which is what `wo` computes in; the bytes are never cast themselves.
    """
    from bitsandbytes.nn import Linear4bit, Params4bit  # not installed on every platform

    options: dict[str, Any] = {"compress_statistics": True, "quant_type": "nf4", "quant_storage": kept_in}
    has_bias = linear.bias is not None
    four_bit = Linear4bit(linear.in_features, linear.out_features, has_bias, torch.bfloat16, **options, device="meta")
    four_bit.weight = Params4bit(linear.weight.data, requires_grad=False, **options)
    four_bit.bias = linear.bias
    return four_bit.to(linear.weight.device)


def is_packed(parameter: Tensor) -> bool:
    """Whether a parameter is a matrix in 4 bits, whatever type its bytes are kept in."""
    return hasattr(parameter, "quant_state")
