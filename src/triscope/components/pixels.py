"""From bytes of a picture to what a tower was trained on."""

from collections.abc import Sequence

import torch
from torch import Tensor


def normalised(pixels_ICHW: Tensor, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype) -> Tensor:
    """Pictures with a tower's mean and deviation.

    Args:
        pixels_ICHW: uint8 pictures from 0 to 255; or floating point ones, which are normalised already. One picture alone, too.
        mean, std: of each colour, 0 to 1. Plain numbers: as buffers, a cast of the module to bfloat16 would round them.
        dtype: of the result.
    """
    if pixels_ICHW.is_floating_point():
        return pixels_ICHW.to(dtype)
    mean_C11, std_C11 = (torch.tensor(values, device=pixels_ICHW.device).view(3, 1, 1) for values in (mean, std))
    return ((pixels_ICHW / 255 - mean_C11) / std_C11).to(dtype)
