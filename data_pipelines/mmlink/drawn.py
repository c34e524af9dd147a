"""The steps without any download: known outlines, textures, known names, and texts from templates."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from data_pipelines.mmlink.pair import instruction
from data_pipelines.mmlink.requests import Asked, AskRequest, Canvas, Source
from data_pipelines.scenes.backdrops import PATTERN_SIDE, draw_backdrop, paint

OPAQUE = 255

PLACES = {
    "characters": ("a street", "a train station", "a park", "a market", "a library", "a beach", "a harbour", "a museum"),
    "furniture": ("a living room", "an office", "an attic", "a bedroom", "a shop", "a waiting room", "a hallway", "a studio"),
}
LIGHTS = ("in the morning", "at noon", "in the evening", "in dim light", "on a bright day", "on a rainy day")


@dataclass(frozen=True)
class AlphaSegmenter:
    """The outline that a cut-out brings along; pictures without one have no subject."""

    name: str = "alpha channel"

    def segment(self, pictures: Sequence[Image.Image]) -> list[Image.Image | None]:
        """The alpha channels."""
        return [_alpha(picture) for picture in pictures]


@dataclass(frozen=True)
class TexturePainter:
    """A texture in two pastel colours. It does not show what the prompt says; the prompt and the seed choose it."""

    name: str = "textures"

    def paint(self, canvases: Sequence[Canvas]) -> list[Image.Image | None]:
        """A texture for each canvas."""
        return [self._paint(canvas) for canvas in canvases]

    def _paint(self, canvas: Canvas) -> Image.Image:
        side = min(*canvas.picture.size, PATTERN_SIDE)
        backdrop = draw_backdrop(random.Random(f"{canvas.prompt} {canvas.seed}"), side)
        return paint(backdrop, side).resize(canvas.picture.size)


@dataclass(frozen=True)
class KnownCaptioner:
    """What is known of the subject."""

    name: str = "known descriptions"

    def caption(self, sources: Sequence[Source]) -> list[str | None]:
        """The descriptions."""
        return [source.description or None for source in sources]


@dataclass(frozen=True)
class TemplateWriter:
    """Places from a list, instructions from our wordings, answers that are the caption as a sentence."""

    name: str = "templates"

    def backgrounds(self, domain: str, shown: Sequence[Sequence[str]], seeds: Sequence[int]) -> list[str | None]:
        """`a train station in the evening`, whoever is shown."""
        return [f"{rng.choice(PLACES[domain])} {rng.choice(LIGHTS)}" for rng in map(random.Random, seeds)]

    def ask(self, requests: Sequence[AskRequest]) -> list[Asked | None]:
        """A wording of the domain; the caption."""
        return [self._ask(request) for request in requests]

    def _ask(self, request: AskRequest) -> Asked:
        sentence = f"{request.caption[:1].upper()}{request.caption[1:]}."
        return Asked(instruction(request.domain, random.Random(request.seed)), sentence)


def _alpha(picture: Image.Image) -> Image.Image | None:
    if "A" not in picture.getbands():
        return None
    alpha = picture.getchannel("A")
    return None if alpha.getextrema()[0] == OPAQUE else alpha
