"""Collate: the rows and pictures of some samples as one Batch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from triscope.data.batch import LEVELS, Batch
from triscope.data.prompts import EncodedRow

PADDING_ID = 0  # never read: `valid_BT` is False there


@dataclass(frozen=True)
class EncodedSample:
    """A sample ready for a batch, or one of its rows, where rows share no pictures.

    Args:
        pixels: (3, H, W) of each image that a row shows, by its index in the sample.
        rows: its conversations; none if the stage wants none of them.
        region_pictures: (3, H, W) of the same images at the size that a region encoder reads; empty if it reads none.
        others: for each of the images, at least, the encoding of one of another sample; None where there is none, or nobody
            asks for it.
    """

    pixels: dict[int, Tensor]
    rows: list[EncodedRow]
    region_pictures: dict[int, Tensor] = field(default_factory=dict)
    others: "OtherPictures | None" = None


@dataclass(frozen=True)
class OtherPictures:
    """Pictures of another sample, by the index of the image in whose place they stand: as `EncodedSample` has its own."""

    pixels: dict[int, Tensor]
    region_pictures: dict[int, Tensor] = field(default_factory=dict)


def row_groups(rows: list[EncodedRow], shared_pictures: bool) -> list[list[EncodedRow]]:
    """The rows of a sample that show the same copies of its pictures: all of them, or each its own."""
    return [rows] if shared_pictures else [[row] for row in rows]


def collate(samples: Sequence[EncodedSample], image_size: int) -> Batch:
    """Put samples together; every image of one stands once, however many of its rows show it.

    Args:
        samples: with at least one row among them.
        image_size: side of the pictures in pixels.
    """
    pictures: list[Tensor] = []
    rows: list[EncodedRow] = []
    region_pictures: list[Tensor] = []
    shown: list[list[int]] = []  # of each row, indices into the batch's images
    pointed: list[list[int]] = []  # the same of each row's regions
    others = [(sample.others, image) for sample in samples for image in sample.pixels]
    known = [(other, image) for other, image in others if other is not None]
    has_others = bool(known) and len(known) == len(others)  # else a sample would see its own
    for sample in samples:
        index_of = {image: len(pictures) + order for order, image in enumerate(sample.pixels)}
        pictures += sample.pixels.values()
        rows += sample.rows
        region_pictures += [sample.region_pictures[image] for image in sample.pixels if sample.region_pictures]
        shown += [[index_of[image] for image in row.images] for row in sample.rows]
        pointed += [[index_of[region.image] for region in row.regions] for row in sample.rows]
    ids_BT, valid_BT = _padded([row.ids for row in rows])
    supervised_BT, _ = _padded([row.supervised for row in rows])
    question_ids_BS, question_valid_BS = _padded([row.question_ids for row in rows])
    return Batch(
        pixels_ICHW=torch.stack(pictures) if pictures else torch.empty(0, 3, image_size, image_size, dtype=torch.uint8),
        ids_BT=ids_BT,
        valid_BT=valid_BT,
        supervised_BT=supervised_BT.bool(),
        question_ids_BS=question_ids_BS,
        question_valid_BS=question_valid_BS,
        level_B=torch.tensor([LEVELS.index(row.row.level) for row in rows]),
        pair_row_N=torch.tensor([number for number, images in enumerate(shown) for _ in images], dtype=torch.long),
        pair_image_N=torch.tensor([image for images in shown for image in images], dtype=torch.long),
        region_row_G=torch.tensor([number for number, row in enumerate(rows) for _ in row.regions], dtype=torch.long),
        region_image_G=torch.tensor([image for images in pointed for image in images], dtype=torch.long),
        boxes_G4=torch.tensor([region.box.corners for row in rows for region in row.regions]).view(-1, 4),
        rows=tuple(row.row for row in rows),
        region_pictures=tuple(region_pictures),
        other_pixels_ICHW=torch.stack([other.pixels[image] for other, image in known]) if has_others else None,
        other_region_pictures=tuple(
            other.region_pictures[image] for other, image in known if has_others and other.region_pictures
        ),
    )


def _padded(sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Sequences as one right-padded tensor of longs, and where it is not padding."""
    longest = max(len(sequence) for sequence in sequences)
    padded = torch.full((len(sequences), longest), PADDING_ID)
    valid = torch.zeros(len(sequences), longest, dtype=torch.bool)
    for number, sequence in enumerate(sequences):
        padded[number, : len(sequence)] = torch.tensor(sequence, dtype=torch.long)
        valid[number, : len(sequence)] = True
    return padded, valid
