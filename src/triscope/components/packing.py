"""Matrices in 4 bits (NF4 with double quantisation, by `bitsandbytes`).

Source: Dettmers et al., "QLoRA" (arXiv 2305.14314).
"""

from typing import Any

import torch
from torch import Tensor, nn


def packed(linear: nn.Linear) -> nn.Linear:
    """T5's `wo` in 4 bits, which transformers leaves out: 2.0 of the 11 billion weights of FlanT5-XXL.

    T5 casts what enters `wo` to the type of its weight. Its bytes are therefore kept in a bfloat16 tensor, which is what it
    computes in; and never to be cast themselves.

    Args:
        linear: without bias, in bfloat16, on the device where it is to be packed.
    """
    from bitsandbytes.nn import Linear4bit, Params4bit  # not installed on every platform

    options: dict[str, Any] = {"compress_statistics": True, "quant_type": "nf4", "quant_storage": torch.bfloat16}
    four_bit = Linear4bit(linear.in_features, linear.out_features, False, torch.bfloat16, **options, device="meta")
    four_bit.weight = Params4bit(linear.weight.data, requires_grad=False, **options)
    return four_bit.to(linear.weight.device)


def is_packed(parameter: Tensor) -> bool:
    """Whether a parameter is a matrix in 4 bits, whatever type its bytes are kept in."""
    return hasattr(parameter, "quant_state")
