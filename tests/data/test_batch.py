"""Parts of a batch say what the whole batch says, and hold no more than their rows need."""

from dataclasses import replace

import torch

from tests.data.test_controls import seen, three_samples


def test_parts_show_each_row_its_own_pictures_and_no_others():
    batch = three_samples()
    parts = list(batch.parts(3))
    assert [len(part) for part in parts] == [3, 1]
    assert [len(part.pixels_ICHW) for part in parts] == [4, 2]
    assert seen(parts[0]) | seen(parts[1]) == seen(batch)


def test_parts_keep_regions_and_their_pictures_and_leave_unknown_ones_unknown():
    regions = {"region_row_G": torch.tensor([1, 3, 3]), "region_image_G": torch.tensor([2, -1, 5]), "boxes_G4": torch.rand(3, 4)}
    pictures = tuple(torch.full((3, 2, 2), number, dtype=torch.uint8) for number in range(6))
    batch = replace(three_samples(), **regions, region_pictures=pictures)
    first, last = batch.parts(3)
    assert [int(picture[0, 0, 0]) for picture in first.region_pictures] == [0, 1, 2, 3]
    assert first.region_image_G.tolist() == [2] and last.region_image_G.tolist() == [-1, 1]
    assert [int(picture[0, 0, 0]) for picture in last.region_pictures] == [4, 5]


def test_a_part_is_as_long_as_its_longest_row():
    batch = three_samples()
    for row, part in enumerate(batch.parts(1)):
        length = int(batch.valid_BT[row].sum())
        assert part.ids_BT.shape == (1, length) and torch.equal(part.ids_BT[0], batch.ids_BT[row, :length])
        assert torch.equal(part.supervised_BT[0], batch.supervised_BT[row, :length])
