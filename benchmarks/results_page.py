"""Fills the page of results from the `results.json` of tests, and empties what none of them has.

    python -m benchmarks.results_page docs/results.md runs/lion_3_mixture runs/pvit_2_instruction

A row of the page names a set and one of its scores; its last three columns are filled. Sets that no benchmark asked are passed
over: a set of one's own may have the name of a public one.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from triscope.app.runs import parsed, results_of
from triscope.arguments import Parser
from triscope.data.errors import ConfigurationError
from triscope.evaluation.results import RESULTS_FILE

# Set, score, papers; then ours, items, weights.
ROW = re.compile(r"^\| `(\w+)` \| `([\w@.]+)` \|(.*)(?:\|[^|\n]*){3}\|$", re.MULTILINE)
FILLED = re.compile(r"(?<=<!-- filled from -->\n).*?(?=<!-- /filled from -->)", re.DOTALL)
NOTHING = (
    "**The column `ours` is empty: no benchmark has been run here yet, as neither the published weights nor the benchmarks' "
    "pictures\nwere at hand.**\n"
)


def main(arguments: list[str] | None = None) -> None:
    """Write the page anew."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="folder of a run that was tested")
    asked = parser.parse_args(arguments)
    asked.page.write_text(filled(asked.page.read_text(), asked.runs))


def filled(page: str, runs: Sequence[Path]) -> str:
    """The page with the results of some runs, and no others.

    Args:
        page: as it is.
        runs: their folders.

    Raises:
        ConfigurationError: a run was not tested, or a set was tested in two of them.
    """
    results: dict[str, dict] = {}
    for run in runs:
        of_run = parsed(run / RESULTS_FILE, results_of)
        asked = {name: result for name, result in of_run.items() if "benchmark" in result}
        if again := sorted(results.keys() & asked.keys()):
            remedy = "give one run a set"
            raise ConfigurationError(f"results of {run}", f"{', '.join(again)}, as in a run before it", "other sets", remedy)
        results |= asked
    told = f"Filled from {', '.join(f'`{run}`' for run in runs)}.\n" if results else NOTHING
    page = FILLED.sub(lambda _: told, page)
    return ROW.sub(lambda row: f"| `{row[1]}` | `{row[2]}` |{row[3]}| {' | '.join(cells(results.get(row[1]), row[2]))} |", page)


def cells(result: Mapping[str, Any] | None, score: str) -> tuple[str, str, str]:
    """What stands under ours, items and weights.

    Args:
        result: of the set, if it was tested.
        score: `TASK_SCORE`, of either level.
    """
    key = next((name for name in (result or {}).get("metrics", {}) if name.partition("/")[2] == score), None)
    if result is None or key is None:
        return "", "", ""
    by_java = result.get("coco_evaluation", {}).get("scores", {}).get(key)
    low, high = result["intervals"][key]
    told = by_java or {"value": result["metrics"][key], "low": low, "high": high, "items": result["items"][key]}
    times = 1 if score.endswith("cider") else 100  # CIDEr is times 100 in the results
    value, low, high = (f"{times * told[name]:.2f}" for name in ("value", "low", "high"))
    mark = " without the PTB tokeniser" if score.endswith("cider") and by_java is None else ""
    return f"{value} ({low}–{high}){mark}", f"{told['items']:,}", _weights(result["weights"])


def _weights(weights: Mapping[str, Any]) -> str:
    """The checkpoint, or where the parts are from."""
    if weights["checkpoint"]:
        return f"`{weights['checkpoint']}` {(weights['sha256'] or '')[:12]}".strip()
    return ", ".join(f"`{source}`" for source in sorted(set(weights["warm_start"].values())))


if __name__ == "__main__":
    main()
