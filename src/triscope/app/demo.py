"""The demo: compose scenes, train LION's three stages on them, test with controls, and write a report to look at."""

import argparse
import csv
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from triscope.app.report import write_report
from triscope.cli import TriscopeCLI
from triscope.evaluation.results import RESULTS_FILE
from triscope.hardware import multiplies_bfloat16
from triscope.packaged import packaged_path

RELEASED = Path("weights/lion_micro")
RECIPES = Path("conf/recipe")


@dataclass(frozen=True)
class Effort:
    """How much the demo does.

    Args:
        train_scenes, validation_scenes, test_scenes: pictures composed.
        steps: of each stage.
        samples_per_batch: pictures a step, each with all its questions.
    """

    train_scenes: int
    validation_scenes: int
    test_scenes: int
    steps: tuple[int, int, int]
    samples_per_batch: int


WHOLE = Effort(train_scenes=2400, validation_scenes=32, test_scenes=100, steps=(130, 190, 90), samples_per_batch=16)
HALF = Effort(train_scenes=1200, validation_scenes=16, test_scenes=50, steps=(70, 110, 50), samples_per_batch=16)
SHORT = Effort(train_scenes=64, validation_scenes=4, test_scenes=6, steps=(3, 3, 3), samples_per_batch=4)


def main(arguments: list[str]) -> None:
    """Entry point of `triscope demo`."""
    parser = argparse.ArgumentParser(
        prog="triscope demo",
        description=__doc__,
        epilog="examples:\n  triscope demo\n  triscope demo --run_folder runs/try --short",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run_folder", type=Path, default=Path("runs/demo"), help="new or empty (default: %(default)s)")
    parser.add_argument("--model", default="conf/model/lion_micro.yaml", help="size to train (default: %(default)s)")
    parser.add_argument("--short", action="store_true", help="a few steps a stage, to see that all works")
    parsed = parser.parse_args(arguments)
    report = demo(parsed.run_folder, parsed.model, SHORT if parsed.short else whole_effort())
    print(f"\nopen {report}")


def whole_effort() -> Effort:
    """What this machine does in the demo's time: half where it has no instructions for bfloat16."""
    return WHOLE if multiplies_bfloat16() else HALF


def demo(folder: Path, model: str, effort: Effort) -> Path:
    """Run the demo.

    Args:
        folder: for data, runs, report and summary; must not hold a demo yet.
        model: configuration of the model.
        effort: how much to do.

    Returns:
        The report.
    """
    started = time.perf_counter()
    packaged_path("dinov2-small")
    compose_scenes(folder / "data", effort)
    stages = [
        train_and_test(folder, "1_image", "lion_1_image", effort.steps[0], model, effort),
        train_and_test(folder, "2_region", "lion_2_region", effort.steps[1], model, effort),
        train_and_test(folder, "3_mixture", "lion_3_mixture", effort.steps[2], model, effort),
    ]
    released = RELEASED / RESULTS_FILE
    report = write_report(
        stages,
        folder / "report.html",
        title="triscope demo",
        released=released if released.exists() else None,
        attribution=folder / "data" / "train" / "ATTRIBUTION",
    )
    summary = summarise(stages[-1], time.perf_counter() - started, effort)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    return report


def compose_scenes(folder: Path, effort: Effort) -> None:
    """Write the scenes' shards, in processes of their own."""
    counts = {
        "train": effort.train_scenes,
        "val": effort.validation_scenes,
        "test": effort.test_scenes,
        "test_objects": effort.test_scenes // 2,
    }
    for split, count in counts.items():
        command = ["scenes", "--out", str(folder / split), "--split", split, "--count", str(count), "--workers", "2"]
        subprocess.run([sys.executable, "-m", "data_pipelines", *command], check=True)


def train_and_test(folder: Path, name: str, recipe: str, steps: int, model: str, effort: Effort) -> Path:
    """Train a stage and test it with controls.

    Returns:
        The run's folder.
    """
    run = folder / name
    data = folder / "data"
    fit = [
        *("fit", "-c", str(RECIPES / f"{recipe}.yaml"), "-c", str(RECIPES / "on_scenes.yaml")),
        *("--model.init_args.model", model, "--run.folder", str(run)),
        *("--trainer.max_steps", str(steps), "--trainer.val_check_interval", str(steps)),
        *("--trainer.check_val_every_n_epoch", "null", "--trainer.log_every_n_steps", str(max(1, min(10, steps // 10)))),
        *("--data.train", json.dumps({str(data / "train"): 1.0}), "--data.validation", json.dumps({"scenes": str(data / "val")})),
        *("--data.test", json.dumps({"scenes": str(data / "test"), "new_objects": str(data / "test_objects")})),
        *("--data.samples_per_batch", str(effort.samples_per_batch)),
    ]
    if recipe == "lion_3_mixture":
        fit += ["--model.init_args.warm_start", json.dumps(specialists(folder))]
    TriscopeCLI(fit)
    TriscopeCLI(["test", "-c", str(run / "config.yaml"), "--ckpt_path", str(run / "checkpoints" / "last.ckpt")])
    return run


def specialists(folder: Path) -> list[dict]:
    """What stage 3 takes from the demo's stages 1 and 2."""
    return [
        {"checkpoint": str(folder / "1_image"), "parts": ["qformer", "adapter_image", "soft_prompt"]},
        {"checkpoint": str(folder / "2_region"), "parts": ["aggregator", "adapter_region"]},
    ]


def summarise(run: Path, seconds: float, effort: Effort) -> dict:
    """The figures of the demo: scores of the last stage with controls and guess levels, and how long it took."""
    result = json.loads((run / RESULTS_FILE).read_text())["scenes"]
    with (run / "metrics.csv").open() as file:
        speeds = [float(row["speed/images_per_second"]) for row in csv.DictReader(file) if row.get("speed/images_per_second")]
    return {
        "metrics": result["metrics"],
        "controls": result["controls"],
        "guesses": {name: max(levels.values()) for name, levels in result["guesses"].items()},
        "learned": result["learned"],
        "seconds": round(seconds, 1),
        "samples_per_second": round(sum(speeds) / len(speeds), 2) if speeds else None,
        "train_scenes": effort.train_scenes,
    }
