"""Arms of a comparison: the same recipe with other values, trained and tested with several seeds.

A run whose results are there already is not trained again, so a comparison that was cut off goes on.
"""

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from triscope.cli import TriscopeCLI
from triscope.evaluation.results import RESULTS_FILE

Scores = dict[str, float]  # by score name
Measured = dict[tuple[str, ...], list[Scores]]  # by setting, such as (share, arm): the scores of each seed


def run_arm(arguments: Sequence[str], folder: Path, seed: int, test_set: str) -> Scores:
    """Train and test once.

    Args:
        arguments: of `triscope fit`, without folder and seed.
        folder: of the run.
        seed: of initial values, dropout, and the order of the data.
        test_set: whose scores are wanted, as `data.test` names it.
    """
    if not (folder / RESULTS_FILE).is_file():
        seeds = ("--seed_everything", str(seed), "--data.seed", str(seed))
        TriscopeCLI(["fit", *arguments, "--run.folder", str(folder), "--run.wandb", "disabled", *seeds])
        TriscopeCLI(["test", "-c", str(folder / "config.yaml"), "--ckpt_path", str(folder / "checkpoints" / "last.ckpt")])
    return json.loads((folder / RESULTS_FILE).read_text())[test_set]["metrics"]


def table(measured: Measured, columns: Sequence[str], score: str) -> str:
    """One score of every setting as Markdown: mean over the seeds, and lowest to highest.

    Args:
        measured: settings are (row, column).
        columns: in order.
        score: its name.
    """
    rows: dict[str, dict[str, list[float]]] = defaultdict(dict)
    for (row, column), scores in measured.items():
        rows[row][column] = [each[score] for each in scores]
    lines = [f"| {score} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for row, found in rows.items():
        lines.append(f"| {row} | {' | '.join(told(found[column]) for column in columns)} |")
    return "\n".join(lines)


def told(values: Sequence[float]) -> str:
    """`0.478 (0.420-0.528)`: mean, and lowest to highest of several."""
    spread = f" ({min(values):.3f}-{max(values):.3f})" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{spread}"
