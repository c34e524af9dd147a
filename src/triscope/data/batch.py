"""Batch: the only thing that crosses from data to model.

Legend of the shape suffixes and shape comments of the whole project:

    B rows (one conversation each)   T tokens of a row   I distinct images in the batch   N (row, image) pairs, in row order
    G regions   R tokens of a region   P patches   Q queries   L tapped layers
    D width of the language model   V width of the vision encoder   F length of a region's vector
    S tokens of a question (the text a Q-Former reads)   C channels   H height   W width   K candidates
    lower case letters are local to a function and explained there

A row is a sequence of token ids in which negative ids are placeholders, filled by the model with features. Supervised
tokens are the answers. A causal language model reads the row as it stands; a seq2seq one reads everything before the
answer with its encoder. Rows point at images and regions at rows and images, so a row without an image, with one, or with
nine is the same code, and an image is decoded and encoded once however many rows ask about it (`data.shared_pictures`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from itertools import compress
from typing import Any

import torch
from torch import Tensor

from triscope.data.boxes import Box
from triscope.data.sample import Level

LEVELS = (Level.REGION, Level.IMAGE)  # position in this tuple = number in `Batch.level_B`


class Placeholder(IntEnum):
    """Negative token ids that stand for features: all tokens of an image, of a region, or the soft prompt's vector."""

    IMAGE = -1
    REGION = -2
    SOFT_PROMPT = -3


@dataclass(frozen=True)
class Row:
    """What evaluation and error messages need to know of a row.

    Args:
        key: of the sample, with the conversation's number behind a colon.
        task: name for losses and scores.
        level: which visual knowledge the task needs.
        prompt: the last question as text, markers in place.
        answers: references of the last turn as the model should write them (boxes as text).
        candidates: closed list of the last turn, if any.
        box: the true box of the answer, in unit space, where the answer is a box.
        box_image: number in the sample, from 0, of the picture that the true box lies in.
        images: numbers in the sample of the pictures that the row shows, in reading order, like its pairs.
        regions: true boxes that the prompt names, in unit space.
        region_images: numbers in the sample of the pictures that these lie in.
        extra: what else the converter knew of the sample.
        id: number of the last question in its data set, for official files of results; empty where it has none.
        source: the data set.
        sizes: (width, height) in pixels of all pictures of the sample.
    """

    key: str
    task: str
    level: Level
    prompt: str
    answers: tuple[str, ...]
    candidates: tuple[str, ...] = ()
    box: Box | None = None
    box_image: int | None = None
    images: tuple[int, ...] = ()
    regions: tuple[Box, ...] = ()
    region_images: tuple[int, ...] = ()
    extra: dict | None = None
    id: str = ""
    source: str = ""
    sizes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Batch:
    """Rows of token ids, the images they look at, and the regions they point at.

    Args:
        pixels_ICHW: uint8 pictures, 0 to 255, which the vision encoder normalises on the device; or float32, normalised already.
        ids_BT: token ids, right-padded; negative ids are `Placeholder`s.
        valid_BT: True where there is a token.
        supervised_BT: True where the token belongs to an answer (its end-of-text token included).
        question_ids_BS: the row's question as a Q-Former reads it, without tags.
        question_valid_BS: True where there is a token.
        level_B: index into `LEVELS`: which adapter of the mixture a row is routed to.
        pair_row_N, pair_image_N: which row shows which image, in row order and reading order.
        region_row_G, region_image_G: to which row and image a region that is shown as a token belongs, in row order and
            reading order; image -1 where it is not shown, so that only the position is known.
        boxes_G4: x1, y1, x2, y2 as shares of the image, float32.
        rows: what evaluation and messages need, one a row.
        region_pictures: the same (3, H, W) of every image at the size that a region encoder reads; empty if it reads none.
        other_pixels_ICHW, other_region_pictures: for every image one of another sample, for the shuffled control; None and
            empty where nobody asks for it.
    """

    pixels_ICHW: Tensor
    ids_BT: Tensor
    valid_BT: Tensor
    supervised_BT: Tensor
    question_ids_BS: Tensor
    question_valid_BS: Tensor
    level_B: Tensor
    pair_row_N: Tensor
    pair_image_N: Tensor
    region_row_G: Tensor
    region_image_G: Tensor
    boxes_G4: Tensor
    rows: tuple[Row, ...]
    region_pictures: tuple[Tensor, ...] = ()
    other_pixels_ICHW: Tensor | None = None
    other_region_pictures: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch with every tensor on `device`."""
        return self._with_tensors(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory (called by the DataLoader)."""
        return self._with_tensors(Tensor.pin_memory)

    def without_images(self) -> "Batch":
        """The blind control: the same questions with the pictures left out."""
        empty = self.pair_row_N.new_empty(0)
        return replace(
            self,
            pixels_ICHW=self.pixels_ICHW[:0],
            valid_BT=self.valid_BT & (self.ids_BT != Placeholder.IMAGE),
            pair_row_N=empty,
            pair_image_N=empty,
            region_image_G=torch.full_like(self.region_image_G, -1),
            region_pictures=(),
            other_pixels_ICHW=None,
            other_region_pictures=(),
        )

    def with_shuffled_images(self) -> "Batch":
        """The shuffled control: the rows that look at a picture see those of another sample.

        Raises:
            ValueError: the batch was made without pictures of other samples.
        """
        if self.other_pixels_ICHW is None:
            raise ValueError("shuffling pictures needs those of other samples: ask the loader for them (with_others)")
        looks_B = self.images_B > 0
        looks_B[self.region_row_G[self.region_image_G >= 0]] = True
        shuffled = replace(self, pixels_ICHW=self.other_pixels_ICHW, region_pictures=self.other_region_pictures)
        return shuffled.of_rows(looks_B)

    @property
    def images_B(self) -> Tensor:
        """How many images each row shows."""
        return torch.bincount(self.pair_row_N, minlength=len(self))

    @property
    def place_N(self) -> Tensor:
        """Which image of its row each pair is, from 0."""
        return torch.arange(len(self.pair_row_N), device=self.pair_row_N.device) - torch.searchsorted(
            self.pair_row_N, self.pair_row_N
        )

    def of_rows(self, chosen_B: Tensor) -> "Batch":
        """Some rows of the batch, over the same images."""
        number_B = chosen_B.cumsum(0) - 1
        pairs_N, regions_G = chosen_B[self.pair_row_N], chosen_B[self.region_row_G]
        return replace(
            self,
            ids_BT=self.ids_BT[chosen_B],
            valid_BT=self.valid_BT[chosen_B],
            supervised_BT=self.supervised_BT[chosen_B],
            question_ids_BS=self.question_ids_BS[chosen_B],
            question_valid_BS=self.question_valid_BS[chosen_B],
            level_B=self.level_B[chosen_B],
            pair_row_N=number_B[self.pair_row_N[pairs_N]],
            pair_image_N=self.pair_image_N[pairs_N],
            region_row_G=number_B[self.region_row_G[regions_G]],
            region_image_G=self.region_image_G[regions_G],
            boxes_G4=self.boxes_G4[regions_G],
            rows=tuple(row for row, chosen in zip(self.rows, chosen_B.tolist(), strict=True) if chosen),
        )

    def parts(self, rows: int) -> Iterator["Batch"]:
        """The batch in parts of at most so many rows, each no longer than they are and with the images that they show alone."""
        for first in range(0, len(self), rows):
            number_B = torch.arange(len(self), device=self.ids_BT.device)
            yield self.of_rows((number_B >= first) & (number_B < first + rows))._trimmed()

    def _trimmed(self) -> "Batch":
        """Without images that no row shows, and without columns that are padding in every row."""
        shown_I = torch.zeros(len(self.pixels_ICHW), dtype=torch.bool, device=self.pixels_ICHW.device)
        pointed_at_G = self.region_image_G >= 0
        shown_I[self.pair_image_N] = True
        shown_I[self.region_image_G[pointed_at_G]] = True
        number_I = shown_I.cumsum(0) - 1
        region_image_G = self.region_image_G.clone()
        region_image_G[pointed_at_G] = number_I[self.region_image_G[pointed_at_G]]
        longest = int(self.valid_BT.any(0).nonzero().max()) + 1
        return replace(
            self,
            pixels_ICHW=self.pixels_ICHW[shown_I],
            ids_BT=self.ids_BT[:, :longest],
            valid_BT=self.valid_BT[:, :longest],
            supervised_BT=self.supervised_BT[:, :longest],
            pair_image_N=number_I[self.pair_image_N],
            region_image_G=region_image_G,
            region_pictures=tuple(compress(self.region_pictures, shown_I.tolist())),
            other_pixels_ICHW=None if self.other_pixels_ICHW is None else self.other_pixels_ICHW[shown_I],
            other_region_pictures=tuple(compress(self.other_region_pictures, shown_I.tolist())),
        )

    def showing(self, kept_N: Tensor) -> "Batch":
        """The same questions, of the (row, image) pairs only some shown; of regions of the others the position is left."""
        hidden_N = ~kept_N
        is_hidden_GN = (self.region_row_G[:, None] == self.pair_row_N[hidden_N]) & (
            self.region_image_G[:, None] == self.pair_image_N[hidden_N]
        )
        valid_BT = self.valid_BT.clone()
        valid_BT[valid_BT & (self.ids_BT == Placeholder.IMAGE)] = kept_N  # pairs and placeholders are in the same order
        return replace(
            self,
            valid_BT=valid_BT,
            pair_row_N=self.pair_row_N[kept_N],
            pair_image_N=self.pair_image_N[kept_N],
            region_image_G=torch.where(is_hidden_GN.any(1), -1, self.region_image_G),
        )

    def _with_tensors(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        changed: dict[str, Any] = {
            field.name: change(value) for field in fields(self) if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(
            self,
            **changed,
            region_pictures=tuple(change(picture) for picture in self.region_pictures),
            other_region_pictures=tuple(change(picture) for picture in self.other_region_pictures),
        )
