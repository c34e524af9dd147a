"""RegionCLIP's tower as a region encoder: PVIT's second, convolutional eye, which sees pictures at a higher resolution."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import open_clip
import torch
from open_clip.modified_resnet import ModifiedResNet
from safetensors.torch import load_file
from torch import Tensor

from triscope.components.pixels import normalised
from triscope.components.regions import RegionEncoder
from triscope.components.roi_align import align_regions
from triscope.hardware import chosen_dtype
from triscope.packaged import resolve

STRIDE = 16  # pixels of a cell of the map behind layer 3


class RegionClipEncoder(RegionEncoder):
    """A frozen CLIP ResNet that reads a box off its map: layers 1 to 3 on the picture, layer 4 and attention pool on the box.

    The map of a picture is computed once for all its regions, together with pictures of the same size and never padded, so
    that a feature does not depend on what else is in the batch. Layer 4 and attention pool see all regions in one pass.
    The vector is not brought to length 1. Frozen for good: no gradients, and batch norms keep their statistics.

    Args:
        vision_width, patches: of the main vision encoder, which this one does not read.
        language_width: D.
        tower: name of a CLIP ResNet of open_clip.
        weights: safetensors or `torch.save` file with the tower, bare, as RegionCLIP's (`backbone.`), or inside a whole CLIP
            (`visual.`); None for random ones.
        dtype: precision of the tower; "auto" is bfloat16 where this machine is fast at it, else float32. Boxes and RoIAlign
            are always in float32.
        shortest_side, longest_side: pictures are scaled so that the shortest side is so long, unless the longest then
            exceeds its limit, in pixels.
        tower_options: sizes that differ from the named tower's: `embed_dim`, `layers`, `width`, `image_size`, `head_width`.

    Raises:
        ValueError: the tower is no ResNet, or the weights are not its.

    Source: Zhong et al., "RegionCLIP" (arXiv 2112.09106); settings of PVIT (spec 1.2).
    """

    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD

    def __init__(
        self,
        vision_width: int,
        language_width: int,
        patches: int,
        tower: str = "RN50x4",
        weights: str | None = None,
        dtype: Literal["float32", "bfloat16", "auto"] = "float32",
        shortest_side: int = 800,
        longest_side: int = 1333,
        tower_options: dict[str, Any] | None = None,
    ) -> None:
        encoder = _build(tower, tower_options or {})
        super().__init__(encoder.output_dim, language_width)
        self.picture_sides = shortest_side, longest_side
        self.encoder = encoder
        self.bins = 2 * (encoder.image_size // 32)  # layer 4 halves them to the grid of the attention pool
        if weights is not None and not next(encoder.parameters()).is_meta:
            _load(encoder, Path(resolve(weights)))
        self.encoder.requires_grad_(False).eval().to(chosen_dtype(dtype))

    def train(self, mode: bool = True) -> "RegionClipEncoder":
        """The tower stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    @torch.no_grad()
    def features(
        self, features_LIPV: Sequence[Tensor], pictures: Sequence[Tensor], region_image_G: Tensor, boxes_G4: Tensor
    ) -> Tensor:
        images = region_image_G.unique().tolist()
        if images[-1] >= len(pictures):
            raise ValueError(
                f"regions of image {images[-1]} need its picture, but found {len(pictures)} pictures: make the batch with "
                f"the picture_sides of this encoder ({self.picture_sides})"
            )
        maps = self._maps(pictures, images)
        extents = {image: (pictures[image].shape[2] / STRIDE, pictures[image].shape[1] / STRIDE) for image in maps}
        pooled = align_regions(maps, extents, region_image_G, boxes_G4, self.bins)
        return self.encoder.attnpool(self.encoder.layer4(pooled.to(self._dtype)))

    def _maps(self, pictures: Sequence[Tensor], images: Iterable[int]) -> dict[int, Tensor]:
        """The map of each image, (C, H, W); images of one size together."""
        by_size: dict[torch.Size, list[int]] = defaultdict(list)
        for image in images:
            by_size[pictures[image].shape].append(image)
        maps: dict[int, Tensor] = {}
        for alike in by_size.values():
            pixels_ICHW = torch.stack([pictures[image] for image in alike])
            features = self.encoder.stem(normalised(pixels_ICHW, self.mean, self.std, self._dtype))
            for layer in (self.encoder.layer1, self.encoder.layer2, self.encoder.layer3):
                features = layer(features)
            maps |= dict(zip(alike, features, strict=True))
        return maps

    @property
    def _dtype(self) -> torch.dtype:
        return self.encoder.conv1.weight.dtype


def _build(tower: str, options: dict[str, Any]) -> ModifiedResNet:
    """The tower with random weights."""
    config = open_clip.get_model_config(tower)
    sizes = {**config["vision_cfg"], "embed_dim": config["embed_dim"], **options} if config else {}
    if not isinstance(sizes.get("layers"), list | tuple):
        raise ValueError(f"tower {tower!r} is no CLIP ResNet of open_clip: choose one such as RN50x4")
    return ModifiedResNet(
        layers=sizes["layers"],
        output_dim=sizes["embed_dim"],
        heads=sizes["width"] * 32 // sizes.get("head_width", 64),
        image_size=sizes["image_size"],
        width=sizes["width"],
    )


def _load(encoder: ModifiedResNet, path: Path) -> None:
    """Fill the tower from a file; whatever else the file holds (text encoder, detection heads) is left."""
    state: dict = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("model", state.get("state_dict", state))
    anchor = "attnpool.positional_embedding"
    prefixes = [key.removesuffix(anchor) for key in state if key.endswith(anchor)]
    prefix = min(prefixes, key=len, default="")
    # How many batches a batch norm has seen is not stored by RegionCLIP, and not used by a frozen one.
    expected = [name for name in encoder.state_dict() if not name.endswith("num_batches_tracked")]
    missing = [name for name in expected if prefix + name not in state]
    if missing:
        raise ValueError(
            f"{path} does not hold the weights of this tower: {len(missing)} of {len(expected)} tensors are missing "
            f"({', '.join(missing[:3])} ...). Give the `tower` and `tower_options` that these weights were trained with"
        )
    try:
        encoder.load_state_dict({name: state[prefix + name] for name in expected}, strict=False)
    except RuntimeError as error:  # of another shape
        raise ValueError(f"{path} does not fit this tower: {error}") from error
