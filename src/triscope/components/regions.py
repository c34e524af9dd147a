"""Region encoders: one token a box, from the features under it and from where it lies.

    start marker   projector(features under the box) + position(x1, y1, x2, y2 as shares of the picture)   end marker

Source: Chen et al., "Position-Enhanced Visual Instruction Tuning" (PVIT, arXiv 2308.13437), section 3.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import isqrt

import torch
from torch import Tensor, nn

from triscope.components.markers import Markers
from triscope.components.roi_align import align_regions


class RegionEncoder(nn.Module, ABC):
    """Turns boxes into tokens of language width.

    The first three arguments of every region encoder are those of a bridge, `vision_width` (V), `language_width` (D) and
    `patches` (P, class token included), which the model passes when it builds its parts. A recipe gives the others by name.

    Args:
        feature_width: length of the vector under a box.
        language_width: D.

    Attributes:
        tokens: R, tokens of a region: its own and a marker on each side.
        position: None where a stage does without it (PVIT's first).
        picture_sides: the shortest and the longest side (at most) of the pictures that it reads, in pixels; None if it
            reads none but the main vision encoder's.
        mean, std: of each colour of those pictures, 0 to 1.
    """

    tokens = 3
    picture_sides: tuple[int, int] | None = None
    mean: Sequence[float] = ()
    std: Sequence[float] = ()

    def __init__(self, feature_width: int, language_width: int) -> None:
        super().__init__()
        self.feature_width = feature_width
        self.projector = nn.Linear(feature_width, language_width)
        self.position: nn.Linear | None = nn.Linear(4, language_width)
        self.markers = Markers(language_width)

    def forward(
        self, features_LIPV: Sequence[Tensor], pictures: Sequence[Tensor], region_image_G: Tensor, boxes_G4: Tensor
    ) -> Tensor:
        """The tokens of every region.

        Args:
            features_LIPV: of the main vision encoder, the deepest tap first.
            pictures: uint8 (3, H, W) of every image, of its own size, or float32, normalised already; needed where there are
                `picture_sides`.
            region_image_G: the image of each region; -1 where it is not shown, so that only the position is known.
            boxes_G4: x1, y1, x2, y2 as shares of the image.

        Returns:
            (G, 3, D). What belongs to a region does not depend on other regions and images.
        """
        is_shown_G = region_image_G >= 0
        features_GF = boxes_G4.new_zeros(len(boxes_G4), self.feature_width)
        if is_shown_G.any():
            shown = region_image_G[is_shown_G], boxes_G4[is_shown_G]
            features_GF[is_shown_G] = self.features(features_LIPV, pictures, *shown).to(features_GF.dtype)
        return self.tokens_of(features_GF, boxes_G4)

    def tokens_of(self, features_GF: Tensor, boxes_G4: Tensor) -> Tensor:
        """The tokens (G, 3, D) of the vectors under some boxes, 0 where a box is not shown: all that trains."""
        token_GD = self.projector(features_GF)
        if self.position is not None:
            with torch.autocast(boxes_G4.device.type, enabled=False):  # bfloat16 knows 1/256 of the picture
                token_GD = token_GD + self.position(boxes_G4)
        return self.markers(token_GD[:, None])

    @abstractmethod
    def features(
        self, features_LIPV: Sequence[Tensor], pictures: Sequence[Tensor], region_image_G: Tensor, boxes_G4: Tensor
    ) -> Tensor:
        """The vectors under some boxes, (G, feature_width), without gradients; arguments as in `forward`, all shown."""


class PooledRegionEncoder(RegionEncoder):
    """Reads regions off the map of the main vision encoder: no second tower, and no second picture.

    Args:
        vision_width: V.
        language_width: D.
        patches: P, class token included; without it a square.
        bins: a region is seen as so many cells across and down.
    """

    def __init__(self, vision_width: int, language_width: int, patches: int, bins: int = 2) -> None:
        super().__init__(vision_width * bins * bins, language_width)
        self.side = isqrt(patches - 1)
        self.bins = bins
        if self.side * self.side != patches - 1:
            raise ValueError(
                f"a map of regions needs one class token and a square grid of patches, found {patches} vectors an image: "
                f"choose another vision tower, or a region encoder with a tower of its own"
            )

    @torch.no_grad()
    def features(
        self, features_LIPV: Sequence[Tensor], pictures: Sequence[Tensor], region_image_G: Tensor, boxes_G4: Tensor
    ) -> Tensor:
        maps_IVHW = features_LIPV[0][:, 1:].transpose(1, 2).unflatten(2, (self.side, self.side))
        maps = {image: maps_IVHW[image] for image in region_image_G.unique().tolist()}
        extents = dict.fromkeys(maps, (float(self.side), float(self.side)))
        return align_regions(maps, extents, region_image_G, boxes_G4, self.bins).flatten(1)
