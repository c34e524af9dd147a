"""Scores computed again from written answers, without a model: `triscope score runs/lion_joint`.

With the predictions of a test and its controls, the figures are those of the test's `results.json`, which also tells which
weights and benchmark they belong to. Of answers that lie elsewhere, or are put together from several files, that is not known.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from triscope.arguments import Parser
from triscope.data.controls import PLAIN
from triscope.data.errors import ConfigurationError
from triscope.evaluation.results import (
    PREDICTIONS,
    RESULTS_FILE,
    read_answers,
    results_table,
    summarise,
    told_of,
    write_results,
)

EXAMPLES = """\
examples:
  triscope score runs/lion_joint
  triscope score runs/lion_joint/predictions/vqa*.jsonl --out runs/lion_joint_again
"""


def main(arguments: list[str]) -> None:
    """`triscope score PREDICTIONS... [--out FOLDER]`."""
    parser = Parser(
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
    files = prediction_files(options.predictions)
    answers = read_answers(files)
    told = {name: of_set for name in answers if (of_set := _told(name, files))}
    if options.out is None:
        results = {name: told.get(name, {}) | summarise(by_control) for name, by_control in answers.items()}
    else:
        results = write_results(options.out, answers, told)
    for name, result in results.items():
        print(f"{name}, {len(answers[name][PLAIN])} answers\n{results_table(result)}\n")
    if options.out is not None:
        print(options.out)


def _told(name: str, files: Sequence[Path]) -> dict[str, Any]:
    """What is known of a set whose answers are one file."""
    of_set = [file for file in files if file.stem == name]
    return told_of(of_set[0]) if len(of_set) == 1 else {}


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
