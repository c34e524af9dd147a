"""Scores of runs as tables of a page: beside what needs no sight, side by side, and what each picture is worth."""

from collections.abc import Mapping, Sequence
from html import escape

from triscope.app.line_chart import line_chart
from triscope.app.page import table
from triscope.app.run_section import is_cider, run_name, unit
from triscope.app.runs import Run
from triscope.evaluation.results import LEARNED_IN_WORDS
from triscope.evaluation.tasks import task_and_score

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


def summary(runs: Sequence[Run], released: Mapping[str, dict]) -> str:
    """Every score of every run, beside what needs no sight."""
    heads = ["score", "value", "95 % interval", "0 to 1", "blind", "shuffled", "best guess", "items", "learned"]
    heads += ["released parts"] if released else []
    groups: list[tuple[str, list[list[str]]]] = []
    for run in runs:
        for name, result in run.results.items():
            rows = [_score_cells(score, result) for score in result["metrics"]]
            beside = [[_value(score, _released_value(released, name, score))] if released else [] for score in result["metrics"]]
            rows = [cells + value for cells, value in zip(rows, beside, strict=True)]
            groups.append((f"{run_name(run)} <small>test set {escape(name)}{_asked_by(result)}</small>", rows))
        if not run.results:
            groups.append((f"{run_name(run)} <small>no test was run</small>", []))
    return f'<h2 id="scores">Scores</h2><p class="quiet">{LEARNED_MEANS} {COLUMNS_MEAN}</p>{table(heads, groups, "scores")}'


def _asked_by(result: Mapping) -> str:
    """The benchmark that asked, with its version and split, if one did."""
    if "benchmark" not in result:
        return ""
    told = result["benchmark"]
    split = f", split {told['split']}" if told.get("split") else ""
    return escape(f", benchmark {told['name']} {told['version']}{split}")


def pictures(runs: Sequence[Run]) -> str:
    """What each picture of rows with several is worth."""
    by_set = {
        f"{run_name(run)} <small>test set {escape(name)}</small>": result.get("pictures", {})
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
    return f"{value:.1f}" if is_cider(score) else f"{value:.3f}"


def _is_share(score: str) -> bool:
    return not score.endswith(("cider", "mean_rank"))


def _released_value(released: Mapping[str, dict], set_name: str, score: str) -> float | None:
    """From the same set where there is one, else from the first that has the score."""
    candidates = [released[set_name]] if set_name in released else released.values()
    return next((result["metrics"][score] for result in candidates if score in result["metrics"]), None)


def comparison(runs: Sequence[Run]) -> str:
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
        line_chart(_title(column), lines, unit(column), among=names)
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
