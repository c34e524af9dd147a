"""What changed from one run to another: paired differences of all scores, and the questions answered otherwise, with pictures."""

import argparse
import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import yaml
from PIL import Image

from triscope.app.page import page, table
from triscope.app.runs import CONFIGURATION_FILE, parsed
from triscope.arguments import Parser
from triscope.data.errors import ConfigurationError
from triscope.data.shards import ShardSet
from triscope.drawing import PREDICTED_COLOR, REGION_COLOR, TRUE_COLOR, outlined, outlines
from triscope.evaluation.comparison import Change, Difference, changes, differences
from triscope.evaluation.predictions import read_predictions
from triscope.evaluation.results import RESULTS_FILE
from triscope.evaluation.tasks import picture_of

FIRST_COLOR = "#ff9100"  # the first run's box; the second's is red, as everywhere
THUMBNAIL = 224  # pixels
EXAMPLES = """\
examples:
  triscope compare runs/lion_joint runs/lion_3_mixture
  triscope compare runs/a runs/b --set new_objects --out changes.html
"""
DIFFERENCE_MEANS = (
    "Both runs answered the same questions; the interval (95 %) is that of the paired difference, over pictures drawn with "
    "replacement. A difference whose interval holds 0 is grey."
)


def main(arguments: list[str]) -> None:
    """`triscope compare RUN_A RUN_B [--set NAME] [--out FILE]`."""
    parser = Parser(
        prog="triscope compare", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", type=Path, metavar="RUN_A", help="folder of a run that was tested")
    parser.add_argument("second", type=Path, metavar="RUN_B", help="folder of another, tested on the same set")
    parser.add_argument("--set", help="name of the test set; needed if there are several in common")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the HTML file (default: RUN_B/compare.html)")
    parser.add_argument("--changes", type=int, default=48, help="questions to show, at most (default: %(default)s)")
    options = parser.parse_args(arguments)
    name = options.set or common_set(options.first, options.second)
    out = options.out or options.second / "compare.html"
    print(compare(options.first, options.second, name, out, options.changes))
    print(f"\n{out}")


def common_set(first: Path, second: Path) -> str:
    """The only test set that both runs have answered.

    Raises:
        ConfigurationError: there is none, or there are several.
    """
    common = sorted(_tested_sets(first) & _tested_sets(second))
    if len(common) != 1:
        remedy = "name one with --set" if common else "run `triscope test` for both on one set"
        raise ConfigurationError(f"predictions of {first} and {second}", f"sets in common: {common}", "one", remedy)
    return common[0]


def compare(first: Path, second: Path, name: str, out: Path, shown: int = 48) -> str:
    """Write the page and return the table of differences as text.

    Args:
        first, second: folders of runs that were tested.
        name: of the test set.
        out: the HTML file.
        shown: changed questions to show, at most.

    Raises:
        ConfigurationError: a run has no predictions on the set.
        BadPredictionsError: the runs answered different questions.
    """
    answers = read_predictions(_predictions_file(first, name)), read_predictions(_predictions_file(second, name))
    found, changed = differences(*answers), changes(*answers)
    pictures = _pictures(second, name, [change.first.row.key for change in changed[:shown]])
    cards = [_card(change, pictures.get(picture_of(change.first.row))) for change in changed[:shown]]
    body = [
        f"<h1>{escape(str(second))} against {escape(str(first))}</h1>",
        f'<p class="quiet">test set {escape(name)}. {DIFFERENCE_MEANS}</p>',
        table(
            ["score", str(first), str(second), "difference", "95 % interval", "questions"],
            [("", [_cells(name, one) for name, one in found.items()])],
            "scores",
        ),
        f"<h2>Changed answers <small>{_count(changed)}</small></h2>{_legend()}",
        f'<div class="charts">{"".join(cards)}</div>',
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(f"{second} against {first}", "\n".join(body)), encoding="utf-8")
    return differences_table(found)


def differences_table(found: dict[str, Difference]) -> str:
    """The differences as text, a line a score; a star where the interval leaves out 0."""
    lines = [f"{'score':38} {'first':>8} {'second':>8} {'difference':>10}   {'95 % interval':17} {'questions':>9}"]
    for name, one in found.items():
        interval = f"{one.difference.low:+.3f} to {one.difference.high:+.3f}"
        lines.append(
            f"{name:38} {one.first:8.3f} {one.second:8.3f} {one.difference.value:+10.3f} {'*' if one.is_certain else ' '} "
            f"{interval:17} {one.difference.n:9d}"
        )
    return "\n".join(lines)


def _tested_sets(run: Path) -> set[str]:
    """Sets with predictions of the model as it is: those that the results name."""
    files = (run / "predictions").glob("*.jsonl")
    return {file.stem for file in files} & set(parsed(run / "results.json", yaml.safe_load, {}))


def _predictions_file(run: Path, name: str) -> Path:
    file = run / "predictions" / f"{name}.jsonl"
    if not file.exists():
        found = f"none; tested: {sorted(_tested_sets(run))}"
        raise ConfigurationError(str(file), found, "predictions on the set", f"run `triscope test` for {run}, or correct --set")
    return file


def _pictures(run: Path, name: str, keys: Sequence[str]) -> dict[str, list[Image.Image]]:
    """The pictures of some rows, by sample, from the shards that results or configuration name; none if they are gone."""
    configuration: dict = parsed(run / CONFIGURATION_FILE, yaml.safe_load, {})
    results: dict = parsed(run / RESULTS_FILE, yaml.safe_load, {})
    configured = ((configuration.get("data") or {}).get("test") or {}).get(name)
    folder = results.get(name, {}).get("benchmark", {}).get("shards") or configured
    if folder is None or not Path(folder).is_dir():
        return {}
    wanted = {key.partition(":")[0] for key in keys}
    found = {}
    for raw in ShardSet.open(folder):
        if raw.key in wanted:
            _, images = raw.parse()
            found[raw.key] = [Image.open(io.BytesIO(content)).convert("RGB") for content in images]
    return found


def _cells(name: str, one: Difference) -> list[str]:
    css = "yes" if one.is_certain else "no"
    return [
        escape(name),
        f"{one.first:.3f}",
        f"{one.second:.3f}",
        f'<span class="{css}">{one.difference.value:+.3f}</span>',
        f"{one.difference.low:+.3f} to {one.difference.high:+.3f}",
        f"{one.difference.n:,}",
    ]


def _count(changed: Sequence[Change]) -> str:
    better = sum(change.gain > 0 for change in changed)
    return f"{better} better, {len(changed) - better} worse"


def _legend() -> str:
    colors = (
        (TRUE_COLOR, "true box"),
        (FIRST_COLOR, "first run"),
        (PREDICTED_COLOR, "second run"),
        (REGION_COLOR, "region asked about"),
    )
    keys = "".join(f'<span class="key"><i style="border-color: {color}"></i>{meaning}</span>' for color, meaning in colors)
    return f'<p class="quiet">{keys}</p>'


def _card(change: Change, pictures: list[Image.Image] | None) -> str:
    """A changed question: its pictures with boxes, what each run said, and what is true."""
    row = change.first.row
    several = len(pictures or []) > 1
    drawn = "".join(_thumbnail(picture, change, number if several else None) for number, picture in enumerate(pictures or []))
    verdict = f"{'better' if change.gain > 0 else 'worse'} by {abs(change.gain):.2f}"
    return (
        f'<figure class="chart"><figcaption>{escape(row.task)}: {escape(row.prompt)}</figcaption>{drawn}<p class="legend">'
        f"{escape(change.first.text)} → <b>{escape(change.second.text)}</b><br>true: {escape(row.answers[0])} · {verdict}"
        f"<br>{escape(row.key)}</p></figure>"
    )


def _thumbnail(picture: Image.Image, change: Change, number: int | None) -> str:
    """A picture with the boxes that lie in it; its number among those of the question, if there are several."""
    of_first = [(box, FIRST_COLOR if color == PREDICTED_COLOR else color) for box, color in outlines(change.first, number)]
    of_second = [(box, color) for box, color in outlines(change.second, number) if color == PREDICTED_COLOR]
    buffer = io.BytesIO()
    outlined(picture, of_first + of_second, (THUMBNAIL, THUMBNAIL)).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escape(change.first.row.prompt)}">'
