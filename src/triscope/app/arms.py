"""Arms of an experiment: one command line with other settings, over several seeds, in one table.

A claim such as "region tokens beat coordinates" is two arms that differ in one knob, at the same budget. What is printed is
what came out, whichever way.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from triscope.app.runs import parsed, results_of
from triscope.cli import TriscopeCLI
from triscope.evaluation.results import RESULTS_FILE

TABLE_FILE, NUMBERS_FILE = "arms.md", "arms.json"


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Args:
        name: in the table, and of its folder; letters, digits, `_` and `-`.
        arguments: of `triscope fit`, behind those that all arms share.
    """

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """A score of an arm over its seeds.

    Args:
        values: one a seed.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over seeds."""
        return statistics.fmean(self.values)

    def __str__(self) -> str:
        """The mean, and between several seeds the spread."""
        return f"{self.mean:.3f}" + (f" ± {self.spread:.3f}" if len(self.values) > 1 else "")

    @property
    def spread(self) -> float:
        """Standard deviation between seeds (of a sample); 0 for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0


def values_of(folder: Path, score: str) -> dict[str, list[float]]:
    """A score such as `scenes: region/recognition_acc`, by arm: one value a seed, from what `compare` wrote."""
    by_arm = json.loads((folder / NUMBERS_FILE).read_text())["scores"][score]
    return {arm: numbers["values"] for arm, numbers in by_arm.items()}


def compare(arms: Sequence[Arm], shared: Sequence[str], seeds: Sequence[int], folder: Path) -> str:
    """Train and test every arm with every seed, and write the table.

    A run that is there with its results is not done again, so that an interrupted comparison can be repeated.

    Args:
        arms: what is compared.
        shared: arguments of `triscope fit` that all arms have: recipes, data, budget.
        seeds: of weights, order and draws.
        folder: for the runs, `arms.md` and `arms.json`.

    Returns:
        The table, as Markdown.
    """
    results = {arm.name: [_result(arm, shared, seed, folder / f"{arm.name}-{seed}") for seed in seeds] for arm in arms}
    outcomes = {
        f"{set_name}: {score}": {
            name: Outcome(tuple(result[set_name]["metrics"][score] for result in of_arm)) for name, of_arm in results.items()
        }
        for set_name, first in results[arms[0].name][0].items()
        for score in first["metrics"]
    }
    numbers = {
        "seeds": list(seeds),
        "shared": list(shared),
        "arms": {arm.name: list(arm.arguments) for arm in arms},
        "scores": {
            score: {name: {"values": one.values, "mean": one.mean, "spread": one.spread} for name, one in by_arm.items()}
            for score, by_arm in outcomes.items()
        },
    }
    (folder / NUMBERS_FILE).write_text(json.dumps(numbers, indent=2) + "\n")
    table = _table([arm.name for arm in arms], outcomes, len(seeds))
    (folder / TABLE_FILE).write_text(table)
    return table


def _result(arm: Arm, shared: Sequence[str], seed: int, run: Path) -> dict[str, dict]:
    """The results of one run, by set."""
    if not (run / RESULTS_FILE).exists():
        seeded = ("--seed_everything", str(seed), "--data.seed", str(seed))
        TriscopeCLI(["fit", *shared, *arm.arguments, *seeded, "--run.folder", str(run)])
        TriscopeCLI(["test", "-c", str(run / "config.yaml"), "--ckpt_path", str(run / "checkpoints" / "last.ckpt")])
    return parsed(run / RESULTS_FILE, results_of)


def _table(arms: Sequence[str], outcomes: dict[str, dict[str, Outcome]], seeds: int) -> str:
    """A line a score, a column an arm."""
    head = f"Mean and standard deviation over {seeds} seeds." if seeds > 1 else "One seed."
    lines = [head, "", f"| score | {' | '.join(arms)} |", "|---" * (1 + len(arms)) + "|"]
    for score, by_arm in outcomes.items():
        cells = " | ".join(str(by_arm[arm]) for arm in arms)
        lines.append(f"| {score} | {cells} |")
    return "\n".join(lines) + "\n"
