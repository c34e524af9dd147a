"""One HTML file that shows what runs did: scores beside what needs no sight, curves, pictures, parts and configuration."""

import argparse
from collections.abc import Sequence
from html import escape
from pathlib import Path

from triscope.app.page import page
from triscope.app.run_section import section
from triscope.app.runs import Run, find_runs, parsed, read_runs, results_of
from triscope.app.score_tables import comparison, pictures, summary
from triscope.arguments import Parser
from triscope.version import __version__

EXAMPLES = """\
examples:
  triscope report runs/lion_2_region
  triscope report runs/demo --out report.html                       every run in the folder runs/demo
  triscope report runs/4b runs/12b --out sizes.html                 two runs side by side
  triscope report runs/mine --released data/demo/results.json       beside the scores of released parts
"""


def main(arguments: list[str]) -> None:
    """`triscope report RUN... [--out FILE]`."""
    parser = Parser(
        prog="triscope report", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run, or a folder of runs")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the HTML file; report.html in the first folder if not given")
    parser.add_argument("--title", default="triscope report", help="heading of the page")
    parser.add_argument(
        "--released", type=Path, metavar="FILE", help="results.json of released parts, for a column of their scores"
    )
    parser.add_argument(
        "--attribution", type=Path, metavar="FILE", help="whose pictures these are; else ATTRIBUTION in the run's folder"
    )
    options = parser.parse_args(arguments)
    out = options.out or options.runs[0] / "report.html"
    print(write_report(options.runs, out, options.title, options.released, options.attribution))


def write_report(
    runs: Sequence[Path],
    out: Path,
    title: str = "triscope report",
    released: Path | None = None,
    attribution: Path | None = None,
) -> Path:
    """Write one HTML file about runs; it holds everything it shows.

    Args:
        runs: folders of runs, in the order in which they are shown; a folder of runs stands for all of them, by name.
        out: the file.
        title: heading of the page.
        released: a file like `results.json`, whose scores stand in a column beside those of the runs.
        attribution: text on whose pictures the board shows; if None, ATTRIBUTION in the run's folder, where there is one.

    Returns:
        The file.

    Raises:
        ConfigurationError: a folder is not that of a run, or a file in it cannot be read.
    """
    loaded = read_runs([folder for run in runs for folder in find_runs(Path(run))])
    results = parsed(released, results_of) if released else {}
    body = [_head(title, loaded), summary(loaded, results), pictures(loaded), comparison(loaded)]
    body += [section(number, run, attribution) for number, run in enumerate(loaded)]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(title, "\n".join(body)), encoding="utf-8")
    return out


def _head(title: str, runs: Sequence[Run]) -> str:
    places = [("scores", "Scores"), ("side-by-side", "Side by side")] if len(runs) > 1 else []
    places += [(f"run-{number}", run.name) for number, run in enumerate(runs)]
    links = " ".join(f'<a href="#{place}">{escape(name)}</a>' for place, name in places)
    count = f"{len(runs)} runs" if len(runs) > 1 else "1 run"
    learned = [learned for run in runs for result in run.results.values() for learned in result["learned"].values()]
    scores = f", {learned.count(True)} of {len(learned)} scores learned" if learned else ""
    return f'<h1>{escape(title)}</h1><p class="quiet">{count}{scores} · triscope {__version__}</p><nav>{links}</nav>'
