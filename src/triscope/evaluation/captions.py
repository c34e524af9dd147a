"""Caption scores as the COCO caption evaluation defines them: BLEU, ROUGE-L, CIDEr-D.

Peers' numbers for the same captions differ because libraries define these scores differently (BLEU's tie-break of the
closest reference length, ROUGE-L's beta). Here each follows the COCO definition, so that numbers compare with papers.
Every function takes candidates and references either as raw text, which is tokenised, or as lists of tokens.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

Text = str | Sequence[str]
LONGEST_NGRAM = 4

_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_FUSED = re.compile(r"\b(?:(can)(not)|(gon|wan)(na)|(got)(ta))\b")
_CLITIC = re.compile(r"(?<=\w)(n't|'(?:s|m|d|re|ve|ll))(?!\w)")
_TOKEN = re.compile(
    r"""
      n't(?!\w) | (?<!\S)'(?:s|m|d|re|ve|ll)(?!\w)             # split off by _CLITIC
    | (?:https?://|www\.)\S+
    | \w+(?:[.+-]\w+)*@\w+(?:\.\w+)+                           # e-mail address
    | (?:[a-z]\.){2,}                                          # u.s.  a.m.
    | (?:st|mr|mrs|ms|dr|ave|jr|sr|blvd|mt|ft|co|vs|no(?=\.\s*\d))\.(?=\s|$)
    | \w+(?:(?:[-'/&.]|(?<=\d)[,:](?=\d))\w+)*                 # black-and-white  o'clock  and/or  10:30  1,000
    | [()\[\]{}$%#&@*+=<>|~^\\/\u00a3\u20ac]                   # symbols that stay; other punctuation is left out
    """,
    re.VERBOSE,
)


def tokens(text: str) -> list[str]:
    """Words of a caption as the Penn Treebank tokeniser of the COCO evaluation writes them, without Java.

    Lower case; punctuation left out; `n't`, `'s` and their like are words of their own, so are `$`, `%` and brackets.

    Args:
        text: one caption.

    Returns:
        The words in order.
    """
    text = text.lower().replace("\u2019", "'").replace("\u2018", "'")
    text = _FUSED.sub(lambda fused: " ".join(filter(None, fused.groups())), text)
    return [_BRACKETS.get(word, word) for word in _TOKEN.findall(_CLITIC.sub(r" \1", text))]


def bleu(candidates: Sequence[Text], references: Sequence[Sequence[Text]]) -> tuple[float, float, float, float]:
    """BLEU-1 to BLEU-4 of a corpus, 0 to 1 (Papineni et al. 2002, as in the COCO caption evaluation).

    Args:
        candidates: one caption an item.
        references: the accepted captions of each item.
    """
    return bleu_of_sums(bleu_counts(candidates, references).sum(axis=0))


def bleu_counts(candidates: Sequence[Text], references: Sequence[Sequence[Text]]) -> np.ndarray:
    """What BLEU adds up over a corpus.

    Returns:
        (items, 10): matched n-grams of length 1 to 4, n-grams of length 1 to 4, candidate length, reference length. The
        reference length is that of the reference closest in length, the shorter one of two equally close.
    """
    rows = []
    for candidate, accepted in _tokenised(candidates, references):
        allowed: Counter = Counter()
        for reference in accepted:
            allowed |= _ngrams(reference)
        found = _ngrams(candidate)
        matched, total = [0] * LONGEST_NGRAM, [0] * LONGEST_NGRAM
        for ngram, count in found.items():
            matched[len(ngram) - 1] += min(count, allowed[ngram])
            total[len(ngram) - 1] += count
        closest = min((abs(len(reference) - len(candidate)), len(reference)) for reference in accepted)[1]
        rows.append([*matched, *total, len(candidate), closest])
    return np.array(rows, dtype=np.float64).reshape(-1, 2 * LONGEST_NGRAM + 2)


def bleu_of_sums(sums: np.ndarray) -> tuple[float, float, float, float]:
    """BLEU-1 to BLEU-4 from the column sums of `bleu_counts`."""
    matched, total = sums[:LONGEST_NGRAM], sums[LONGEST_NGRAM : 2 * LONGEST_NGRAM]
    candidate_length, reference_length = sums[2 * LONGEST_NGRAM :]
    # The evaluation's own guards against 0; they show where nothing matches.
    precisions = (matched + 1e-15) / (total + 1e-9)
    ratio = (candidate_length + 1e-15) / (reference_length + 1e-9)
    brevity = min(1.0, math.exp(1 - 1 / ratio)) if candidate_length else 0.0
    one, two, three, four = brevity * np.cumprod(precisions) ** (1 / np.arange(1, LONGEST_NGRAM + 1))
    return float(one), float(two), float(three), float(four)


def rouge_l(candidates: Sequence[Text], references: Sequence[Sequence[Text]], beta: float = 1.2) -> np.ndarray:
    """ROUGE-L of every item, 0 to 1; the score of a corpus is the mean (Lin 2004, as in the COCO caption evaluation).

    Precision and recall are each the best over the references, which need not be the same reference.
    """
    values = []
    for candidate, accepted in _tokenised(candidates, references):
        common = [_longest_common_subsequence(candidate, reference) for reference in accepted]
        precision = max(common) / max(1, len(candidate))
        recall = max(length / max(1, len(reference)) for length, reference in zip(common, accepted, strict=True))
        weighted = (1 + beta**2) * precision * recall
        values.append(weighted / (recall + beta**2 * precision) if weighted else 0.0)
    return np.array(values)


def cider_d(candidates: Sequence[Text], references: Sequence[Sequence[Text]], sigma: float = 6.0) -> np.ndarray:
    """CIDEr-D of every item, 0 to 10; the score of a corpus is the mean (Vedantam et al. 2015, section 5).

    How much a phrase counts depends on how many items' references hold it, so an item's score belongs to this corpus:
    the mean of batches scored apart is a different, wrong number.
    """
    items = _tokenised(candidates, references)
    frequency = Counter(ngram for _, accepted in items for ngram in {g for words in accepted for g in _ngrams(words)})
    log_items = math.log(max(1, len(items)))

    def weighted(words: Sequence[str]) -> tuple[dict[tuple[str, ...], float], list[float]]:
        weights = {ngram: n * (log_items - math.log(max(1, frequency[ngram]))) for ngram, n in _ngrams(words).items()}
        squares = [0.0] * LONGEST_NGRAM
        for ngram, weight in weights.items():
            squares[len(ngram) - 1] += weight**2
        return weights, [math.sqrt(square) for square in squares]

    values = []
    for candidate, accepted in items:
        similarities = []
        weights, norms = weighted(candidate)
        for reference in accepted:
            other_weights, other_norms = weighted(reference)
            products = [0.0] * LONGEST_NGRAM
            for ngram in weights.keys() & other_weights.keys():
                products[len(ngram) - 1] += min(weights[ngram], other_weights[ngram]) * other_weights[ngram]
            cosines = [p / (a * b) if a * b else 0.0 for p, a, b in zip(products, norms, other_norms, strict=True)]
            # The official scorer measures length in bigrams.
            difference = max(0, len(candidate) - 1) - max(0, len(reference) - 1)
            similarities.append(math.exp(-(difference**2) / (2 * sigma**2)) * sum(cosines) / LONGEST_NGRAM)
        values.append(10 * sum(similarities) / len(similarities))
    return np.array(values)


def _tokenised(
    candidates: Sequence[Text], references: Sequence[Sequence[Text]]
) -> list[tuple[Sequence[str], list[Sequence[str]]]]:
    """Candidates with their references as words; refuses lists that do not fit and items without a reference."""
    if len(candidates) != len(references):
        raise ValueError(f"{len(candidates)} captions, {len(references)} lists of references: give one list a caption")
    for number, accepted in enumerate(references):
        if isinstance(accepted, str) or not accepted:
            raise ValueError(f"references[{number}] is {accepted!r}: expected a list of at least one caption")
    return [
        (_words(candidate), [_words(text) for text in accepted])
        for candidate, accepted in zip(candidates, references, strict=True)
    ]


def _words(text: Text) -> Sequence[str]:
    return _tokens_once(text) if isinstance(text, str) else text


@lru_cache(maxsize=2**16)
def _tokens_once(text: str) -> tuple[str, ...]:
    """The words of a text that several scores read, and guesses again and again."""
    return tuple(tokens(text))


def _ngrams(words: Sequence[str]) -> Counter:
    """How often each n-gram of length 1 to 4 occurs."""
    return Counter(
        tuple(words[start : start + length]) for length in range(1, LONGEST_NGRAM + 1) for start in range(len(words) - length + 1)
    )


def _longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    lengths = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for column, other in enumerate(second, start=1):
            above = lengths[column]
            lengths[column] = diagonal + 1 if word == other else max(above, lengths[column - 1])
            diagonal = above
    return lengths[-1]
