"""What the steps are asked and answer."""

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True, slots=True)
class Source:
    """A source picture.

    Args:
        picture: RGB, or RGBA where the outline is known.
        description: what is known of its subject without looking.
    """

    picture: Image.Image
    description: str


@dataclass(frozen=True, slots=True)
class Canvas:
    """Subjects on black, around which a background is wanted.

    Args:
        picture: RGB.
        free: mode L, 255 where the background goes.
        prompt: what the background is.
        seed: of the painting.
    """

    picture: Image.Image
    free: Image.Image
    prompt: str
    seed: int


@dataclass(frozen=True, slots=True)
class AskRequest:
    """What a question is made from.

    Args:
        domain: `characters` or `furniture`.
        caption: of what both pictures show.
        seed: of the wording.
    """

    domain: str
    caption: str
    seed: int


@dataclass(frozen=True, slots=True)
class Asked:
    """An instruction, with its image markers, and its answer."""

    instruction: str
    answer: str
