"""The results of a test: every score beside its controls and its guess level, and whether it was learned."""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from triscope.data.controls import BLIND, CONTROL, PLAIN, SHUFFLED
from triscope.data.folder import sha256_of
from triscope.evaluation import sam
from triscope.evaluation.coco_tools import coco_scores
from triscope.evaluation.guesses import guess_levels, learned
from triscope.evaluation.intervals import Score
from triscope.evaluation.predictions import Prediction, merge, write_predictions
from triscope.evaluation.submissions import write_submissions
from triscope.evaluation.tasks import is_of_a_group, measured, score

RESULTS_FILE = "results.json"
PREDICTIONS, SUBMISSIONS = "predictions", "submissions"  # folders of a run
_CONTROLLED = re.compile(rf"(.+)_({CONTROL.pattern})")
LEARNED_IN_WORDS = {True: "yes", False: "no", None: "unknown"}
WITHOUT_SIGHT = (BLIND, SHUFFLED)  # what a score must beat to count as learned; the other controls are about single pictures


def summarise(predictions: Mapping[str, Sequence[Prediction]]) -> dict:
    """Scores of one set, with everything they have to be compared with.

    Args:
        predictions: by control of `triscope.data.controls`.

    Returns:
        {metrics, intervals, items, controls: {blind, shuffled}, guesses, learned}, each by score name (guesses stand best first;
        learned is None of a score above every guess that no control was asked about); and of the rows that show several
        pictures {pictures: {control: {score name: {value, all, items}}}}, where `all` is the score of the same rows with all
        pictures in place.
    """
    scores = score(predictions[PLAIN])
    controls = {
        control: {name: result.value for name, result in score(answers, resamples=0).items()}
        for control, answers in predictions.items()
        if control in WITHOUT_SIGHT
    }
    guesses = guess_levels([prediction.row for prediction in predictions[PLAIN]])
    less_is_better = {name: measure.less_is_better for name, measure, _ in measured(predictions[PLAIN])}
    return {
        "metrics": {name: result.value for name, result in scores.items()},
        "intervals": {name: [result.low, result.high] for name, result in scores.items()},
        "items": {name: result.n for name, result in scores.items()},
        "controls": controls,
        "guesses": guesses,
        "learned": {name: _learned(name, result, guesses, controls, less_is_better[name]) for name, result in scores.items()},
        "pictures": {
            control: _beside(predictions[PLAIN], answers)
            for control, answers in predictions.items()
            if control not in (PLAIN, *WITHOUT_SIGHT)
        },
    }


def _beside(plain: Sequence[Prediction], changed: Sequence[Prediction]) -> dict[str, dict[str, float]]:
    """The scores of changed rows beside those of the same rows as they are."""
    keys = {prediction.row.key for prediction in changed}
    unchanged = score([prediction for prediction in plain if prediction.row.key in keys], resamples=0)
    return {
        name: {"value": result.value, "all": unchanged[name].value, "items": result.n}
        for name, result in score(changed, resamples=0).items()
    }


def write_results(
    folder: str | Path,
    predictions: Mapping[str, Mapping[str, Sequence[Prediction]]],
    told: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict:
    """Write `results.json` and one file of predictions a set and control; return the results by set.

    Earlier results of other sets stay in the file, where they were measured on the same weights.

    Args:
        folder: of the run.
        predictions: by set and control.
        told: by set, what else stands in its results. `weights`: what was measured, which is checkpoint, its hash, and where
            parts started from. `benchmark`: how the set was asked, answered and read (`Benchmark.described`).

    Captions of groups and stories are also scored as SAM's authors do, in a folder for each task of a set
    (`predictions/SET_TASK`, see `evaluation.sam`). What a benchmark's own evaluation reads is written to `submissions/SET`.
    Under `answers` stands the hash of the set's predictions, by which `told_of` knows that results are of these.
    """
    folder, told = Path(folder), told or {}
    results = {name: dict(told.get(name, {})) | summarise(given) for name, given in predictions.items()}
    for name, by_control in predictions.items():
        if java := coco_scores(by_control[PLAIN]):
            results[name]["coco_evaluation"] = java
        for control, answers in by_control.items():
            write_predictions(folder / PREDICTIONS / f"{name}{'_' if control else ''}{control}.jsonl", answers)
        results[name]["answers"] = sha256_of(folder / PREDICTIONS / f"{name}.jsonl")
        for task in sorted({answer.row.task for answer in by_control[PLAIN] if is_of_a_group(answer.row.task)}):
            of_task = [answer for answer in by_control[PLAIN] if answer.row.task == task]
            sam.write_scores(folder / PREDICTIONS / f"{name}_{task}", of_task)
        write_submissions(folder / SUBMISSIONS / name, by_control[PLAIN])
    kept = _of_same_weights(folder / RESULTS_FILE, [result.get("weights") for result in results.values()])
    for name, by_control in predictions.items():
        _forget_other_controls(folder / PREDICTIONS, name, by_control, others=kept.keys() | predictions.keys())
    (folder / RESULTS_FILE).write_text(json.dumps(kept | results, indent=2) + "\n")
    return results


def told_of(predictions: Path) -> dict[str, Any]:
    """What the results beside a set's predictions tell of it: `weights` and `benchmark`, as far as they are known.

    Args:
        predictions: `predictions/SET.jsonl` of a run; nothing is known of it if other answers were written there since.
    """
    file = predictions.parent.parent / RESULTS_FILE
    result = json.loads(file.read_text()).get(predictions.stem, {}) if file.is_file() else {}
    known = result.get("answers") == sha256_of(predictions)
    return {what: result[what] for what in ("weights", "benchmark") if known and what in result}


def _forget_other_controls(folder: Path, name: str, by_control: Collection[str], others: Collection[str]) -> None:
    """Remove what an earlier test of a set wrote under controls that this one did not ask about; other sets stay."""
    for file in folder.glob("*.jsonl"):
        ending = _CONTROLLED.fullmatch(file.stem)
        if ending and ending[1] == name and ending[2] not in by_control and file.stem not in others:
            file.unlink()


def _of_same_weights(file: Path, weights: Sequence[Mapping[str, Any] | None]) -> dict:
    """The results in a file that were measured on some of these weights; none if they are not known."""
    known = [each for each in weights if each]
    earlier = json.loads(file.read_text()) if known and file.exists() else {}
    return {name: result for name, result in earlier.items() if result.get("weights") in known}


def read_answers(files: Sequence[Path]) -> dict[str, dict[str, list[Prediction]]]:
    """Predictions as `write_results` takes them, from the files that it has written.

    Args:
        files: `SET.jsonl` and `SET_CONTROL.jsonl`; files of one name, such as parts of a set, are put together.

    Returns:
        by set and control. Without `SET.jsonl`, a name that ends like a control is that of a set.

    Raises:
        BadPredictionsError: a line that cannot be read, or one key for two questions.
    """
    by_name: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        by_name[file.stem].append(file)
    answers: dict[str, dict[str, list[Prediction]]] = defaultdict(dict)
    for name, parts in by_name.items():
        ending = _CONTROLLED.fullmatch(name)
        of_set, control = ending.groups() if ending and ending[1] in by_name else (name, PLAIN)
        answers[of_set][control] = merge(parts)
    return dict(answers)


def results_table(result: Mapping) -> str:
    """The results of one set as text: how a benchmark asked, a line a score, and what single pictures are worth."""
    lines = [_told(result["benchmark"])] if "benchmark" in result else []
    lines += [f"{'score':34} {'value':>7} {'95 % interval':>15} {'blind':>7} {'shuffled':>8} {'guess':>7} {'items':>6}  learned"]
    for name, value in result["metrics"].items():
        low, high = result["intervals"][name]
        guess = next(iter(result["guesses"].get(name, {}).values()), None)
        blind, shuffled = (result["controls"].get(control, {}).get(name) for control in WITHOUT_SIGHT)
        lines.append(
            f"{name:34} {value:7.3f} {f'{low:.3f}-{high:.3f}':>15} {_told_value(blind):>7} {_told_value(shuffled):>8} "
            f"{_told_value(guess):>7} {result['items'][name]:6d}  {LEARNED_IN_WORDS[result['learned'][name]]}"
        )
    if result["pictures"]:
        lines += ["", pictures_table(result["pictures"])]
    return "\n".join(lines)


def _told_value(value: float | None) -> str:
    """A number of the table; a dash where nothing was measured."""
    return "-" if value is None else f"{value:.3f}"


def _told(benchmark: Mapping) -> str:
    """A benchmark in a line."""
    decoding = benchmark["decoding"]
    how = decoding if isinstance(decoding, str) else ", ".join(f"{name} {value:g}" for name, value in decoding.items())
    split = f", split {benchmark['split']}" if benchmark.get("split") else ""
    return f"{benchmark['name']} {benchmark['version']}{split}: {benchmark['wording']!r}; {how}; {benchmark['post_processing']}"


def pictures_table(pictures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """What the pictures of a row are worth, a line a score: its value under each control, of what the same rows score as is."""
    lines = [f"{'of several pictures':34} " + " ".join(f"{control:>14}" for control in pictures)]
    for name in sorted({name for scores in pictures.values() for name in scores}):
        cells = (scores.get(name) for scores in pictures.values())
        shown = ("" if cell is None else f"{cell['value']:.3f} of {cell['all']:.3f}" for cell in cells)
        lines.append(f"{name:34} " + " ".join(f"{text:>14}" for text in shown))
    return "\n".join(lines)


def _learned(name: str, result: Score, guesses: Mapping, controls: Mapping, less_is_better: bool) -> bool | None:
    blind_and_shuffled = {control: scores[name] for control, scores in controls.items() if name in scores}
    above = learned(result, guesses[name], blind_and_shuffled, less_is_better)
    return above if blind_and_shuffled or not above else None
