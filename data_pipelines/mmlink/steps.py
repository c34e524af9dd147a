"""The steps that make a pair of characters or furniture, each replaceable: what it is given and what it gives.

A step works on many at once, so that a model can batch them. What it cannot do it gives as None: that pair is left out,
and the report counts it. Same input, same seeds, same output.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image

from data_pipelines.mmlink.drawn import AlphaSegmenter, KnownCaptioner, TemplateWriter, TexturePainter
from data_pipelines.mmlink.requests import Asked, AskRequest, Canvas, Source
from data_pipelines.mmlink.subjects import Subjects


class Segmenter(Protocol):
    """Finds the one subject of a picture."""

    @property
    def name(self) -> str:
        """Stored with each sample."""
        ...

    def segment(self, pictures: Sequence[Image.Image]) -> list[Image.Image | None]:
        """Of each picture a mask of its size, mode L, 255 on the subject."""
        ...


class Inpainter(Protocol):
    """Paints a background around what is already on a canvas."""

    @property
    def name(self) -> str:
        """Stored with each sample."""
        ...

    def paint(self, canvases: Sequence[Canvas]) -> list[Image.Image | None]:
        """Of each canvas an RGB picture of its size; what is under the subjects does not matter."""
        ...


class Captioner(Protocol):
    """Describes the subject of a source picture."""

    @property
    def name(self) -> str:
        """Stored with each sample."""
        ...

    def caption(self, sources: Sequence[Source]) -> list[str | None]:
        """A phrase about each."""
        ...


class Writer(Protocol):
    """Writes backgrounds, instructions and answers."""

    @property
    def name(self) -> str:
        """Stored with each sample."""
        ...

    def backgrounds(self, domain: str, shown: Sequence[Sequence[str]], seeds: Sequence[int]) -> list[str | None]:
        """For each canvas with these subjects on it, a phrase about a place where they could be."""
        ...

    def ask(self, requests: Sequence[AskRequest]) -> list[Asked | None]:
        """For each pair an instruction and an answer."""
        ...


@dataclass(frozen=True)
class Steps:
    """The chosen steps.

    Args:
        subjects: where people or things come from.
        segmenter, inpainter, captioner, writer: the defaults need no download; see `learned` and `writing` for others.
        side: pixels of the square pictures.
    """

    subjects: Subjects
    segmenter: Segmenter = field(default_factory=AlphaSegmenter)
    inpainter: Inpainter = field(default_factory=TexturePainter)
    captioner: Captioner = field(default_factory=KnownCaptioner)
    writer: Writer = field(default_factory=TemplateWriter)
    side: int = 224

    def names(self) -> dict[str, str]:
        """What each step was done by, as samples store it."""
        parts = ("subjects", "segmenter", "captioner", "inpainter", "writer")
        return {part: getattr(self, part).name for part in parts}
