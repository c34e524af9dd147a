"""Textured backgrounds: a few patterns, made once, and two neighbouring pastel colours a picture."""

import colorsys
import random
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

PATTERN_SIDE = 320  # pixels; a picture shows a part of a pattern
PATTERNS_A_KIND = 6
_PATTERN_SEED = 20240229  # the patterns are the same for every split and seed; part, flip and colours differ


@dataclass(frozen=True, slots=True)
class Backdrop:
    """Which part of which pattern is seen, in which colours.

    Args:
        pattern: index into `patterns()`.
        left, top: upper left corner of the part in pixels of the pattern.
        mirrored: left and right exchanged.
        dark, light: RGB, 0 to 255, of the pattern's lowest and highest values.
    """

    pattern: int
    left: int
    top: int
    mirrored: bool
    dark: tuple[int, int, int]
    light: tuple[int, int, int]


def draw_backdrop(rng: random.Random, side: int) -> Backdrop:
    """Choose a background for a square picture of `side` pixels."""
    hue, saturation, value = rng.random(), rng.uniform(0.05, 0.35), rng.uniform(0.85, 1.0)
    hue_of_dark, value_of_dark = hue + rng.uniform(-0.06, 0.06), value - rng.uniform(0.06, 0.2)
    return Backdrop(
        pattern=rng.randrange(len(patterns())),
        left=rng.randrange(PATTERN_SIDE - side + 1),
        top=rng.randrange(PATTERN_SIDE - side + 1),
        mirrored=rng.random() < 0.5,
        dark=_rgb(hue_of_dark % 1, saturation, value_of_dark),
        light=_rgb(hue, saturation, value),
    )


def paint(backdrop: Backdrop, side: int) -> Image.Image:
    """The background as an RGB picture of `side` x `side` pixels."""
    left, top = backdrop.left, backdrop.top
    part = patterns()[backdrop.pattern].crop((left, top, left + side, top + side))
    if backdrop.mirrored:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    dark, light = (Image.new("RGB", part.size, color) for color in (backdrop.dark, backdrop.light))
    return Image.composite(light, dark, mask=part)


@cache
def patterns() -> tuple[Image.Image, ...]:
    """Grey pictures of `PATTERN_SIDE`: gradients, clouds, stripes, checks, dots and waves, all with some grain."""
    generator = np.random.default_rng(_PATTERN_SEED)
    kinds = (_gradient, _clouds, _stripes, _checks, _dots, _waves)
    return tuple(_grey(kind(generator), generator) for kind in kinds for _ in range(PATTERNS_A_KIND))


def _rgb(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = (round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue


def _grey(values: np.ndarray, generator: np.random.Generator) -> Image.Image:
    """Values from 0 to 1 with grain, as an 8-bit picture."""
    grained = values + generator.normal(0, generator.uniform(0.02, 0.08), values.shape)
    return Image.fromarray((255 * grained.clip(0, 1)).astype(np.uint8))


def _along(generator: np.random.Generator) -> np.ndarray:
    """Pixels travelled in a random direction, H x W."""
    angle = generator.uniform(0, np.pi)
    down, across = np.mgrid[:PATTERN_SIDE, :PATTERN_SIDE]
    return across * np.cos(angle) + down * np.sin(angle)


def _gradient(generator: np.random.Generator) -> np.ndarray:
    way = _along(generator)
    return (way - way.min()) / (way.max() - way.min())


def _clouds(generator: np.random.Generator) -> np.ndarray:
    values = np.zeros((PATTERN_SIDE, PATTERN_SIDE))
    for cells in (3, 6, 12, 24):  # each octave is finer and weaker
        coarse = Image.fromarray(generator.random((cells, cells)).astype(np.float32))
        values += np.asarray(coarse.resize((PATTERN_SIDE, PATTERN_SIDE), Image.Resampling.BICUBIC)) / cells
    return (values - values.min()) / (values.max() - values.min())


def _stripes(generator: np.random.Generator) -> np.ndarray:
    return (_along(generator) % (width := generator.uniform(14, 50)) < width / 2).astype(float)


def _checks(generator: np.random.Generator) -> np.ndarray:
    cell = int(generator.integers(10, 36))
    down, across = np.mgrid[:PATTERN_SIDE, :PATTERN_SIDE] // cell
    return ((down + across) % 2).astype(float)


def _dots(generator: np.random.Generator) -> np.ndarray:
    spacing = generator.uniform(16, 40)
    down, across = np.mgrid[:PATTERN_SIDE, :PATTERN_SIDE] % spacing - spacing / 2
    return (np.hypot(down, across) < spacing * generator.uniform(0.2, 0.35)).astype(float)


def _waves(generator: np.random.Generator) -> np.ndarray:
    down, across = np.mgrid[:PATTERN_SIDE, :PATTERN_SIDE]
    bend = generator.uniform(3, 10) * np.sin(across / generator.uniform(10, 30))
    return 0.5 + 0.5 * np.sin((down + bend) / generator.uniform(3, 8))
