import math

import pytest
import torch

from triscope.components.roi_align import align_regions, roi_align

HEIGHT, WIDTH = 5, 7
BOXES = [
    (0.0, 0.0, 7.0, 5.0),  # the whole map
    (1.3, 0.4, 4.9, 4.4),
    (2.2, 2.1, 2.3, 2.4),  # within a cell
    (0.0, 0.0, 0.4, 0.3),  # the upper left corner
    (5.5, 3.9, 8.6, 6.6),  # beyond the lower right border, as sides of 16 k + 9 pixels have it
    (-2.5, -1.9, 0.7, 9.0),
]


def by_hand(map_CHW: torch.Tensor, box: tuple[float, ...], bins: int) -> torch.Tensor:
    """RoIAlign as the compiled operator does it, point by point."""
    x1, y1, x2, y2 = box
    pooled = torch.zeros(len(map_CHW), bins, bins)
    height, width = (y2 - y1) / bins, (x2 - x1) / bins
    points_y, points_x = max(1, math.ceil(height)), max(1, math.ceil(width))
    for row in range(bins):
        for column in range(bins):
            for j in range(points_y):
                for i in range(points_x):
                    y = y1 - 0.5 + (row + (j + 0.5) / points_y) * height
                    x = x1 - 0.5 + (column + (i + 0.5) / points_x) * width
                    pooled[:, row, column] += bilinear(map_CHW, y, x) / (points_y * points_x)
    return pooled


def bilinear(map_CHW: torch.Tensor, y: float, x: float) -> torch.Tensor:
    _, height, width = map_CHW.shape
    if y < -1 or y > height or x < -1 or x > width:
        return torch.zeros(len(map_CHW))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    upper = map_CHW[:, top, left] * (1 - across) + map_CHW[:, top, right] * across
    lower = map_CHW[:, bottom, left] * (1 - across) + map_CHW[:, bottom, right] * across
    return upper * (1 - down) + lower * down


@pytest.mark.parametrize("bins", [1, 2, 3])
def test_every_value_is_the_mean_of_its_sampling_points(bins):
    map_CHW = torch.randn(2, HEIGHT, WIDTH)
    found = roi_align(map_CHW, torch.tensor(BOXES), bins)
    for box, pooled in zip(BOXES, found, strict=True):
        torch.testing.assert_close(pooled, by_hand(map_CHW, box, bins), atol=1e-5, rtol=1e-5)


def test_a_box_of_whole_cells_is_their_values():
    map_CHW = torch.randn(3, HEIGHT, WIDTH)
    (pooled,) = roi_align(map_CHW, torch.tensor([[2.0, 1.0, 5.0, 4.0]]), 3)
    torch.testing.assert_close(pooled, map_CHW[:, 1:4, 2:5])


def test_boxes_are_placed_in_float32_whatever_the_precision_around():
    map_CHW = torch.arange(80.0).expand(1, 1, 80)
    box_G4 = torch.tensor([[66.1, 0.0, 66.2, 1.0]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = roi_align(map_CHW.bfloat16(), box_G4, 1)
    assert found.item() == pytest.approx(65.65, abs=0.01) and found.dtype == torch.float32


def test_each_region_is_read_off_its_own_picture():
    maps = {0: torch.randn(2, HEIGHT, WIDTH), 3: torch.randn(2, 2, 2)}
    extents = {0: (7.2, 5.0), 3: (2.0, 2.0)}
    image_G, boxes_G4 = torch.tensor([3, 0, 3]), torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.1, 0.2, 0.9, 1.0], [0.0, 0.0, 1.0, 1.0]])
    found = align_regions(maps, extents, image_G, boxes_G4, 2)
    for region, image in enumerate(image_G.tolist()):
        cells = boxes_G4[region] * torch.tensor([*extents[image], *extents[image]])
        assert torch.equal(found[region], roi_align(maps[image], cells[None], 2)[0])
