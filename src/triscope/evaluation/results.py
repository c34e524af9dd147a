"""The results of a test: every score beside its controls and its guess level, and whether it was learned."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from triscope.evaluation.guesses import guess_levels, learned
from triscope.evaluation.intervals import Score
from triscope.evaluation.predictions import Prediction, write_predictions
from triscope.evaluation.tasks import score

RESULTS_FILE = "results.json"
PLAIN = ""  # the control that is none: the model sees its pictures


def summarise(predictions: Mapping[str, Sequence[Prediction]]) -> dict:
    """Scores of one set, with everything they have to be compared with.

    Args:
        predictions: by control: "" with pictures, `blind` with the pictures left out, `shuffled` with those of others.

    Returns:
        {metrics, intervals, items, controls: {blind, shuffled}, guesses, learned}, each by score name.
    """
    scores = score(predictions[PLAIN])
    controls = {
        control: {name: result.value for name, result in score(answers, resamples=0).items()}
        for control, answers in predictions.items()
        if control != PLAIN
    }
    guesses = guess_levels([prediction.row for prediction in predictions[PLAIN]])
    return {
        "metrics": {name: result.value for name, result in scores.items()},
        "intervals": {name: [result.low, result.high] for name, result in scores.items()},
        "items": {name: result.n for name, result in scores.items()},
        "controls": controls,
        "guesses": guesses,
        "learned": {name: _learned(name, result, guesses, controls) for name, result in scores.items()},
    }


def write_results(folder: str | Path, predictions: Mapping[str, Mapping[str, Sequence[Prediction]]]) -> dict:
    """Write `results.json` and one file of predictions a set and control; return the results by set."""
    folder = Path(folder)
    results = {name: summarise(by_control) for name, by_control in predictions.items()}
    for name, by_control in predictions.items():
        for control, answers in by_control.items():
            write_predictions(folder / "predictions" / f"{name}{'_' if control else ''}{control}.jsonl", answers)
    (folder / RESULTS_FILE).write_text(json.dumps(results, indent=2) + "\n")
    return results


def results_table(result: Mapping) -> str:
    """The results of one set as text, a line a score."""
    lines = [f"{'score':34} {'value':>7} {'95 % interval':>15} {'blind':>7} {'shuffled':>8} {'guess':>7} {'items':>6}  learned"]
    for name, value in result["metrics"].items():
        low, high = result["intervals"][name]
        guess = max(result["guesses"].get(name, {"": float("nan")}).values())
        blind, shuffled = (result["controls"].get(control, {}).get(name, float("nan")) for control in ("blind", "shuffled"))
        lines.append(
            f"{name:34} {value:7.3f} {f'{low:.3f}-{high:.3f}':>15} {blind:7.3f} {shuffled:8.3f} {guess:7.3f} "
            f"{result['items'][name]:6d}  {'yes' if result['learned'][name] else 'no'}"
        )
    return "\n".join(lines)


def _learned(name: str, result: Score, guesses: Mapping, controls: Mapping) -> bool:
    blind_and_shuffled = {control: scores[name] for control, scores in controls.items() if name in scores}
    return learned(result, guesses[name], blind_and_shuffled)
