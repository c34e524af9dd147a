"""The demo: compose scenes, teach a small LION's bridges to name things, train its three stages, test with controls, write a
report to look at, and ask about a picture that a tagger of these bridges has tagged."""

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from triscope.app.answerer import RELEASED, Answerer
from triscope.app.chat import Chat
from triscope.app.report import write_report
from triscope.arguments import Parser
from triscope.checkpoints.export import export
from triscope.checkpoints.naming_tagger import THRESHOLDS_FILE
from triscope.cli import TriscopeCLI
from triscope.data.errors import ConfigurationError
from triscope.data.sample import MARKER
from triscope.data.shards import ShardSet
from triscope.evaluation.results import RESULTS_FILE
from triscope.hardware import multiplies_bfloat16
from triscope.packaged import packaged_path
from triscope.tagging.tagger import build_tagger, read_tagger

RECIPES = Path("conf/recipe")
QUESTIONS_ASKED = 4  # about the last picture


@dataclass(frozen=True)
class Effort:
    """How much the demo does.

    Args:
        train_scenes, validation_scenes, test_scenes: pictures composed.
        tagged_scenes: pictures whose tags are right, to find the tagger's thresholds.
        naming_steps: before the stages, for the bridges to learn to name things.
        steps: of each stage.
        samples_per_batch: pictures a step, each with all its questions.
    """

    train_scenes: int
    validation_scenes: int
    test_scenes: int
    tagged_scenes: int
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


HALF = Effort(
    train_scenes=1200,
    validation_scenes=16,
    test_scenes=50,
    tagged_scenes=120,
    naming_steps=110,
    steps=(20, 45, 40),
    samples_per_batch=16,
)
WHOLE = replace(HALF.times(2), validation_scenes=32, test_scenes=100, naming_steps=840)
SHORT = Effort(
    train_scenes=64,
    validation_scenes=4,
    test_scenes=6,
    tagged_scenes=6,
    naming_steps=3,
    steps=(3, 3, 3),
    samples_per_batch=4,
)


def main(arguments: list[str]) -> None:
    """Entry point of `triscope demo`."""
    parser = Parser(
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
    parser.add_argument("--tagger", type=Path, metavar="FILE", help="of the last picture; default: what the bridges have named")
    parsed = parser.parse_args(arguments)
    if parsed.times < 1:
        raise ConfigurationError("--times", str(parsed.times), "1 or more", "leave it out for the usual demo")
    effort = (SHORT if parsed.short else whole_effort()).times(parsed.times)
    report = demo(parsed.run_folder, parsed.model, effort, parsed.seed, parsed.tagger)
    print(f"\nopen {report}")


def whole_effort() -> Effort:
    """What this machine does in the demo's time: half where it has no instructions for bfloat16."""
    return WHOLE if multiplies_bfloat16() else HALF


def demo(folder: Path, model: str, effort: Effort, seed: int = 0, tagger: Path | None = None) -> Path:
    """Run the demo.

    Args:
        folder: for data, runs, report and summary; must not hold a demo yet.
        model: configuration of the model.
        effort: how much to do.
        seed: of weights and order.
        tagger: tags the picture that is asked about at the end; if None, the one that the demo trains.

    Returns:
        The report.

    Raises:
        ConfigurationError: the folder has files, or a file is not there: told before anything is composed.
    """
    check_start(folder, {"--model": Path(model), "--tagger": tagger})
    started = time.perf_counter()
    packaged_path("dinov2-small")
    compose_scenes(folder / "data", effort)
    train = Training(folder, model, effort, seed)
    own_tagger = train.tagger(train.name_things())
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
    talk = talk_about(new_picture(folder), stages[-1], tagger or own_tagger)
    print(f"\n{talk}")
    summary = {**summarise(stages[-1], time.perf_counter() - started, effort), "talk": talk.splitlines()}
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    return report


def check_start(folder: Path, files: dict[str, Path | None]) -> None:
    """Refuse at once what would end the demo after minutes.

    Args:
        folder: for what the demo writes.
        files: that it will read, by option.

    Raises:
        ConfigurationError: the folder has files, or a file is not there.
    """
    if folder.is_dir() and any(folder.iterdir()):
        remedy = "name another folder, or remove this one"
        raise ConfigurationError(f"--run_folder {folder}", "files", "a new or empty folder", remedy)
    for option, file in files.items():
        if file is not None and not file.exists():
            remedy = "correct the path, which begins in the folder that triscope is run in; conf/ is in the repository"
            raise ConfigurationError(f"{option} {file}", "no such file", "a configuration", remedy)


def compose_scenes(folder: Path, effort: Effort) -> None:
    """Write the scenes' shards, in processes of their own."""
    counts = {
        "train": effort.train_scenes,
        "val": effort.validation_scenes,
        "test": effort.test_scenes,
        "test_objects": effort.test_scenes // 2,
    }
    for split, count in counts.items():
        pipeline("scenes", "--out", str(folder / split), "--split", split, "--count", str(count))
    right = ("--missing_tags", "0", "--wrong_tags", "0", "--seed", "1")
    pipeline("scenes", "--out", str(folder / "tagged"), "--split", "val", "--count", str(effort.tagged_scenes), *right)


def pipeline(*arguments: str) -> None:
    """A command of `data_pipelines`, in processes of its own."""
    subprocess.run([sys.executable, "-m", "data_pipelines", *arguments, "--workers", "2"], check=True)


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

    def name_things(self) -> Path:
        """The bridges learn to name what covers their cells.

        Returns:
            The run's folder.
        """
        naming = ("--model", "triscope.stages.NamingStage", "--model.init_args.learning_rate", "2e-3")
        return self._fit("0_naming", "lion_joint", self.effort.naming_steps, naming)

    def tagger(self, naming: Path) -> Path:
        """What the bridges have named, as a tagger, with thresholds from scenes whose tags are right.

        Returns:
            The tagger's folder.
        """
        folder = self.folder / "tagger"
        export(naming, folder, "tagger")
        thresholds = str(folder / THRESHOLDS_FILE)
        pipeline("calibrate", str(self.folder / "data" / "tagged"), "--tagger", str(folder), "--out", thresholds)
        return folder

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


def new_picture(folder: Path) -> tuple[Path, list[str]]:
    """A picture of the test set as a file of its own, which knows no tags, and questions about it that name no region."""
    sample, contents = next(iter(ShardSet.open(folder / "data" / "test"))).parse()
    file = folder / "picture.jpg"
    file.write_bytes(contents[0])
    prompts = dict.fromkeys(conversation.turns[0].prompt for conversation in sample.conversations)
    return file, [prompt for prompt in prompts if not MARKER.search(prompt)][:QUESTIONS_ASKED]


def talk_about(asked: tuple[Path, list[str]], run: Path, tagger: Path) -> str:
    """Questions about a picture, which the tagger tags first, and the answers of a run's model."""
    picture, questions = asked
    said: list[str] = []
    answerer = Answerer.open(["-c", str(run / "config.yaml"), "--ckpt_path", str(run / "checkpoints" / "last.ckpt")])
    chat = Chat(answerer, said.append, build_tagger(read_tagger(tagger)))
    chat.say(f"{chat.look([picture])}\n")
    for question in questions:
        chat.say(f"> {question}\n")
        chat.ask(question)
    return "".join(said).rstrip()


def summarise(run: Path, seconds: float, effort: Effort) -> dict:
    """The figures of the demo: scores of the last stage with controls and guess levels, and how long it took."""
    result = json.loads((run / RESULTS_FILE).read_text())["scenes"]
    with (run / "metrics.csv").open() as file:
        speeds = [float(row["speed/images_per_second"]) for row in csv.DictReader(file) if row.get("speed/images_per_second")]
    return {
        "metrics": result["metrics"],
        "controls": result["controls"],
        "guesses": {name: next(iter(levels.values())) for name, levels in result["guesses"].items()},
        "learned": result["learned"],
        "seconds": round(seconds, 1),
        "samples_per_second": round(sum(speeds) / len(speeds), 2) if speeds else None,
        "train_scenes": effort.train_scenes,
    }
