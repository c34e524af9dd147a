"""Phrases that are read as one token: what a small language model trains on, before features of pictures take their place.

    <phrase> small red car|c|3|f|7</phrase>

stands for a single vector, the sum of its words' embeddings (`triscope.components.phrases`). Here is only how it is written.
"""

from collections.abc import Iterable

PHRASE_BEGIN = "<phrase>"
PHRASE_END = "</phrase>"
NOTHING = " ."  # what stands for a token that names no thing
SEPARATOR = "|"  # between words that running text writes without a blank; not a word itself


def write_phrase(words: str, *joined: str) -> str:
    """`<phrase> small red car|c|3|f|7</phrase>`: words as in running text, then what stands there without blanks."""
    return f"{PHRASE_BEGIN} {SEPARATOR.join((words, *joined))}{PHRASE_END}"


def phrase_tokens() -> Iterable[str]:
    """What a tokenizer must know as tokens of their own."""
    return PHRASE_BEGIN, PHRASE_END
