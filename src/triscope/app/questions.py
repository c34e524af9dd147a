"""Questions that stand in no data set: what a sample of one needs, and which level's adapters answer it."""

import re

from triscope.data.errors import BadSampleError
from triscope.data.sample import Level

UNKNOWN = "unknown"  # a sample needs a reference; nobody reads this one

_NAMES_A_PLACE = re.compile(r"<region:\d+>|\[")
_SENTENCE = r"(?:^|[.!?]\s)\W*(?:<image:\d+>\W*)*(?:(?:please|can you|could you) )?"
_ASKS_FOR_A_PLACE = re.compile(
    rf"{_SENTENCE}(?:(?:show|tell) (?:me )?)?(?:where|locate|point)\b"
    rf"|{_SENTENCE}(?:give|draw) (?:me )?(?:the|its|a) box\b|\bbounding box\b",
    re.IGNORECASE,
)
_FINDS = re.compile(rf"{_SENTENCE}find\b", re.IGNORECASE)
_SEVERAL_PICTURES = re.compile(r"<image:\d+>")  # what they share is found, and said, in words


_WITHOUT_NUMBER = re.compile(r"<(image|region)>")


def check_marks(question: str, where: str) -> None:
    """Refuse a mark that other systems know, and that would be read as plain text here.

    Args:
        question: as it was typed.
        where: it was typed, for the message.

    Raises:
        BadSampleError: a picture or a region is marked without its number.
    """
    if mark := _WITHOUT_NUMBER.search(question):
        remedy = "number it" if mark[1] == "region" else "leave it out where there is one picture, else number it"
        raise BadSampleError(where, mark[0], f"<{mark[1]}:1>, <{mark[1]}:2> and so on", remedy)


def guess_level(question: str) -> Level:
    """Whether a question names a place or asks for one: it then needs the region level's adapters."""
    finds_a_place = _FINDS.search(question) and not _SEVERAL_PICTURES.search(question)
    about_places = _NAMES_A_PLACE.search(question) or _ASKS_FOR_A_PLACE.search(question) or finds_a_place
    return Level.REGION if about_places else Level.IMAGE
