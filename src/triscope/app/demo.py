"""The demo: compose scenes, teach a small LION's bridges to name things, train its three stages, test with controls, and write a
report to look at."""

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from triscope.app.ask import RELEASED
from triscope.app.report import write_report
from triscope.cli import TriscopeCLI
from triscope.evaluation.results import RESULTS_FILE
from triscope.hardware import multiplies_bfloat16
from triscope.packaged import packaged_path

RECIPES = Path("conf/recipe")


@dataclass(frozen=True)
class Effort:
    """How much the demo does.

    Args:
        train_scenes, validation_scenes, test_scenes: pictures composed.
        naming_steps: before the stages, for the bridges to learn to name things.
        steps: of each stage.
        samples_per_batch: pictures a step, each with all its questions.
    """

    train_scenes: int
    validation_scenes: int
    test_scenes: int
    naming_steps: int
    steps: tuple[int, int, int]
    samples_per_batch: int

    def times(self, factor: int) -> "Effort":
        """So many times the training and the scenes to train on."""
        first, second, third = (steps * factor for steps in self.steps)
        return replace(
            self,
            train_scenes=self.train_scenes * factor,
            naming_steps=self.naming_steps * factor,
            steps=(first, second, third),
        )


HALF = Effort(train_scenes=1200, validation_scenes=16, test_scenes=50, naming_steps=110, steps=(30, 45, 25), samples_per_batch=16)
WHOLE = replace(HALF.times(2), validation_scenes=32, test_scenes=100, naming_steps=440)
SHORT = Effort(train_scenes=64, validation_scenes=4, test_scenes=6, naming_steps=3, steps=(3, 3, 3), samples_per_batch=4)


def main(arguments: list[str]) -> None:
    """Entry point of `triscope demo`."""
    parser = argparse.ArgumentParser(
        prog="triscope demo",
        description=__doc__,
        epilog="examples:\n  triscope demo\n  triscope demo --run_folder runs/try --short\n"
        "  triscope demo --run_folder runs/long-1 --times 3 --seed 1",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run_folder", type=Path, default=Path("runs/demo"), help="new or empty (default: %(default)s)")
    parser.add_argument("--model", default="conf/model/lion_micro.yaml", help="size to train (default: %(default)s)")
    parser.add_argument("--short", action="store_true", help="a few steps a stage, to see that all works")
    parser.add_argument("--times", type=int, default=1, help="train so many times as long (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    effort = (SHORT if parsed.short else whole_effort()).times(parsed.times)
    report = demo(parsed.run_folder, parsed.model, effort, parsed.seed)
    print(f"\nopen {report}")


def whole_effort() -> Effort:
    """What this machine does in the demo's time: half where it has no instructions for bfloat16."""
    return WHOLE if multiplies_bfloat16() else HALF


def demo(folder: Path, model: str, effort: Effort, seed: int = 0) -> Path:
    """Run the demo.

    Args:
        folder: for data, runs, report and summary; must not hold a demo yet.
        model: configuration of the model.
        effort: how much to do.
        seed: of weights and order.

    Returns:
        The report.
    """
    started = time.perf_counter()
    packaged_path("dinov2-small")
    compose_scenes(folder / "data", effort)
    train = Training(folder, model, effort, seed)
    train.name_things()
    stages = [
        train.stage("1_image", "lion_1_image", effort.steps[0], [named(folder, "qformer")]),
        train.stage("2_region", "lion_2_region", effort.steps[1], [named(folder, "aggregator")]),
        train.stage("3_mixture", "lion_3_mixture", effort.steps[2], specialists(folder)),
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


@dataclass(frozen=True)
class Training:
    """Runs of the demo.

    Args:
        folder: of the demo, which holds its data and gets its runs.
        model: configuration of the model.
        effort: how much to do.
        seed: of weights and order.
    """

    folder: Path
    model: str
    effort: Effort
    seed: int

    def name_things(self) -> None:
        """The bridges learn to name what covers their cells, into the run `0_naming`."""
        naming = ("--model", "triscope.stages.NamingStage", "--model.init_args.learning_rate", "2e-3")
        self._fit("0_naming", "lion_joint", self.effort.naming_steps, naming)

    def stage(self, name: str, recipe: str, steps: int, warm_start: list[dict]) -> Path:
        """Train a stage and test it with controls.

        Returns:
            The run's folder.
        """
        run = self._fit(name, recipe, steps, ("--model.init_args.warm_start", json.dumps(warm_start)))
        TriscopeCLI(["test", "-c", str(run / "config.yaml"), "--ckpt_path", str(run / "checkpoints" / "last.ckpt")])
        return run

    def _fit(self, name: str, recipe: str, steps: int, more: Sequence[str]) -> Path:
        run, data = self.folder / name, self.folder / "data"
        TriscopeCLI(
            [
                *("fit", "-c", str(RECIPES / f"{recipe}.yaml"), "-c", str(RECIPES / "on_scenes.yaml"), *more),
                *("--model.init_args.model", self.model, "--run.folder", str(run)),
                *("--seed_everything", str(self.seed), "--data.seed", str(self.seed)),
                *("--trainer.max_steps", str(steps), "--model.init_args.warmup_steps", str(max(1, steps // 10))),
                *("--trainer.val_check_interval", str(steps), "--trainer.check_val_every_n_epoch", "null"),
                *("--trainer.log_every_n_steps", str(max(1, min(10, steps // 10)))),
                *("--data.train", json.dumps({str(data / "train"): 1.0})),
                *("--data.validation", json.dumps({"scenes": str(data / "val")})),
                *("--data.test", json.dumps({"scenes": str(data / "test"), "new_objects": str(data / "test_objects")})),
                *("--data.samples_per_batch", str(self.effort.samples_per_batch)),
            ]
        )
        return run


def named(folder: Path, *bridges: str) -> dict:
    """What a stage takes from the bridges that have learned to name things."""
    return {"checkpoint": str(folder / "0_naming"), "parts": list(bridges)}


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
