"""Controls: the same questions with something taken away, to see what a score was earned with.

    blind        every picture left out
    shuffled     the pictures of the sample before it in its set
  and of the rows that show several pictures
    reordered    their own pictures, each at the place of the one before it
    last_only    every picture but the last left out
    without_1    the first picture left out; without_2 the second, ...

A model that looks at one picture alone, the last for instance, loses nothing when the others go.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

import torch

from triscope.data.batch import Batch

PLAIN = ""  # the control that is none: the model sees its pictures
BLIND, SHUFFLED = "blind", "shuffled"
CONTROL = re.compile(r"blind|shuffled|reordered|last_only|without_\d+")  # their names


def controls(batch: Batch) -> Iterator[tuple[str, Batch]]:
    """A batch under every control that says something about it, the batch itself first.

    Yields:
        Name of the control, and the batch of the rows that it is about.
    """
    yield PLAIN, batch
    yield BLIND, batch.without_images()
    if batch.other_pixels_ICHW is not None and len(batch.other_pixels_ICHW):
        yield SHUFFLED, batch.with_shuffled_images()
    several = batch.of_rows(batch.images_B > 1)
    if len(several) == 0:
        return
    place_N, images_N = several.place_N, several.images_B[several.pair_row_N]
    yield "reordered", _reordered(several)
    yield "last_only", several.showing(place_N == images_N - 1)
    for place in range(int(several.images_B.max())):
        shown = several.of_rows(several.images_B > place)
        yield f"without_{place + 1}", shown.showing(shown.place_N != place)


def _reordered(batch: Batch) -> Batch:
    """Every picture of a row at the place of the one before it, the first at the last place."""
    following_N = torch.arange(1, len(batch.pair_row_N) + 1, device=batch.pair_row_N.device)
    is_last_N = batch.place_N == batch.images_B[batch.pair_row_N] - 1
    following_N = torch.where(is_last_N, following_N - batch.images_B[batch.pair_row_N], following_N)
    return replace(batch, pair_image_N=batch.pair_image_N[following_N])
