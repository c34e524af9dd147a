"""Which scores belong to which task, and their computation from predictions.

    caption      cider  bleu4  rouge_l  noun_f1 (where the picture's objects are known)
    description  cider  bleu4  rouge_l  acc
    group_caption, story...    cider  bleu4  rouge_l (`evaluation.sam` has them as SAM's authors compute them)
    question     vqa_acc (ten references, as VQA v2)  acc (otherwise)
    yes_no, statement    acc (of the first `yes` or `no`)  consistency (share of statements that are judged rightly of all
                         their pictures, where samples name their `statement`, as NLVR's do)
    presence     acc  precision  recall  f1  yes_share (POPE)
    yes_no_pair  acc  acc_plus (both questions about a picture are answered rightly: MME)  score (the official sum of both over
                 the categories, as a share of the highest there is)
    circular_choice  acc (a question counts if it is answered rightly in every order of its choices: MMBench)  pass_acc
    direct_answer    acc (min(people who said the same / 3, 1): A-OKVQA)
    dialogue     mrr  recall@1  recall@5  recall@10  mean_rank (the less, the better), of ranked candidates
                 (VisDial); ndcg, of the rounds whose candidates were judged
    pointing...  acc@0.5  mean_iou  well_formed
    exact_question, region_question    acc (letter by letter, as GQA's official evaluation)
    object_name  acc (of boxes: the answer says a name of the object's kind)  class_acc (the mean over kinds; PVIT's test on COCO)
    any other    acc (exact match: count, color, relation, recognition, ...)

A score is named `{level}/{task}_{score}`, such as `region/pointing_acc@0.5`. Scores are shares, 0 to 1; CIDEr is
100 times the official number, as papers print it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from triscope.data.batch import Row
from triscope.data.boxes import Box
from triscope.evaluation import boxes, captions, yes_no
from triscope.evaluation.candidates import ndcg, rank_of_answer, relevance_of
from triscope.evaluation.intervals import Items, Score
from triscope.evaluation.matching import exact_match, names_object, noun_counts, official_gqa_answer, yes_no_match
from triscope.evaluation.predictions import Prediction, distinct
from triscope.evaluation.vqa import vqa_accuracy

VQA_REFERENCES = 10


@dataclass(frozen=True)
class Measure:
    """A score of a task.

    Args:
        name: `acc`, `cider`, ...
        items: what each prediction adds to the score.
        applies: which rows of the task it is computed from.
        less_is_better: true of a rank.
        judges_one_answer: whether it is the mean of what single answers are worth, each by itself.
    """

    name: str
    items: Callable[[Sequence[Prediction]], Items]
    applies: Callable[[Row], bool] = lambda row: True
    less_is_better: bool = False
    judges_one_answer: bool = False


def score(predictions: Sequence[Prediction], resamples: int = 1000) -> dict[str, Score]:
    """Every score of a set of predictions, whatever their order.

    Args:
        predictions: of all processes; repeated keys count once.
        resamples: bootstrap draws for the 95 % intervals; 0 for none.

    Returns:
        Scores by `{level}/{task}_{score}`, sorted by name.

    Raises:
        BadPredictionsError: one key stands for two different questions.
        ValueError: a pointing row without a true box.
    """
    return {
        key: measure.items(group).score([picture_of(item.row) for item in group], resamples)
        for key, measure, group in measured(distinct(predictions))
    }


def measured(predictions: Sequence[Prediction]) -> Iterator[tuple[str, Measure, list[Prediction]]]:
    """Each score's name and measure with the predictions it is computed from, sorted by name."""
    groups = defaultdict(list)
    measures = {}
    for prediction in predictions:
        row = prediction.row
        for measure in measures_of(row.task):
            if measure.applies(row):
                key = f"{row.level}/{row.task}_{measure.name}"
                groups[key].append(prediction)
                measures[key] = measure
    for key in sorted(groups):
        yield key, measures[key], groups[key]


def measures_of(task: str) -> tuple[Measure, ...]:
    """The scores of a task; exact match for a task that is not known."""
    if is_pointing(task):
        return POINTING
    if is_of_a_group(task):
        return CAPTION
    return MEASURES.get(task, (EXACT,))


def task_and_score(name: str) -> tuple[str, str]:
    """The name of a score in two: `region/pointing` and `acc@0.5` of `region/pointing_acc@0.5`."""
    scores = sorted({measure.name for measures in (POINTING, *MEASURES.values()) for measure in measures}, key=len, reverse=True)
    score = next((score for score in scores if name.endswith(f"_{score}")), name.rpartition("_")[2])
    return name.removesuffix(f"_{score}"), score


def is_pointing(task: str) -> bool:
    """Whether a task is answered by a box."""
    return task.startswith("pointing")


def is_of_a_group(task: str) -> bool:
    """Whether a task is to say in free words what several pictures are about."""
    return task == "group_caption" or task.startswith("story")


def picture_of(row: Row) -> str:
    """The key of the sample that a row belongs to."""
    return row.key.rpartition(":")[0] or row.key


def objects_of(row: Row) -> list[dict]:
    """The known objects of a row's picture: name, unit box, and what else the converter knew."""
    return (row.extra or {}).get("objects", [])


def _exact(predictions: Sequence[Prediction]) -> Items:
    return Items.mean([exact_match(item.text, item.row.answers) for item in predictions])


def _yes_no(predictions: Sequence[Prediction]) -> Items:
    return Items.mean([yes_no_match(item.text, item.row.answers) for item in predictions])


def _consistency(predictions: Sequence[Prediction]) -> Items:
    """NLVR's second score (Suhr et al. 2019): a statement counts if every row about it is right."""
    right = [yes_no_match(item.text, item.row.answers) for item in predictions]
    return _all_right(right, [_statement(item.row) for item in predictions])


def _all_right(right: Iterable[bool], groups: Sequence[str]) -> Items:
    """The share of groups of rows in which every row is right."""
    by_group: dict[str, list[bool]] = defaultdict(list)
    for is_right, group in zip(right, groups, strict=True):
        by_group[group].append(is_right)
    shares = [(all(by_group[group]) / len(by_group[group]), 1 / len(by_group[group])) for group in groups]
    return Items(np.array(shares, dtype=np.float64))


def _presence(combine: Callable[[np.ndarray], float], predictions: Sequence[Prediction]) -> Items:
    """A score of POPE."""
    answers = [item.row.answers[0] for item in predictions]
    return Items(yes_no.pope_counts([item.text for item in predictions], answers), combine)


def _mme(predictions: Sequence[Prediction]) -> Items:
    return Items.mean(_mme_right(predictions))


def _mme_plus(predictions: Sequence[Prediction]) -> Items:
    return _all_right(_mme_right(predictions), [picture_of(item.row) for item in predictions])


def _mme_score(predictions: Sequence[Prediction]) -> Items:
    """MME's official score (Fu et al. 2023), the sum of both accuracies over all categories, as a share of the highest."""
    categories = [(item.row.extra or {}).get("category", "") for item in predictions]
    both = [_of_each_kind(items, categories) for items in (_mme(predictions), _mme_plus(predictions))]
    return Items(np.concatenate(both, axis=2).reshape(len(predictions), -1), _mean_of_shares)


def _mme_right(predictions: Sequence[Prediction]) -> list[bool]:
    return [yes_no.mme_answer(item.text) == item.row.answers[0] for item in predictions]


def _circular(predictions: Sequence[Prediction]) -> Items:
    """The passes of a question are conversations of one sample."""
    right = [exact_match(item.text, item.row.answers) for item in predictions]
    return _all_right(right, [picture_of(item.row) for item in predictions])


def _direct(predictions: Sequence[Prediction]) -> Items:
    return Items.mean([min(1.0, item.row.answers.count(item.text.strip()) / 3) for item in predictions])


def _official_gqa(predictions: Sequence[Prediction]) -> Items:
    answers = ({reference.lower() for reference in item.row.answers} for item in predictions)
    return Items.mean([official_gqa_answer(item.text) in known for item, known in zip(predictions, answers, strict=True)])


def _named(predictions: Sequence[Prediction]) -> Items:
    return Items.mean(_named_right(predictions))


def _named_by_class(predictions: Sequence[Prediction]) -> Items:
    """The mean over kinds of objects of the share of a kind's boxes that are named rightly."""
    counts = _of_each_kind(_named(predictions), [_kind(item.row) for item in predictions])
    return Items(counts.reshape(len(predictions), -1), _mean_of_shares)


def _of_each_kind(items: Items, kinds: Sequence[str]) -> np.ndarray:
    """What each row adds to the share of its own kind, and of no other: (rows, 2, kinds)."""
    numbers = {kind: number for number, kind in enumerate(sorted(set(kinds)))}
    counts = np.zeros((len(kinds), 2, len(numbers)))
    counts[np.arange(len(kinds)), :, [numbers[kind] for kind in kinds]] = items.statistics
    return counts


def _mean_of_shares(sums: np.ndarray) -> float:
    """The mean of right / all over the kinds that there are; a bootstrap draw may miss one."""
    right, boxes = sums.reshape(2, -1)
    return float((right[boxes > 0] / boxes[boxes > 0]).mean())


def _named_right(predictions: Sequence[Prediction]) -> list[bool]:
    return [names_object(item.text, item.row.answers, _longer_names(item.row)) for item in predictions]


def _kind(row: Row) -> str:
    return row.answers[0]


def _longer_names(row: Row) -> list[str]:
    return (row.extra or {}).get("longer_names", {}).get(_kind(row), [])


def _mrr(predictions: Sequence[Prediction]) -> Items:
    """Mean reciprocal rank of the right candidate."""
    return Items.mean([1 / rank_of_answer(item) for item in predictions])


def _recall(most: int, predictions: Sequence[Prediction]) -> Items:
    """How often the right candidate is among the first."""
    return Items.mean([rank_of_answer(item) <= most for item in predictions])


def _mean_rank(predictions: Sequence[Prediction]) -> Items:
    longest = max(len(item.row.candidates) for item in predictions)
    return Items.mean([rank_of_answer(item) for item in predictions], limit=float(longest))


def _ndcg(predictions: Sequence[Prediction]) -> Items:
    return Items.mean([ndcg(item) for item in predictions])


def _statement(row: Row) -> str:
    return (row.extra or {}).get("statement", "")


def _vqa(predictions: Sequence[Prediction]) -> Items:
    return Items.mean([vqa_accuracy(item.text, item.row.answers) for item in predictions])


def _cider(predictions: Sequence[Prediction]) -> Items:
    return Items.mean(100 * captions.cider_d(*_texts(predictions)), limit=1000.0)


def _bleu4(predictions: Sequence[Prediction]) -> Items:
    return Items(captions.bleu_counts(*_texts(predictions)), lambda sums: captions.bleu_of_sums(sums)[3])


def _rouge_l(predictions: Sequence[Prediction]) -> Items:
    return Items.mean(captions.rouge_l(*_texts(predictions)))


def _texts(predictions: Sequence[Prediction]) -> tuple[list[str], list[tuple[str, ...]]]:
    return [item.text for item in predictions], [item.row.answers for item in predictions]


def _noun_f1(predictions: Sequence[Prediction]) -> Items:
    """F1 over all kinds of objects; a noun counts if it names an object in any of the evaluated pictures."""
    names = [{item["name"] for item in objects_of(prediction.row)} for prediction in predictions]
    vocabulary = set[str]().union(*names)
    counts = [noun_counts(item.text, present, vocabulary) for item, present in zip(predictions, names, strict=True)]
    return Items(np.array(counts, dtype=np.float64), lambda sums: float(2 * sums[0] / (sums[1] + sums[2])))


def _hits(predictions: Sequence[Prediction]) -> Items:
    return Items.mean(boxes.hits(*_boxes(predictions)))


def _mean_iou(predictions: Sequence[Prediction]) -> Items:
    return Items.mean(boxes.overlaps(*_boxes(predictions)))


def _well_formed(predictions: Sequence[Prediction]) -> Items:
    return Items.mean(boxes.well_formed([item.box for item in predictions]))


def _boxes(predictions: Sequence[Prediction]) -> tuple[list[Box | None], list[Box]]:
    return [item.box for item in predictions], [true_box(item.row) for item in predictions]


def true_box(row: Row) -> Box:
    """The box that answers a row.

    Raises:
        ValueError: the row has none.
    """
    if row.box is None:
        raise ValueError(f"key {row.key!r}: a {row.task} row without a box; give its answer as <region:k>")
    return row.box


EXACT = Measure("acc", _exact, judges_one_answer=True)
CAPTION = (Measure("cider", _cider), Measure("bleu4", _bleu4), Measure("rouge_l", _rouge_l))
POINTING = (Measure("acc@0.5", _hits), Measure("mean_iou", _mean_iou), Measure("well_formed", _well_formed))
MEASURES: dict[str, tuple[Measure, ...]] = {
    "caption": (*CAPTION, Measure("noun_f1", _noun_f1, lambda row: bool(objects_of(row)))),
    "description": (*CAPTION, Measure("acc", _exact)),
    "question": (
        Measure("vqa_acc", _vqa, lambda row: len(row.answers) == VQA_REFERENCES),
        Measure("acc", _exact, lambda row: len(row.answers) != VQA_REFERENCES),
    ),
    "yes_no": (Measure("acc", _yes_no),),
    "presence": (
        Measure("acc", partial(_presence, yes_no.accuracy)),
        Measure("precision", partial(_presence, yes_no.precision)),
        Measure("recall", partial(_presence, yes_no.recall)),
        Measure("f1", partial(_presence, yes_no.f1)),
        Measure("yes_share", partial(_presence, yes_no.yes_share)),
    ),
    "yes_no_pair": (Measure("acc", _mme), Measure("acc_plus", _mme_plus), Measure("score", _mme_score)),
    "circular_choice": (Measure("acc", _circular), Measure("pass_acc", _exact, judges_one_answer=True)),
    "direct_answer": (Measure("acc", _direct),),
    "exact_question": (Measure("acc", _official_gqa),),
    "region_question": (Measure("acc", _official_gqa),),
    "object_name": (Measure("acc", _named), Measure("class_acc", _named_by_class)),
    "dialogue": (
        Measure("mrr", _mrr),
        *(Measure(f"recall@{most}", partial(_recall, most)) for most in (1, 5, 10)),
        Measure("mean_rank", _mean_rank, less_is_better=True),
        Measure("ndcg", _ndcg, lambda row: bool(relevance_of(row))),
    ),
    "statement": (Measure("acc", _yes_no), Measure("consistency", _consistency, lambda row: bool(_statement(row)))),
}
