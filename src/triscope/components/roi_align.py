"""RoIAlign: the part of a map under a box, at a fixed size.

A value between the cells of a map is their bilinear mean, which is a mean down times a mean across; so are the sampling
points of a bin. A region is therefore two small matrices around its map: `rows @ map @ columns`.

Source: He et al., "Mask R-CNN" (arXiv 1703.06870), section 3, as Detectron2's ROIAlignV2 computes it: half-pixel shift, as
many sampling points a bin and axis as it has cells (rounded up), and their mean.
"""

from collections.abc import Mapping

import torch
from torch import Tensor


def roi_align(map_CHW: Tensor, boxes_G4: Tensor, bins: int) -> Tensor:
    """The features under some boxes of one map, in float32.

    Args:
        map_CHW: of one picture.
        boxes_G4: left, top, right, bottom in cells of the map, counted from its outer edges; may reach beyond them.
        bins: bins of a region on each axis.

    Returns:
        (G, C, bins, bins).
    """
    _, height, width = map_CHW.shape
    with torch.autocast(map_CHW.device.type, enabled=False):  # bfloat16 would move a box by several pixels
        map_CHW, (x1_G, y1_G, x2_G, y2_G) = map_CHW.float(), boxes_G4.float().unbind(1)
        rows_GbH, columns_GbW = _bin_weights(y1_G, y2_G, height, bins), _bin_weights(x1_G, x2_G, width, bins)
        return torch.einsum("gyh,chw,gxw->gcyx", rows_GbH, map_CHW, columns_GbW)


def align_regions(
    maps: Mapping[int, Tensor], extents: Mapping[int, tuple[float, float]], region_image_G: Tensor, boxes_G4: Tensor, bins: int
) -> Tensor:
    """`roi_align` for regions of several pictures, whose maps may differ in size.

    Args:
        maps: (C, H, W) of each picture, by its number.
        extents: width and height of each picture in cells of its map.
        region_image_G: number of each region's picture.
        boxes_G4: as shares of the picture.
        bins: bins of a region on each axis.

    Returns:
        (G, C, bins, bins) in float32.
    """
    channels = next(iter(maps.values())).shape[0]
    pooled = boxes_G4.new_empty(len(boxes_G4), channels, bins, bins, dtype=torch.float32)
    for image, map_CHW in maps.items():
        is_its_G = region_image_G == image
        cells_G4 = boxes_G4[is_its_G].float() * boxes_G4.new_tensor([*extents[image], *extents[image]])
        pooled[is_its_G] = roi_align(map_CHW, cells_G4, bins)
    return pooled


def _bin_weights(start_G: Tensor, end_G: Tensor, cells: int, bins: int) -> Tensor:
    """How much each cell of an axis counts in each bin of each region (G, bins, cells).

    At the border, sampling points follow the compiled operator, not torchvision's fallback in Python: more than one cell
    before the first cell's middle, or more than one behind the last one's, a point is zero, and else it is moved inside.
    """
    first_G = start_G - 0.5  # a cell's value belongs to its middle
    length_G = end_G - start_G
    points_G = (length_G / bins).ceil().clamp(min=1)
    point_K = torch.arange(int(points_G.max()) if len(points_G) else 1, device=start_G.device)
    bin_b1 = torch.arange(bins, device=start_G.device)[:, None]
    share_GbK = (bin_b1 + (point_K + 0.5) / points_G[:, None, None]) / bins
    place_GbK = first_G[:, None, None] + share_GbK * length_G[:, None, None]
    counts_GbK = (place_GbK >= -1) & (place_GbK <= cells) & (point_K < points_G[:, None, None])
    distance_GbKH = place_GbK.clamp(0, cells - 1)[..., None] - torch.arange(cells, device=start_G.device)
    weight_GbKH = (1 - distance_GbKH.abs()).clamp(min=0) * counts_GbK[..., None]
    return weight_GbKH.sum(2) / points_G[:, None, None]
