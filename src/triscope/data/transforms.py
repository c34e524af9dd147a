"""Pictures from bytes to pixels, and their boxes with them. Pixels stay uint8: they are normalised on the device."""

import io
import re
from dataclasses import dataclass

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import BadSampleError
from triscope.data.sample import MARKER, Image, Sample

FORMATS = ("JPEG", "PNG", "WEBP")
_SIDES = re.compile(r"\b(?:left|right)", re.IGNORECASE)


@dataclass(frozen=True)
class PictureTransform:
    """Squash a picture to a square and, where nothing told of it depends on left and right, sometimes mirror it.

    Args:
        size: side of the square in pixels.
        draft: let the JPEG decoder skip resolution that the square does not show; several times faster, with slightly
            other pixels.
        flip_probability: how often a sample that `flip_allowed` is mirrored.
        max_pixels: a larger picture is refused before it is decoded.
    """

    size: int
    draft: bool = True
    flip_probability: float = 0.0
    max_pixels: int = 64_000_000

    def flips(self, sample: Sample, generator: np.random.Generator) -> bool:
        """Draw whether all images of a sample are mirrored."""
        return bool(generator.random() < self.flip_probability) and flip_allowed(sample)

    def boxes(self, sample: Sample, flipped: bool) -> tuple[Box, ...]:
        """The boxes of a sample's regions in unit space, mirrored if its images are. Squashing does not move them."""
        boxes = []
        for region in sample.regions:
            image = sample.images[region.image]
            box = region.box.to(BoxSpace.UNIT, image.width, image.height)
            boxes.append(box.flipped(image.width, image.height) if flipped else box)
        return tuple(boxes)

    def pixels(self, content: bytes, image: Image, flipped: bool, where: str) -> Tensor:
        """Decode a picture.

        Args:
            content: JPEG, PNG or WebP.
            image: what the sample says of it.
            flipped: mirror it.
            where: shard and key, for messages.

        Returns:
            uint8 (3, size, size).

        Raises:
            BadSampleError: bytes that do not decode, a picture beyond `max_pixels` or of another size than recorded.
        """
        where = f"{where}, {image.file}"
        try:
            with PIL.Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                self._check_size(picture.size, image, where)
                if self.draft:
                    picture.draft("RGB", (self.size, self.size))
                square = picture.convert("RGB").resize((self.size, self.size), PIL.Image.Resampling.BICUBIC)
        except BadSampleError:
            raise
        except PIL.Image.DecompressionBombError as error:
            raise BadSampleError(where, str(error), f"at most {self.max_pixels} pixels", "leave it out") from None
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise BadSampleError(
                where, f"bytes that do not decode ({error})", "a whole JPEG, PNG or WebP", "replace or leave it out"
            ) from None
        pixels_HWC = np.array(square)
        return torch.from_numpy(pixels_HWC[:, ::-1].copy() if flipped else pixels_HWC).permute(2, 0, 1).contiguous()

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
