"""Scores computed again from written answers, without a model: `triscope score runs/lion_joint`.

With the predictions of a test and its controls, the figures are those of the test's `results.json`; which weights and benchmark
they belong to stands there alone.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from triscope.data.controls import PLAIN
from triscope.data.errors import ConfigurationError
from triscope.evaluation.results import (
    PREDICTIONS,
    RESULTS_FILE,
    read_answers,
    results_table,
    summarise,
    write_results,
)

EXAMPLES = """\
examples:
  triscope score runs/lion_joint
  triscope score runs/lion_joint/predictions/vqa*.jsonl --out runs/lion_joint_again
"""


def main(arguments: list[str]) -> None:
    """`triscope score PREDICTIONS... [--out FOLDER]`."""
    parser = argparse.ArgumentParser(
        prog="triscope score", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "predictions", type=Path, nargs="+", help="files SET.jsonl, and SET_CONTROL.jsonl beside them; or the folder of a run"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write what a test writes: results.json, predictions, files for submission"
    )
    options = parser.parse_args(arguments)
    if options.out is not None and (options.out / RESULTS_FILE).exists():
        found, remedy = f"results ({RESULTS_FILE})", "name a new folder: those of a test are not written over"
        raise ConfigurationError(f"--out {options.out}", found, "a folder without any", remedy)
    answers = read_answers(prediction_files(options.predictions))
    if options.out is None:
        results = {name: summarise(by_control) for name, by_control in answers.items()}
    else:
        results = write_results(options.out, answers)
    for name, result in results.items():
        print(f"{name}, {len(answers[name][PLAIN])} answers\n{results_table(result)}\n")
    if options.out is not None:
        print(options.out)


def prediction_files(paths: Sequence[Path]) -> list[Path]:
    """The files of predictions among some paths, and those in folders of runs.

    Raises:
        ConfigurationError: a path that is neither, or a folder without predictions.
    """
    files = []
    for path in paths:
        inside = sorted((path / PREDICTIONS).glob("*.jsonl")) or sorted(path.glob("*.jsonl"))
        if not path.is_file() and not inside:
            found = "no predictions in it" if path.is_dir() else "no file"
            raise ConfigurationError(str(path), found, "SET.jsonl, or a run that was tested", "correct the path")
        files += [path] if path.is_file() else inside
    return files
