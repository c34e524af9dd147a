"""The accuracy of VQA v2 (visualqa.org/evaluation), equal to the official code's numbers."""

import re
from collections.abc import Sequence

ARTICLES = frozenset({"a", "an", "the"})
DIGITS = {
    "none": "0",
    "zero": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'  # `'` and `:` stay
_DIGIT_COMMA = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_PERIODS_REMOVED = 32
_CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't
    he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've
    might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't
    shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's
    something'd something'd've something'll that's there'd there'd've there're there's they'd they'd've
    they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
    where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
# The official table corrects a spelling from which one apostrophe is missing; its one odd entry goes the other way.
_CORRECTED = {
    whole[:place] + whole[place + 1 :]: whole
    for whole in _CONTRACTIONS.split()
    for place, letter in enumerate(whole)
    if letter == "'"
} | {"somebody'd": "somebodyd"}


def normalised(answer: str) -> str:
    """An answer in lower case, without articles and punctuation, number words as digits, contractions spelled right."""
    words = (DIGITS.get(word, word) for word in without_punctuation(answer).lower().split())
    return " ".join(_CORRECTED.get(word, word) for word in words if word not in ARTICLES)


def vqa_accuracy(answer: str, references: Sequence[str]) -> float:
    """How far people agree with an answer, 0 to 1: min(matches / 3, 1), averaged over leaving out one person each.

    With ten people, 1, 2, 3 and 4 matches give 0.3, 0.6, 0.9 and 1. As in the official code, nothing is normalised
    where all people wrote the same: there `Yes.` is not `yes`.

    Args:
        answer: what the model said.
        references: what each person said, usually ten.

    Raises:
        ValueError: fewer than two references, so that none can be left out.
    """
    if len(references) < 2:
        raise ValueError(f"{len(references)} reference(s) for a VQA accuracy: expected the answers of several people")
    answer, *references = (_one_line(text) for text in (answer, *references))
    if len(set(references)) > 1:
        answer, *references = (normalised(text) for text in (answer, *references))
    matches = references.count(answer)
    others_of_a_match, others_of_a_miss = min((matches - 1) / 3, 1), min(matches / 3, 1)
    return (matches * others_of_a_match + (len(references) - matches) * others_of_a_miss) / len(references)


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def without_punctuation(text: str) -> str:
    """A mark beside a space, or in a text with a number like 1,000, disappears; any other becomes a space.

    Full stops disappear but in numbers, and only the first 32: the official code means a flag and gives a count.
    """
    cleaned = text
    for mark in _PUNCTUATION:
        disappears = f"{mark} " in text or f" {mark}" in text or _DIGIT_COMMA.search(text)
        cleaned = cleaned.replace(mark, "" if disappears else " ")
    return _PERIOD.sub("", cleaned, count=_PERIODS_REMOVED)
