"""What a page shows of one run: learning curves, pictures, answers, data, parts, speed and configuration."""

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping
from html import escape
from pathlib import Path

from triscope.app.line_chart import Point, line_chart
from triscope.app.page import picture, table, with_links
from triscope.app.runs import CONFIGURATION_FILE, Run, parsed
from triscope.checkpoints.run import PARTS_FILE, SETS_FILE
from triscope.drawing import PREDICTED_COLOR, REGION_COLOR, TRUE_COLOR
from triscope.evaluation.predictions import Prediction, read_predictions
from triscope.evaluation.results import PREDICTIONS
from triscope.evaluation.tasks import task_and_score
from triscope.version import CODE_FILE

ATTRIBUTION_FILE = "ATTRIBUTION"
SETS = ("folder", "split", "samples", "images", "conversations", "tasks", "fingerprint")  # of `sets.json`
ANSWERS = ("question", "said", "true", "task", "key")
MOST_ANSWERS = 200  # of a set; `predictions/` has all


def section(number: int, run: Run, attribution: Path | None) -> str:
    """All of it as HTML, under a heading that the page's links lead to.

    Args:
        number: of the run on the page.
        run: as read from its folder.
        attribution: text on whose pictures the board shows; if None, that in the run's folder, where there is one.
    """
    return "\n".join(
        [
            f'<h2 id="run-{number}">{run_name(run)}</h2>',
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


def run_name(run: Run) -> str:
    """A run in a heading: its name, and its stage in small letters."""
    return escape(run.name) + (f" <small>{escape(run.stage)}</small>" if run.stage else "")


def is_cider(score: str) -> bool:
    """Whether a score is told in hundreds and not as a share."""
    return score.endswith("cider")


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
            panels[f"{task} {score}" if is_cider(score) else task][score] = points
        elif kind == "learning":
            quantity, _, group = name.partition("/")
            panel = f"learning {quantity}" if group else quantity.replace("_", " ")
            panels[panel][group or panel] = points
        elif kind == "routing":
            panels["mean weight of adapters"][name] = points
    ordered = sorted(panels, key=lambda panel: ("loss" not in panel, "/" not in panel, panel.count(" "), panel))
    tasks = sorted({name for panel in panels if panel.endswith("by task") for name in panels[panel]})
    drawn = [line_chart(panel, panels[panel], unit(panel), among=tasks if panel.endswith("by task") else ()) for panel in ordered]
    return f'<div class="charts">{"".join(drawn)}</div>' if drawn else "<p>No metrics were logged.</p>"


def unit(panel: str) -> str:
    """What a chart's numbers are in."""
    if "loss" in panel:
        return "nats a token"
    if is_cider(panel):
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
