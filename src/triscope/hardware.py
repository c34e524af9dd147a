"""What this machine is good at, where a configuration leaves the choice to it."""

from functools import cache

import torch


@cache
def multiplies_bfloat16() -> bool:
    """Whether products of bfloat16 matrices are faster here than of float32 ones.

    They are on GPUs and on CPUs with the instructions for it. A CPU without them takes about a hundred times longer.
    """
    return torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()


def chosen_dtype(name: str) -> torch.dtype:
    """The type that a configuration's `dtype` means: "auto" is bfloat16 where this machine is fast at it, else float32."""
    if name == "auto":
        return torch.bfloat16 if multiplies_bfloat16() else torch.float32
    return getattr(torch, name)
