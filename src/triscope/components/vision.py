"""The frozen vision tower, tapped at several depths (LION: EVA ViT-g after blocks 38, 28 and 18)."""

from difflib import get_close_matches
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import open_clip
import timm
import torch
from open_clip.model import _build_vision_tower
from open_clip.transformer import VisionTransformer as OpenClipVisionTransformer
from safetensors.torch import load_file
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from triscope.components.feature_cache import FeatureCache
from triscope.components.pixels import normalised
from triscope.components.pooling import average_patches, pooled_patches
from triscope.hardware import chosen_dtype
from triscope.packaged import resolve


class VisionEncoder(nn.Module):
    """A vision transformer that returns the raw outputs of some of its blocks.

    The tower is frozen for good: always in evaluation mode, whatever `train()` is told, and its weights ask for no gradients,
    so that autograd keeps nothing of a pass. Blocks above the deepest tap, the final norm and the head are dropped when it is
    built.
    Built under `torch.device("meta")` it has the real shapes and reads no weights.

    Args:
        tower: name of a vision transformer of open_clip (`EVA01-g-14`, `ViT-L-14-quickgelu`) or of timm
            (`vit_small_patch14_dinov2`). It must have exactly one class token.
        weights: safetensors or `torch.save` file with the tower's state dict, alone or inside a whole CLIP;
            `packaged:NAME` for weights that `triscope.packaged` prepares; None for random ones.
        taps: blocks to return, counted from 0, deepest first.
        image_size: side of the square input in pixels. Learned positions are resampled to it.
        pool: side of the squares of patches that are averaged into one, to spare all that follows work; 1 is the papers'.
        dtype: precision of the tower and of its features; "auto" is bfloat16 where this machine is fast at it, else float32.
        cache_folder: keep the features of uint8 pictures here, and read them instead of encoding a picture again; see
            `FeatureCache`. None keeps nothing.
        compiled: let `torch.compile` make one kernel of what a block does beside its products, at the first pictures. Takes a
            compiler of C++ on a CPU, and Triton on a GPU.
        tower_options: sizes that differ from the named tower's (timm arguments, or fields of open_clip's `vision_cfg`).

    Attributes:
        width: V, length of a patch vector.
        patches: P, patches of an image with the class token, which comes first.
        is_cached: True with a `cache_folder`, on the meta device too.

    Raises:
        ValueError: the tower is unknown or is not such a transformer, the taps do not fit it, or the weights do not.

    Source: LION (arXiv 2311.11860), section 3.2; the depth convention (39 of EVA-g's 40 blocks) is BLIP-2's.
    """

    tower: Any  # of open_clip or timm; both know `forward_intermediates` and `prune_intermediate_layers`

    def __init__(
        self,
        tower: str = "EVA01-g-14",
        weights: str | None = None,
        taps: tuple[int, ...] = (38, 28, 18),
        image_size: int = 224,
        pool: int = 1,
        dtype: Literal["float32", "bfloat16", "auto"] = "float32",
        cache_folder: str | None = None,
        compiled: bool = False,
        tower_options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.taps = tuple(taps)
        self.image_size = image_size
        self.tower, self.mean, self.std = _build_tower(tower, image_size, tower_options or {})
        _check_taps(self.taps, depth=len(_blocks(self.tower)), tower=tower)
        self.tower.prune_intermediate_layers(sorted(self.taps), prune_norm=True, prune_head=True)
        patches, self.width = self.tower.get_parameter(_positions_name(self.tower)).shape[-2:]
        self.pool, self.patches = pool, pooled_patches(patches, pool)
        if weights is not None and not next(self.tower.parameters()).is_meta:
            _load(self.tower, Path(resolve(weights)))
        self.requires_grad_(False).eval().to(chosen_dtype(dtype))
        if compiled:
            for block in _blocks(self.tower):  # alike, so that one is compiled for all
                block.compile()
        self.cache = None
        self.is_cached = cache_folder is not None
        if cache_folder is not None and not next(self.tower.parameters()).is_meta:
            shape = (len(self.taps), self.patches, self.width)
            self.cache = FeatureCache(Path(cache_folder).expanduser(), self.tower, shape, self.taps)

    def train(self, mode: bool = True) -> "VisionEncoder":
        """Stays in evaluation mode."""
        return super().train(False)

    def forward(self, pixels_ICHW: Tensor) -> list[Tensor]:
        """Features of every image at every tap.

        Args:
            pixels_ICHW: uint8 pictures from 0 to 255, normalised here; or floating point ones, normalised already.

        Returns:
            One (I, P, V) tensor a tap, deepest first: raw block outputs, class token first, no final norm.

        Raises:
            ValueError: the pictures have another size than `image_size`.
        """
        if pixels_ICHW.shape[1:] != (3, self.image_size, self.image_size):
            raise ValueError(
                f"pixels_ICHW is {tuple(pixels_ICHW.shape)}, but this tower takes (I, 3, {self.image_size}, "
                f"{self.image_size}): resize the pictures, or build VisionEncoder with their image_size"
            )
        if len(pixels_ICHW) == 0:
            return [self._normalised(pixels_ICHW).new_empty(0, self.patches, self.width) for _ in self.taps]
        if self.cache is not None and pixels_ICHW.dtype == torch.uint8:
            return self.cache.features(pixels_ICHW, self._encode)
        return self._encode(pixels_ICHW)

    def _encode(self, pixels_ICHW: Tensor) -> list[Tensor]:
        """Run the tower."""
        pixels_ICHW = self._normalised(pixels_ICHW)
        intermediates = partial(
            self.tower.forward_intermediates, indices=sorted(self.taps), output_fmt="NLC", intermediates_only=True
        )
        if isinstance(self.tower, OpenClipVisionTransformer):
            found = intermediates(pixels_ICHW, output_extra_tokens=True)
            tokens_L = zip(found["image_intermediates"], found["image_intermediates_prefix"], strict=True)
        else:
            tokens_L = intermediates(pixels_ICHW, return_prefix_tokens=True)
        features_LIPV = [torch.cat([class_token, patches], dim=1) for patches, class_token in tokens_L]
        return [average_patches(features_IPV, self.pool) for features_IPV in reversed(features_LIPV)]

    def _normalised(self, pixels_ICHW: Tensor) -> Tensor:
        return normalised(pixels_ICHW, self.mean, self.std, next(self.tower.parameters()).dtype)


def _build_tower(name: str, image_size: int, options: dict[str, Any]) -> tuple[Any, tuple, tuple]:
    """The whole tower with random weights, and the mean and deviation of the pixels it expects (0 to 1)."""
    config = open_clip.get_model_config(name)
    if config is None and not timm.is_model(name):
        known = [*open_clip.list_models(), *timm.list_models("*vit*"), *timm.list_models("eva*")]
        near = ", ".join(get_close_matches(name, known)) or "none is near"
        raise ValueError(f"tower {name!r} is known to neither open_clip nor timm. Names like it: {near}")
    if config is None or "timm_model_name" in config["vision_cfg"]:
        timm_name = name if config is None else config["vision_cfg"]["timm_model_name"]
        tower: Any = timm.create_model(timm_name, img_size=image_size, num_classes=0, **options)
        mean, std = tower.pretrained_cfg["mean"], tower.pretrained_cfg["std"]
        is_suitable = getattr(tower, "cls_token", None) is not None and tower.num_prefix_tokens == 1
    else:
        vision_config = {**config["vision_cfg"], "image_size": image_size, **options}
        tower = _build_vision_tower(config["embed_dim"], vision_config, config.get("quick_gelu", False))
        mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
        is_suitable = isinstance(tower, OpenClipVisionTransformer)
    if not is_suitable:
        raise ValueError(
            f"tower {name!r} is a {type(tower).__name__} without exactly one class token, and bridges count on one in "
            f"front of a grid of patches: choose a vision transformer such as EVA01-g-14 or ViT-L-14-quickgelu"
        )
    return tower, tuple(mean), tuple(std)


def _blocks(tower: Any) -> Any:
    return tower.transformer.resblocks if isinstance(tower, OpenClipVisionTransformer) else tower.blocks


def _positions_name(tower: Any) -> str:
    return "positional_embedding" if isinstance(tower, OpenClipVisionTransformer) else "pos_embed"


def _check_taps(taps: tuple[int, ...], depth: int, tower: str) -> None:
    is_descending = all(deeper > shallower for deeper, shallower in pairwise(taps))
    if not taps or not is_descending or taps[0] >= depth or taps[-1] < 0:
        raise ValueError(
            f"taps {list(taps)} do not fit the {depth} blocks of {tower}: give blocks from {depth - 1} down to 0, "
            f"deepest first, each once"
        )


def _load(tower: Any, path: Path) -> None:
    """Fill the tower from a file; parts of the file that it has dropped (upper blocks, norm, head, text) are left."""
    is_safetensors = path.suffix == ".safetensors"
    state: dict = load_file(path) if is_safetensors else torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    class_token = "class_embedding" if isinstance(tower, OpenClipVisionTransformer) else "cls_token"
    prefix = next((key.removesuffix(class_token) for key in state if key.endswith(class_token)), "")
    state = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}

    expected = tower.state_dict()
    kept_blocks = {key.split(".mlp.")[0] + "." for key in expected if ".mlp." in key}
    missing = sorted(expected.keys() - state.keys())
    unknown = sorted(key for key in state.keys() - expected.keys() if key.startswith(tuple(kept_blocks)))
    if missing or unknown:
        raise ValueError(
            f"{path} does not hold the weights of this tower: {len(missing)} of {len(expected)} tensors are missing "
            f"({', '.join(missing[:3])} ...), {len(unknown)} in its blocks are unknown ({', '.join(unknown[:3])} ...). "
            f"Give the `tower` and `tower_options` that these weights were trained with"
        )
    positions = _positions_name(tower)
    state[positions] = _resampled(state[positions], patches=expected[positions].shape[-2])
    try:
        tower.load_state_dict({key: state[key] for key in expected})
    except RuntimeError as error:  # of another shape
        raise ValueError(f"{path} does not fit this tower: {error}") from error


def _resampled(positions: Tensor, patches: int) -> Tensor:
    """Learned positions ([1,] P, V) on another square grid: bicubic, not antialiased, as in BLIP-2 and DINOv2."""
    if positions.shape[-2] == patches:
        return positions
    side = round((patches - 1) ** 0.5)
    table_1PV = positions.view(1, *positions.shape[-2:])
    return resample_abs_pos_embed(table_1PV, [side, side], antialias=False).view(*positions.shape[:-2], patches, -1)
