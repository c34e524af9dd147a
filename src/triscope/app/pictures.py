"""Pictures that a user shows a model: read from a file, tagged, and told of in words; and boxes in them."""

import io
from dataclasses import replace
from pathlib import Path

from PIL import Image as Picture
from PIL import ImageOps

from triscope.app.answerer import names_a_recipe
from triscope.checkpoints.naming_tagger import THRESHOLDS_FILE
from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import ConfigurationError, reason
from triscope.data.sample import Image
from triscope.tagging.tagger import Tagger, build_tagger, read_tagger

DEMO_TAGGER = Path("runs/demo/tagger")  # knows the names that the released parts know, too


def tagger_of(named: Path | None, arguments: list[str]) -> Tagger | None:
    """What tags new pictures: the tagger that is named, else the demo's where the released parts answer.

    Args:
        named: file or folder of a tagger.
        arguments: those that say which model answers.

    Raises:
        ConfigurationError: the tagger cannot be built.
    """
    is_whole = (DEMO_TAGGER / THRESHOLDS_FILE).is_file()  # they are found last
    if named is None and not names_a_recipe(arguments) and is_whole:
        named = DEMO_TAGGER
    return build_tagger(read_tagger(named)) if named is not None else None


def look_at(file: Path, tagger: Tagger | None, number: int = 0) -> tuple[Image, bytes]:
    """A picture of a sample with its tags, none without a tagger, and its JPEG bytes.

    Args:
        file: a picture of any format.
        tagger: names what is in it.
        number: of the picture in its sample, from 0.

    Raises:
        ConfigurationError: the file cannot be read as a picture.
    """
    content, size = read_picture(file)
    image = Image(f"{number}.jpg", *size)
    if tagger is None:
        return image, content
    pixels_CHW = tagger.pixels(content, image, image.file)
    return replace(image, tags=tagger.tags(pixels_CHW[None])[0]), content


def read_picture(file: Path) -> tuple[bytes, tuple[int, int]]:
    """A picture of any format as JPEG, upright as its camera says, and its width and height.

    Raises:
        ConfigurationError: the file cannot be read as a picture.
    """
    try:
        with Picture.open(file) as picture:
            upright = ImageOps.exif_transpose(picture)
            buffer = io.BytesIO()
            upright.convert("RGB").save(buffer, "JPEG", quality=95)
            return buffer.getvalue(), upright.size
    except (OSError, ValueError, SyntaxError, Picture.DecompressionBombError) as error:
        remedy = "correct the path, or convert the file"
        raise ConfigurationError(f"--picture {file}", reason(error), "a picture", remedy) from None


def told(file: Path, image: Image, tagger: Tagger | None) -> str:
    """A picture in words: its size, and its tags or why there are none."""
    return f"{file}: {image.width}x{image.height}, {_tags_told(image, tagger)}"


def _tags_told(image: Image, tagger: Tagger | None) -> str:
    if tagger is None:
        return "tags off, for no tagger is given (--tagger FILE, see docs/data.md; `make demo` trains one)"
    named = ", ".join(f"{tag.name} {tag.score:.2f}" for tag in image.tags)
    return f"tags {named}" if named else f"no tag: none of {len(tagger.vocabulary.names)} names is above its threshold"


def in_pixels(box: Box, image: Image) -> str:
    """A box of a picture as it can be typed: left, top, right, bottom."""
    corners = box.to(BoxSpace.PIXELS, image.width, image.height).corners
    return f"{','.join(f'{corner:.0f}' for corner in corners)} (pixels of {image.width}x{image.height})"
