"""Runs as the command line leaves them: which folders are runs, and what is in them."""

import csv
import json
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml

from triscope.app.line_chart import Point
from triscope.data.errors import ConfigurationError, reason
from triscope.evaluation.results import RESULTS_FILE

Parsed = TypeVar("Parsed")

CONFIGURATION_FILE, METRICS_FILE = "config.yaml", "metrics.csv"


@dataclass(frozen=True)
class Run:
    """A run as the command line leaves it; what is missing is empty.

    Args:
        name: of the run among those of the report.
        folder: where it is.
        stage: class of the stage, where the configuration names it.
        curves: (step, value) by column of `metrics.csv`, in order of steps.
        results: of `results.json`, by set.
    """

    name: str
    folder: Path
    stage: str
    curves: dict[str, list[Point]]
    results: dict[str, dict]


def find_runs(folder: Path) -> list[Path]:
    """The folder itself if it is a run, else the runs in it, by name.

    Raises:
        ConfigurationError: there is none.
    """
    children = sorted(folder.iterdir()) if folder.is_dir() else []
    runs = [folder] if _is_run(folder) else [child for child in children if _is_run(child)]
    if not runs:
        raise ConfigurationError(
            f"run folder {folder}",
            "no such folder" if not folder.is_dir() else f"none of {CONFIGURATION_FILE}, {METRICS_FILE}, {RESULTS_FILE}",
            "the folder of a run, or a folder of runs",
            "give the --run.folder of a fit",
        )
    return runs


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (CONFIGURATION_FILE, METRICS_FILE, RESULTS_FILE))


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Runs, named by what distinguishes their folders."""
    folders = [folder.resolve() for folder in folders]
    common = os.path.commonpath([folder.parent for folder in folders])
    return [
        Run(
            name=str(folder.relative_to(common)),
            folder=folder,
            stage=parsed(folder / CONFIGURATION_FILE, _stage, ""),
            curves=parsed(folder / METRICS_FILE, _curves, {}),
            results=parsed(folder / RESULTS_FILE, results_of, {}),
        )
        for folder in folders
    ]


def parsed(file: Path, parse: Callable[[str], Parsed], missing: Parsed | None = None) -> Parsed:
    """What is in a file, or `missing` if there is none.

    Raises:
        ConfigurationError: the file cannot be read, or is missing and must not be.
    """
    if not file.exists() and missing is not None:
        return missing
    try:
        return parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{file}", reason(error), "the file as a run leaves it", "repair or remove it") from error


def _stage(text: str) -> str:
    model = (yaml.safe_load(text) or {}).get("model") or {}
    return model.get("class_path", "").rpartition(".")[2]


def _curves(text: str) -> dict[str, list[Point]]:
    curves: dict[str, dict[float, float]] = defaultdict(dict)
    for line in csv.DictReader(text.splitlines()):
        for column, value in line.items():
            if value and column != "step":
                curves[column][float(line["step"])] = float(value)  # the later one: a resumed run repeats some steps
    return {column: sorted(points.items()) for column, points in curves.items()}


def results_of(text: str) -> dict[str, dict]:
    """The results of every set, each with its `metrics`."""
    results = json.loads(text)
    return {name: {**result, "metrics": dict(result["metrics"])} for name, result in results.items()}
