"""Pictures from bytes to pixels, and their boxes with them. Pixels stay uint8, to be normalised on the device, unless told."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torch.nn import functional as F

from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import BadSampleError
from triscope.data.sample import MARKER, Image, Sample

FORMATS = ("JPEG", "PNG", "WEBP")
THINNEST = 16  # pixels of one cell of a region encoder's map
_SIDES = re.compile(r"\b(?:left|right)", re.IGNORECASE)


class Normalisation(NamedTuple):
    """What makes the float32 numbers that a model's towers want of uint8 pixels (3, H, W); None leaves them as they are.

    Args:
        pixels: of the squares that the vision encoder reads.
        region_pixels: of the pictures that a region encoder reads.
    """

    pixels: Callable[[Tensor], Tensor] | None = None
    region_pixels: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class PictureTransform:
    """Squash a picture to a square and, where nothing told of it depends on left and right, sometimes mirror it.

    Args:
        size: side of the square in pixels.
        draft: let the JPEG decoder skip resolution that the square does not show, and resize in small integers; faster,
            with slightly other pixels. Without it they are exactly PIL's.
        flip_probability: how often a sample that `flip_allowed` is mirrored.
        max_pixels: a larger picture is refused before it is decoded.
        box_jitter: each corner of a box is moved by up to this share of the box's width or height, anew at every access.
        region_sides: shortest and longest side of the pictures for a region encoder, in pixels; None for none.
        normalisation: of the pixels, which stay bytes without one.
    """

    size: int
    draft: bool = True
    flip_probability: float = 0.0
    max_pixels: int = 64_000_000
    box_jitter: float = 0.0
    region_sides: tuple[int, int] | None = None
    normalisation: Normalisation = Normalisation()  # noqa: RUF009  (a tuple)

    def flips(self, sample: Sample, generator: np.random.Generator) -> bool:
        """Draw whether all images of a sample are mirrored."""
        return bool(generator.random() < self.flip_probability) and flip_allowed(sample)

    def boxes(self, sample: Sample, flipped: bool, generator: np.random.Generator) -> tuple[Box, ...]:
        """The boxes of a sample's regions in unit space, mirrored if its images are. Squashing does not move them.

        A region is jittered once, so that its token, its text and an answer that names it agree (PVIT, spec 1.7).
        """
        boxes = []
        for region in sample.regions:
            image = sample.images[region.image]
            box = region.box.to(BoxSpace.UNIT, image.width, image.height)
            if self.box_jitter:
                box = box.shifted(generator.uniform(-self.box_jitter, self.box_jitter, 4).tolist())
                box = box.clipped(image.width, image.height)
            boxes.append(box.flipped(image.width, image.height) if flipped else box)
        return tuple(boxes)

    def pixels(self, content: bytes, image: Image, flipped: bool, where: str) -> Tensor:
        """Decode a picture, as the square that the vision encoder reads.

        Args:
            content: JPEG, PNG or WebP.
            image: what the sample says of it.
            flipped: mirror it.
            where: shard and key, for messages.

        Returns:
            (3, size, size); uint8, or float32 if normalised.

        Raises:
            BadSampleError: bytes that do not decode, a picture beyond `max_pixels` or of another size than recorded.
        """
        size = (self.size, self.size)
        pixels_CHW = self._decoded(content, image, size, PIL.Image.Resampling.BICUBIC, flipped, f"{where}, {image.file}")
        normalise = self.normalisation.pixels
        return pixels_CHW if normalise is None else normalise(pixels_CHW)

    def region_pixels(self, content: bytes, image: Image, flipped: bool, where: str) -> Tensor:
        """Decode a picture, as a region encoder reads it: in its own proportions, scaled by `region_size`.

        Args, errors: as `pixels`; also a picture too thin for a map.

        Returns:
            (3, H, W); uint8, or float32 if normalised.
        """
        assert self.region_sides is not None, "no region encoder asks for pictures"
        where = f"{where}, {image.file}"
        size = region_size(image.width, image.height, *self.region_sides)
        if min(size) < THINNEST:
            raise BadSampleError(
                where,
                f"{image.width}x{image.height} pixels, {size[0]}x{size[1]} as a region encoder reads it",
                f"at least {THINNEST} pixels each way",
                "leave the picture out",
            )
        pixels_CHW = self._decoded(content, image, size, PIL.Image.Resampling.BILINEAR, flipped, where)
        normalise = self.normalisation.region_pixels
        return pixels_CHW if normalise is None else normalise(pixels_CHW)

    def _decoded(
        self,
        content: bytes,
        image: Image,
        size: tuple[int, int],
        resampling: PIL.Image.Resampling,
        flipped: bool,
        where: str,
    ) -> Tensor:
        """A picture as uint8 (3, H, W), at its size for a tower."""
        try:
            with PIL.Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                self._check_size(picture.size, image, where)
                pixels_CHW = self._resized(picture, size, resampling)
        except BadSampleError:
            raise
        except PIL.Image.DecompressionBombError as error:
            raise BadSampleError(where, str(error), f"at most {self.max_pixels} pixels", "leave it out") from None
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise BadSampleError(
                where, f"bytes that do not decode ({error})", "a whole JPEG, PNG or WebP", "replace or leave it out"
            ) from None
        return (pixels_CHW.flip(2) if flipped else pixels_CHW).contiguous()

    def _resized(self, picture: PIL.Image.Image, size: tuple[int, int], resampling: PIL.Image.Resampling) -> Tensor:
        """A picture as RGB at another size: uint8 (3, H, W)."""
        if not self.draft:
            return torch.from_numpy(np.array(picture.convert("RGB").resize(size, resampling))).permute(2, 0, 1)
        picture.draft("RGB", size)
        pixels_CHW = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)
        # The same filter as PIL's, in integers of 16 bits, which is faster (`benchmarks.stream --levers`).
        return F.interpolate(pixels_CHW[None], size[::-1], mode=resampling.name.lower(), antialias=True)[0]

    def _check_size(self, size: tuple[int, int], image: Image, where: str) -> None:
        width, height = size
        if width * height > self.max_pixels:
            raise BadSampleError(
                where, f"{width}x{height} pixels", f"at most {self.max_pixels} pixels", "scale it down or leave it out"
            )
        if size != (image.width, image.height):
            raise BadSampleError(
                where,
                f"a picture of {width}x{height} pixels",
                f"{image.width}x{image.height}, as the record says",
                "record the size of the stored picture: its boxes are measured in it",
            )


def region_size(width: int, height: int, shortest: int, longest: int) -> tuple[int, int]:
    """Width and height of a picture whose shortest side becomes `shortest`, unless its longest then exceeds `longest`."""
    scale = shortest / min(width, height)
    sides = [width * scale, height * scale]
    if max(sides) > longest:
        sides = [side * longest / max(sides) for side in sides]
    return int(sides[0] + 0.5), int(sides[1] + 0.5)


def flip_allowed(sample: Sample) -> bool:
    """Whether all that is said of a sample's images stays true when they are mirrored: no region, no left, no right."""
    texts = [
        text
        for conversation in sample.conversations
        for turn in conversation.turns
        for text in (turn.prompt, *turn.answers, *turn.candidates)
    ]
    regions = any(kind == "region" for text in texts for kind, _ in MARKER.findall(text))
    return not regions and not any(_SIDES.search(text) for text in texts)
