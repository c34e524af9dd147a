"""Answers that are right or wrong, and the nouns of a caption."""

import re
from collections.abc import Iterable, Sequence
from string import ascii_uppercase

from triscope.evaluation.captions import tokens
from triscope.evaluation.vqa import normalised

_YES_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_DENIED = re.compile(r"(?:\b(?:no|not|cannot|nor|neither)\b|n['\u2019]t\b)(?:(?!\bbut\b)[^,.;:!?\n])*", re.IGNORECASE)
_LETTER = re.compile(r"\(?([A-Z])(?:\)|[.:](?=\s|$)|$)")
_IRREGULAR = {
    "people": "person",
    "buses": "bus",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "knives": "knife",
    "shelves": "shelf",
    "leaves": "leaf",
    "loaves": "loaf",
    "wolves": "wolf",
    "calves": "calf",
    "scarves": "scarf",
}


def exact_match(answer: str, references: Iterable[str]) -> bool:
    """Whether an answer is one of the references, leaving aside case, articles, punctuation and number words."""
    return normalised(answer) in {normalised(reference) for reference in references}


def chosen(answer: str, choices: Sequence[str]) -> int | None:
    """Which of several choices an answer names, from 0: by its words, or else by its letter, as in `B`, `(B)` and `B. red`."""
    said = answer.strip()
    same = [number for number, choice in enumerate(choices) if choice == said]
    alike = [number for number, choice in enumerate(choices) if exact_match(said, [choice])]
    if same or alike:
        return (same or alike)[0]
    letter = _LETTER.match(said)
    number = ascii_uppercase.index(letter[1]) if letter else len(choices)
    return number if number < len(choices) else None


def official_gqa_answer(text: str) -> str:
    """An answer as it is handed to GQA's evaluation, which compares it letter by letter: LLaVA's rule, from which PVIT descends.

    In lower case and without full stops at its end; nothing else is normalised.
    """
    return text.strip().rstrip(".").lower()


def names_object(answer: str, names: Iterable[str], longer_names: Iterable[str] = ()) -> bool:
    """Whether an answer says one of an object's names, in singular or plural, and does not deny it.

    Args:
        answer: a name or a sentence; what stands behind `no` or `not`, up to the end of its clause, does not count.
        names: the object's.
        longer_names: of other kinds of objects, with such a name in them; a hot dog is no dog.
    """
    names = list(names)
    mentioned = mentioned_names(_DENIED.sub(" ", answer), [*names, *longer_names])
    return any(is_mentioned(name, mentioned) for name in names)


def yes_no_match(answer: str, references: Iterable[str]) -> bool:
    """Whether the first `yes` or `no` of an answer is that of a reference; an answer with neither is wrong."""
    said = first_yes_no(answer)
    return said is not None and said in {first_yes_no(reference) for reference in references}


def first_yes_no(text: str) -> str | None:
    """The first word `yes` or `no` of a text in lower case, or None."""
    found = _YES_NO.search(text)
    return found[1].lower() if found else None


def noun_counts(caption: str, names: Iterable[str], vocabulary: Iterable[str]) -> tuple[int, int, int]:
    """What the F1 of nouns adds up: 2 x right / (mentioned + present).

    Args:
        caption: what the model wrote.
        names: of the objects in the picture.
        vocabulary: nouns that count; other words of the caption are neither right nor wrong.

    Returns:
        Kinds both mentioned and present, kinds mentioned, kinds present.
    """
    mentioned = mentioned_names(caption, vocabulary)
    present = {_singular_words(name) for name in names}
    return len(mentioned & present), len(mentioned), len(present)


def mentioned_names(text: str, vocabulary: Iterable[str]) -> set[tuple[str, ...]]:
    """The names that a text mentions, in singular; the longest name at each place, so a hot dog is not a dog.

    Args:
        text: a caption or a question.
        vocabulary: names of one or several words.

    Returns:
        Each name as its words in singular.
    """
    known = {_singular_words(name) for name in vocabulary}
    longest = max(map(len, known), default=0)
    words, found, start = _singular_words(text), set(), 0
    while start < len(words):
        windows = (words[start : start + length] for length in range(min(longest, len(words) - start), 0, -1))
        name = next((window for window in windows if window in known), None)
        if name:
            found.add(name)
        start += len(name) if name else 1
    return found


def is_mentioned(name: str, mentioned: set[tuple[str, ...]]) -> bool:
    """Whether a name is among those `mentioned_names` found."""
    return _singular_words(name) in mentioned


def _singular_words(text: str) -> tuple[str, ...]:
    return tuple(map(_singular, tokens(text)))


def _singular(word: str) -> str:
    """A noun's singular by the regular endings; both sides of a comparison pass here, so a rare mishap cancels."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 2:
        return word[:-1]
    return word
