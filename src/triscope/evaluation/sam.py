"""Group captions and stories as SAM's public evaluation scores them, and its three files (arXiv 2408.12867, public code).

    rouge    ROUGE-L as the package `rouge` defines it: over the different words of a text, not over all of them
    cider    CIDEr-D, idf from the evaluated set
    bleu4    BLEU-4 of the corpus; of a sample, in the file of samples

All are times 100, over one reference, from texts cleaned by `cleaned` and cut at blanks. The scores of the COCO evaluation,
with its Penn Treebank tokeniser (`captions.tokens`), stand beside them, for comparison with papers that use it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from triscope.evaluation import captions
from triscope.evaluation.predictions import Prediction
from triscope.evaluation.vqa import without_punctuation

PREDICTIONS_FILE, SCORES_FILE, SAMPLES_FILE = "pred.json", "eval.json", "eval_score.json"


def write_scores(folder: str | Path, predictions: Sequence[Prediction]) -> dict:
    """Write `pred.json` (what was said), `eval.json` (the scores) and `eval_score.json` (those of each sample).

    Args:
        folder: of one data set; made if missing.
        predictions: of one task; the first reference of each is the truth.

    Returns:
        What is in `eval.json`: `rouge`, `cider`, `bleu4`, and the same with the PTB tokeniser under `ptb_tokenizer`.
    """
    said = [{"sample_id": item.row.key, "pred_response": item.text, "gt_response": item.row.answers[0]} for item in predictions]
    answers, truths = [[cleaned(item[side]) for item in said] for side in ("pred_response", "gt_response")]
    words, true_words = [text.split() for text in answers], [[text.split()] for text in truths]
    rouge_N = np.array([rouge_l(answer, truth) for answer, truth in zip(answers, truths, strict=True)])
    cider_N = captions.cider_d(words, true_words)
    bleu4_N = [captions.bleu_of_sums(sums)[3] for sums in captions.bleu_counts(words, true_words)]
    scores = {
        **_percent(rouge_N.mean(), cider_N.mean(), captions.bleu(words, true_words)[3]),
        "ptb_tokenizer": _of_coco(predictions),
    }
    samples = [
        {"sample_id": item["sample_id"], **_percent(*values)}
        for item, *values in zip(said, rouge_N, cider_N, bleu4_N, strict=True)
    ]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((PREDICTIONS_FILE, said), (SCORES_FILE, scores), (SAMPLES_FILE, samples)):
        (folder / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return scores


def cleaned(text: str) -> str:
    """A text on one line, in lower case, without the punctuation that the VQA evaluation removes and without quotes."""
    line = text.replace("\n", " ").replace("\t", " ").strip()
    return without_punctuation(line).strip("'\"").lower()


def rouge_l(candidate: str, reference: str) -> float:
    """ROUGE-L F1 of two cleaned texts, 0 to 1, as `rouge` 1.0.1 computes it.

    The words on the longest common subsequence of each pair of sentences, put together as a set, over the sets of words of
    both texts. Nothing said scores 0.
    """
    spoken, true = (_sentences(text) for text in (candidate, reference))
    if not spoken or not true:
        return 0.0
    common = {word for truth in true for sentence in spoken for word in _common_words(truth, sentence)}
    precision, recall = (len(common) / len({word for sentence in text for word in sentence}) for text in (spoken, true))
    return 2 * precision * recall / (precision + recall + 1e-8)


def _sentences(text: str) -> list[list[str]]:
    """The words of what stands between full stops; a sentence of blanks has one empty word, as in `rouge`."""
    return [" ".join(sentence.split()).split(" ") for sentence in text.split(".") if sentence]


def _common_words(reference: Sequence[str], candidate: Sequence[str]) -> list[str]:
    """The longest common subsequence; of several, the one that `rouge` finds from the end."""
    length = np.zeros((len(reference) + 1, len(candidate) + 1), dtype=np.int64)
    for row, word in enumerate(reference, start=1):
        for column, other in enumerate(candidate, start=1):
            without_one = max(length[row - 1, column], length[row, column - 1])
            length[row, column] = length[row - 1, column - 1] + 1 if word == other else without_one
    row, column, common = len(reference), len(candidate), list[str]()
    while row and column:
        if reference[row - 1] == candidate[column - 1]:
            common.append(reference[row - 1])
            row, column = row - 1, column - 1
        elif length[row - 1, column] > length[row, column - 1]:
            row -= 1
        else:
            column -= 1
    return common[::-1]


def _of_coco(predictions: Sequence[Prediction]) -> dict[str, float]:
    said, truths = [item.text for item in predictions], [item.row.answers[:1] for item in predictions]
    values = captions.rouge_l(said, truths).mean(), captions.cider_d(said, truths).mean(), captions.bleu(said, truths)[3]
    return _percent(*values)


def _percent(rouge: float, cider: float, bleu4: float) -> dict[str, float]:
    return {name: round(100 * float(value), 2) for name, value in (("rouge", rouge), ("cider", cider), ("bleu4", bleu4))}
