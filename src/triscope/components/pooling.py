"""Averaging squares of patches, so that small machines have fewer tokens to work on."""

from math import isqrt

import torch
from torch import Tensor


def pooled_patches(patches: int, pool: int) -> int:
    """How many vectors `average_patches` leaves of an image's, class token included.

    Raises:
        ValueError: the grid is not square, or cannot be cut into `pool` x `pool` squares.
    """
    side = isqrt(patches - 1)
    if pool > 1 and (side * side != patches - 1 or side % pool):
        raise ValueError(
            f"pool={pool} needs one class token and a square grid of patches whose side {pool} divides, found "
            f"{patches} vectors an image: set pool to 1, or change the image size"
        )
    return patches if pool == 1 else 1 + (side // pool) ** 2


def average_patches(tokens_IPV: Tensor, pool: int) -> Tensor:
    """Averages squares of `pool` x `pool` patches; the class token in front stays.

    Args:
        tokens_IPV: a class token, then a square grid row by row.
        pool: divides the side of the grid; 1 changes nothing.

    Returns:
        (I, 1 + (P - 1) / pool^2, V).
    """
    if pool == 1:
        return tokens_IPV
    class_token_I1V, patches_IPV = tokens_IPV[:, :1], tokens_IPV[:, 1:]
    side = isqrt(patches_IPV.shape[1]) // pool
    averages_IPV = patches_IPV.unflatten(1, (side, pool, side, pool)).mean((2, 4)).flatten(1, 2)
    return torch.cat([class_token_I1V, averages_IPV], dim=1)
