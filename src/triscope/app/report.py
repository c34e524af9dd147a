"""One HTML file that shows what runs did: scores beside what needs no sight, curves, pictures, parts and configuration."""

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from triscope.app.line_chart import Point, line_chart
from triscope.app.page import page, picture, table, with_links
from triscope.app.runs import CONFIGURATION_FILE, Run, find_runs, parsed, read_runs, results_of
from triscope.arguments import Parser
from triscope.checkpoints.run import PARTS_FILE, SETS_FILE
from triscope.drawing import PREDICTED_COLOR, REGION_COLOR, TRUE_COLOR
from triscope.evaluation.predictions import Prediction, read_predictions
from triscope.evaluation.results import LEARNED_IN_WORDS, PREDICTIONS
from triscope.evaluation.tasks import task_and_score
from triscope.version import CODE_FILE, __version__

ATTRIBUTION_FILE = "ATTRIBUTION"
SETS = ("folder", "split", "samples", "images", "conversations", "tasks", "fingerprint")  # of `sets.json`
ANSWERS = ("question", "said", "true", "task", "key")
MOST_ANSWERS = 200  # of a set; `predictions/` has all
LOSSES = ("train/loss", "validation/loss")
LEARNED_MEANS = (
    "A score counts as learned when the lower end of its 95 % interval lies above every guess, above the same model without "
    "pictures (blind), and above it with the pictures of other samples (shuffled). What was not learned is grey; without these "
    "two, what lies above every guess is unknown."
)
COLUMNS_MEAN = (
    "The line from 0 to 1 shows the value with its interval, and an orange mark for blind, shuffled and best guess. "
    "CIDEr is 100 times the official number."
)
PICTURES_MEAN = (
    "Questions about several pictures, asked again with the pictures in another order (reordered), with all but the last left "
    "out (last only), and with one left out (without 1, without 2, ...), beside what the same questions score with all. A model "
    "that looks at one picture alone loses nothing when the others go."
)
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
    body = [_head(title, loaded), _summary(loaded, results), _pictures(loaded), _comparison(loaded)]
    body += [_section(number, run, attribution) for number, run in enumerate(loaded)]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(title, "\n".join(body)), encoding="utf-8")
    return out


# Scores ---------------------------------------------------------------------------------------------------------------


def _head(title: str, runs: Sequence[Run]) -> str:
    places = [("scores", "Scores"), ("side-by-side", "Side by side")] if len(runs) > 1 else []
    places += [(f"run-{number}", run.name) for number, run in enumerate(runs)]
    links = " ".join(f'<a href="#{place}">{escape(name)}</a>' for place, name in places)
    count = f"{len(runs)} runs" if len(runs) > 1 else "1 run"
    learned = [learned for run in runs for result in run.results.values() for learned in result["learned"].values()]
    scores = f", {learned.count(True)} of {len(learned)} scores learned" if learned else ""
    return f'<h1>{escape(title)}</h1><p class="quiet">{count}{scores} · triscope {__version__}</p><nav>{links}</nav>'


def _summary(runs: Sequence[Run], released: Mapping[str, dict]) -> str:
    """Every score of every run, beside what needs no sight."""
    heads = ["score", "value", "95 % interval", "0 to 1", "blind", "shuffled", "best guess", "items", "learned"]
    heads += ["released parts"] if released else []
    groups: list[tuple[str, list[list[str]]]] = []
    for run in runs:
        for name, result in run.results.items():
            rows = [_score_cells(score, result) for score in result["metrics"]]
            beside = [[_value(score, _released_value(released, name, score))] if released else [] for score in result["metrics"]]
            rows = [cells + value for cells, value in zip(rows, beside, strict=True)]
            groups.append((f"{_run_name(run)} <small>test set {escape(name)}{_asked_by(result)}</small>", rows))
        if not run.results:
            groups.append((f"{_run_name(run)} <small>no test was run</small>", []))
    return f'<h2 id="scores">Scores</h2><p class="quiet">{LEARNED_MEANS} {COLUMNS_MEAN}</p>{table(heads, groups, "scores")}'


def _asked_by(result: Mapping) -> str:
    """The benchmark that asked, with its version and split, if one did."""
    if "benchmark" not in result:
        return ""
    told = result["benchmark"]
    split = f", split {told['split']}" if told.get("split") else ""
    return escape(f", benchmark {told['name']} {told['version']}{split}")


def _pictures(runs: Sequence[Run]) -> str:
    """What each picture of rows with several is worth."""
    by_set = {
        f"{_run_name(run)} <small>test set {escape(name)}</small>": result.get("pictures", {})
        for run in runs
        for name, result in run.results.items()
    }
    controls = list(dict.fromkeys(control for pictures in by_set.values() for control in pictures))
    if not controls:
        return ""
    groups = []
    for title, pictures in by_set.items():
        by_control = [pictures.get(control, {}) for control in controls]
        names = sorted({name for scores in by_control for name in scores})
        rows = [[escape(name), *(_picture_cell(name, scores.get(name)) for scores in by_control)] for name in names]
        groups += [(title, rows)] if rows else []
    heads = ["score", *(escape(control.replace("_", " ")) for control in controls)]
    return f'<h2>What each picture is worth</h2><p class="quiet">{PICTURES_MEAN}</p>{table(heads, groups, "scores")}'


def _picture_cell(name: str, cell: Mapping[str, float] | None) -> str:
    if cell is None:
        return ""
    return f"{_value(name, cell['value'])} <small>of {_value(name, cell['all'])}, {int(cell['items']):,} items</small>"


def _score_cells(score: str, result: Mapping) -> list[str]:
    value, (low, high) = result["metrics"][score], result["intervals"][score]
    controls = [result["controls"].get(control, {}).get(score) for control in ("blind", "shuffled")]
    guesses = result["guesses"].get(score, {})
    best = next(iter(guesses), "")
    learned = result["learned"][score]
    without_sight = [level for level in (*controls, guesses.get(best)) if level is not None]
    return [
        escape(score),
        _value(score, value),
        f"{_value(score, low)}–{_value(score, high)}",
        _range(value, low, high, without_sight, learned) if _is_share(score) else "",
        *(_value(score, control) for control in controls),
        _value(score, guesses.get(best)) + (f" <small>{escape(best.replace('_', ' '))}</small>" if best else ""),
        f"{result['items'][score]:,}",
        f'<span class="{"yes" if learned else "no"}">{LEARNED_IN_WORDS[learned]}</span>',
    ]


def _range(value: float, low: float, high: float, without_sight: Sequence[float], learned: bool | None) -> str:
    """The interval and the value on a line from 0 to 1, and a mark for everything that needs no sight."""
    color = "var(--accent)" if learned else "var(--faint)"
    marks = "".join(f'<line x1="{_x(level)}" x2="{_x(level)}" y1="1" y2="13" stroke="#d55e00"/>' for level in without_sight)
    return (
        '<svg class="range" viewBox="0 0 132 14" role="img" aria-label="interval, and marks for blind, shuffled and guess">'
        '<line x1="4" x2="128" y1="7" y2="7" stroke="var(--line)" stroke-width="2"/>'
        f'<line x1="{_x(low)}" x2="{_x(high)}" y1="7" y2="7" stroke="{color}" stroke-width="4" stroke-opacity=".45"/>'
        f'{marks}<circle cx="{_x(value)}" cy="7" r="3.5" fill="{color}"/></svg>'
    )


def _x(share: float) -> str:
    return f"{4 + 124 * min(1.0, max(0.0, share)):.1f}"


def _value(score: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if _is_cider(score) else f"{value:.3f}"


def _is_share(score: str) -> bool:
    return not score.endswith(("cider", "mean_rank"))


def _is_cider(score: str) -> bool:
    return score.endswith("cider")


def _released_value(released: Mapping[str, dict], set_name: str, score: str) -> float | None:
    """From the same set where there is one, else from the first that has the score."""
    candidates = [released[set_name]] if set_name in released else released.values()
    return next((result["metrics"][score] for result in candidates if score in result["metrics"]), None)


def _run_name(run: Run) -> str:
    return escape(run.name) + (f" <small>{escape(run.stage)}</small>" if run.stage else "")


def _comparison(runs: Sequence[Run]) -> str:
    """Scores and curves that several runs have."""
    if len(runs) < 2:
        return ""
    names, groups = [run.name for run in runs], []
    for of_set in dict.fromkeys(name for run in runs for name in run.results):
        scored = [run.results.get(of_set, {}).get("metrics", {}) for run in runs]
        common = [score for score in sorted(set().union(*scored)) if sum(score in values for values in scored) > 1]
        rows = [[escape(score), *(_value(score, values.get(score)) for values in scored)] for score in common]
        groups += [(f"test set {escape(of_set)}", rows)] if rows else []
    columns = sorted({column for run in runs for column in run.curves if column in LOSSES or column.startswith("validation/")})
    charts = {column: {run.name: run.curves[column] for run in runs if column in run.curves} for column in columns}
    drawn = [
        line_chart(_title(column), lines, _unit(column), among=names)
        for column, lines in sorted(charts.items(), key=lambda chart: chart[0] not in LOSSES)
        if len(lines) > 1 and "/loss_" not in column
    ]
    return (
        '<h2 id="side-by-side">Runs side by side</h2>'
        + (table(["score", *names], groups) if groups else "<p>No score was tested in more than one run.</p>")
        + f'<div class="charts">{"".join(drawn)}</div>'
    )


def _title(column: str) -> str:
    """Of a chart that several runs share; it can be broken where it is long."""
    return column if column in LOSSES else " ".join(task_and_score(column.removeprefix("validation/")))


# A run ----------------------------------------------------------------------------------------------------------------


def _section(number: int, run: Run, attribution: Path | None) -> str:
    return "\n".join(
        [
            f'<h2 id="run-{number}">{_run_name(run)}</h2>',
            f"<h3>Learning curves</h3>{_charts(run)}",
            f"<h3>Pictures</h3>{_board(run, attribution)}",
            _routing(run),
            _answers(run),
            f"<h3>Data</h3>{_data(run)}",
            f"<h3>Parts</h3>{_parts(run)}",
            f"<h3>Speed</h3>{_speed(run)}",
            f"<h3>Dropped samples</h3>{_dropped(run)}",
            f"<h3>Configuration</h3>{_configuration(run)}",
        ]
    )


def _charts(run: Run) -> str:
    """Losses, validation scores a task, and how learning went."""
    panels: dict[str, dict[str, list[Point]]] = defaultdict(dict)
    for column, points in run.curves.items():
        kind, _, name = column.partition("/")
        if name.startswith("loss_"):
            panels[f"{kind} loss by task"][name.removeprefix("loss_")] = points
        elif name.startswith("loss"):
            panels["loss"][f"{kind}{name.removeprefix('loss')}"] = points
        elif kind == "validation":
            task, score = task_and_score(name)
            panels[f"{task} {score}" if _is_cider(score) else task][score] = points
        elif kind == "learning":
            quantity, _, group = name.partition("/")
            panel = f"learning {quantity}" if group else quantity.replace("_", " ")
            panels[panel][group or panel] = points
        elif kind == "routing":
            panels["mean weight of adapters"][name] = points
    ordered = sorted(panels, key=lambda panel: ("loss" not in panel, "/" not in panel, panel.count(" "), panel))
    tasks = sorted({name for panel in panels if panel.endswith("by task") for name in panels[panel]})
    drawn = [
        line_chart(panel, panels[panel], _unit(panel), among=tasks if panel.endswith("by task") else ()) for panel in ordered
    ]
    return f'<div class="charts">{"".join(drawn)}</div>' if drawn else "<p>No metrics were logged.</p>"


def _unit(panel: str) -> str:
    if "loss" in panel:
        return "nats a token"
    if _is_cider(panel):
        return "CIDEr × 100"
    return "share" if "/" in panel else panel


def _board(run: Run, attribution: Path | None) -> str:
    file = _latest_picture(run, "board")
    if file is None:
        return "<p>No board was drawn.</p>"
    colors = (TRUE_COLOR, "true box"), (PREDICTED_COLOR, "predicted box"), (REGION_COLOR, "region asked about")
    legend = " ".join(f'<span class="key"><i style="border-color: {color}"></i>{meaning}</span>' for color, meaning in colors)
    source = attribution or run.folder / ATTRIBUTION_FILE
    credit = f"\n{with_links(parsed(source, str.strip))}" if source.exists() or attribution else ""
    return picture(file, "validation pictures with questions, answers and boxes", f"After {_step(file)}: {legend}{credit}")


def _routing(run: Run) -> str:
    file = _latest_picture(run, "routing")
    if file is None:
        return ""
    caption = (
        f"After {_step(file)}: how much each adapter (line) weighs in each feed-forward layer (column), for the rows of "
        "each level (panel). Where the levels went their own ways, the brightest line of a panel is its own adapter."
    )
    seen = file.with_suffix(".txt")
    told = f"<p>{escape(seen.read_text(encoding='utf-8').strip())}</p>" if seen.exists() else ""
    return f"<h3>Routing</h3>{told}{picture(file, 'router weights by level, adapter and layer', caption)}"


def _answers(run: Run) -> str:
    """What was asked in the test, said and true; the search of the browser finds words in it."""
    folded = ""
    for name in run.results:
        file = run.folder / PREDICTIONS / f"{name}.jsonl"
        answers = read_predictions(file) if file.exists() else []
        rows = [[escape(cell) for cell in _answer_cells(answer)] for answer in answers[:MOST_ANSWERS]]
        summary = f"test set {escape(name)}: {len(rows):,} of {len(answers):,} answers"
        folded += f"<details><summary>{summary}</summary>{table(ANSWERS, [('', rows)], 'words')}</details>" if rows else ""
    return f"<h3>Answers</h3>{folded}" if folded else ""


def _answer_cells(answer: Prediction) -> tuple[str, ...]:
    row = answer.row
    return row.prompt, answer.text, row.answers[0], row.task, row.key


def _data(run: Run) -> str:
    """The sets of shards as they were when the run began."""
    sets: list[dict] = parsed(run.folder / SETS_FILE, json.loads, [])
    rows = [[escape(cell) for cell in _set_cells(each)] for each in sets]
    return table(SETS, [("", rows)], "words") if rows else "<p>No sets were written down.</p>"


def _set_cells(told: Mapping) -> tuple[str, ...]:
    counts = (f"{told[name]:,}" for name in ("samples", "images", "conversations"))
    return told["folder"], told["split"], *counts, told["tasks"], told["fingerprint"][:12]


def _latest_picture(run: Run, name: str) -> Path | None:
    return max((run.folder / "pictures" / name).glob("step_*.png"), default=None)


def _step(file: Path) -> str:
    return f"step {int(file.stem.removeprefix('step_')):,}"


def _parts(run: Run) -> str:
    """The table of `parts.txt`."""
    file = run.folder / PARTS_FILE
    if not file.exists():
        return "<p>No table of parts was written.</p>"
    head, _, *lines, total = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    heads, *rows = ([cell.strip() for cell in line.split("|")] for line in (head, *lines))
    cells = [[escape(cell) for cell in row] for row in rows]
    return f'{table(heads, [("", cells)], "words")}<p class="quiet">{escape(total)}</p>'


def _speed(run: Run) -> str:
    """Medians over the run, and the peak of the memory."""
    curves = {column.removeprefix("speed/"): points for column, points in run.curves.items() if column.startswith("speed/")}
    if not curves:
        return "<p>No speed was logged.</p>"
    middle = {name: statistics.median(value for _, value in points) for name, points in curves.items()}
    figures = {
        f"{name.removesuffix('_per_second')} a second": f"{value:,.3g}" if value < 100 else f"{value:,.0f}"
        for name, value in middle.items()
        if name.endswith("_per_second")
    }
    if "data_wait_share" in middle:
        figures["of the time waiting for data"] = f"{middle['data_wait_share']:.1%}"
    if "peak_memory_gib" in curves:
        figures["peak memory"] = f"{max(value for _, value in curves['peak_memory_gib']):.2f} GiB"
    figures["last step logged"] = f"{max(step for points in run.curves.values() for step, _ in points):,.0f}"
    shown = "".join(f"<div><b>{figure}</b>{escape(name)}</div>" for name, figure in figures.items())
    return f'<div class="figures">{shown}</div><p class="quiet">Medians over the logged intervals; of the memory the highest.</p>'


def _dropped(run: Run) -> str:
    file = run.folder / "dropped.txt"
    if not file.exists():
        return "<p>None was recorded.</p>"
    text = file.read_text(encoding="utf-8")
    return _folded(f"{len(text.splitlines()):,} dropped", text)


def _configuration(run: Run) -> str:
    file = run.folder / CONFIGURATION_FILE
    if not file.exists():
        return "<p>No configuration was saved.</p>"
    return f'<p class="quiet">{_code(run)}</p>' + _folded(f"{CONFIGURATION_FILE}, as resolved", file.read_text(encoding="utf-8"))


def _code(run: Run) -> str:
    """Which code has trained the run."""
    told: dict[str, str] = parsed(run.folder / CODE_FILE, json.loads, {})
    return escape("Code: " + (", ".join(f"{what} {value}" for what, value in told.items()) or "not written down"))


def _folded(summary: str, text: str) -> str:
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>"
