"""The command line: LightningCLI for what trains and evaluates, and a few commands around it."""

import csv
import importlib
import json
import os
import shutil
import sys
import warnings
from argparse import ArgumentError
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import yaml
from jsonargparse import get_loader, set_loader
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, ProgressBar, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from triscope.callbacks import ChartsByTask, DataHealth, PartsTable, PictureBoard, RoutingPicture, RunTables, Throughput
from triscope.callbacks.run_tables import wandb_loggers
from triscope.checkpoints.folder import folders_as_recipes
from triscope.checkpoints.run import PARTS_FILE, SETS_FILE
from triscope.checkpoints.whole import WholeCheckpoints, check_readable
from triscope.data.datamodule import DataModule
from triscope.data.errors import ConfigurationError, TriscopeError, bad_path, reason
from triscope.refusals import misread, refused_by_trainer, with_contents
from triscope.stages import Stage
from triscope.version import CODE_FILE, code_version

HELP = """\
triscope: language models that see the whole image, its regions, and several images at once

  triscope fit      -c conf/recipe/lion_2_region.yaml
  triscope fit      -c conf/recipe/lion_2_region.yaml --model.init_args.model conf/model/lion_4b.yaml --run.folder runs/4b
  triscope fit      -c conf/recipe/lion_2_region.yaml --plan                  (memory and steps; nothing is started)
  triscope fit      -c conf/recipe/lion_2_region.yaml --ckpt_path runs/lion_2_region/checkpoints/last.ckpt    (resume)
  triscope validate -c runs/lion_2_region/config.yaml --ckpt_path runs/lion_2_region/checkpoints/last.ckpt
  triscope test     -c runs/lion_2_region/config.yaml --ckpt_path runs/lion_2_region/checkpoints/last.ckpt
  triscope predict  --picture photo.jpg --question "Where is the dog?"      (the released parts, or: predict -c RECIPE)
  triscope chat     --picture photo.jpg                                       the same as a talk; /help lists what can be typed
  triscope demo     --run_folder runs/demo                                    three stages of a small LION, and a report
  triscope report   runs/demo --out report.html                               curves, tables and pictures of any run
  triscope compare  runs/lion_joint runs/lion_3_mixture                       paired differences, and what changed
  triscope score    runs/lion_joint                                           scores again, from the answers and without a model
  triscope rank     page --data data/fine_eval --answers a=a.jsonl --answers b=b.jsonl --out ranking.html    people judge, blind
  triscope import   lion LION-FlanT5-XL.pth --out weights/lion                published weights (then: predict -c weights/lion)
  triscope export   runs/lion_3_mixture --out slices/mine                     trained parts as safetensors
  triscope doctor                                                             what this machine can run, and what is missing

Each command has --help. Recipes are in conf/recipe, model sizes in conf/model, hardware in conf/trainer, data in conf/data.
"""


TRAINER_COMMANDS = ("fit", "validate", "test", "predict")
MORE_HELP = {
    "fit": "--plan tells memory and steps, and starts nothing.",
    "predict": "--picture and --question ask about pictures: `triscope predict --picture photo.jpg --help` tells how.",
}


YAML_OF_PARSER = get_loader("yaml")


def read_yaml(text: str) -> Any:
    """YAML for the parser of the configuration, which hands a null of a part's part on as Python writes it: without this,
    `--model.init_args.model.init_args.vision.init_args.cache_folder null` would name a folder `None`."""
    return None if text == "None" else YAML_OF_PARSER(text)


set_loader("yaml", read_yaml, (yaml.YAMLError,))


class SaveRunConfig(SaveConfigCallback):
    """Keeps the resolved configuration, and which code it is, in the run's folder once a model and a batch are there: what fails
    before is no run."""

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Nothing is kept yet."""

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Save when the first batch is there."""
        if self.already_saved:
            return
        super().setup(trainer, pl_module, "fit")
        if trainer.is_global_zero:
            folder, code = Path(trainer.default_root_dir), code_version()
            (folder / CODE_FILE).write_text(json.dumps(code, indent=2) + "\n")
            resolved = yaml.safe_load((folder / "config.yaml").read_text())
            for logger in wandb_loggers(trainer):
                logger.experiment.config.update({"code": code, "configuration": resolved}, allow_val_change=True)


class TriscopeCLI(LightningCLI):
    """LightningCLI with a folder for every run, our loggers, and our callbacks."""

    def __init__(self, args: list[str] | None = None) -> None:
        super().__init__(
            Stage,
            DataModule,
            subclass_mode_model=True,
            subclass_mode_data=False,
            args=args,
            save_config_callback=SaveRunConfig,
            save_config_kwargs={"overwrite": True},
            trainer_defaults={"callbacks": run_callbacks()},
            seed_everything_default=0,
            parser_kwargs={
                "exit_on_error": False,
                **{name: {"exit_on_error": False, "epilog": MORE_HELP.get(name)} for name in TRAINER_COMMANDS},
            },
        )
        for logger in self.trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.finish()  # or the next run of this process would be logged into this one

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """A run's folder and loggers, and when it is saved."""
        parser.add_argument("--run.folder", type=str, default="runs/untitled", help="for configuration, logs, checkpoints")
        parser.add_argument("--run.wandb", type=str, default="offline", help="offline, online or disabled")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults(
            {
                "checkpoint.save_last": True,
                "checkpoint.save_top_k": 0,
                "checkpoint.every_n_train_steps": 500,
                "checkpoint.enable_version_counter": False,  # `last.ckpt` is the last one, in a resumed run too
            }
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Refuse what YAML reads as a word, parse, and look at a checkpoint before Lightning opens it."""
        arguments = sys.argv[1:] if args is None else args
        for argument in arguments:
            if argument.rpartition("=")[2] == "None":  # where a path may be given, it would become a folder of this name
                raise ConfigurationError("the command line", "None", "null, which is YAML's word for nothing", "write null")
        try:
            super().parse_arguments(parser, args)
        except ArgumentError as error:
            if told := with_contents(error.message, arguments):
                super().parse_arguments(parser, told)
            raise
        path = self.config[self.config.subcommand].get("ckpt_path")
        if path and str(path).endswith(".ckpt") and "://" not in str(path):
            check_readable(path)

    def before_instantiate_classes(self) -> None:
        """Refuse to write a new run over an old one, and put checkpoints into the run's folder."""
        config = self.config[self.subcommand]
        folder = Path(config.run.folder)
        config.checkpoint.dirpath = str(folder / "checkpoints")
        config.weights_only = True  # a checkpoint is data: nothing in it is unpickled but tensors and plain values
        if self.subcommand == "fit" and not config.get("ckpt_path") and (folder / "config.yaml").exists():
            last = folder / "checkpoints" / "last.ckpt"
            on = f"resume with --ckpt_path {last}" if last.exists() else "remove that one: it has no checkpoint to go on from"
            remedy = f"choose another --run.folder, or {on}"
            raise ConfigurationError(f"run.folder {folder}", "a run (config.yaml)", "an empty or new folder", remedy)

    def after_instantiate_classes(self) -> None:
        """Tell the stage what it will be restored from: parts that are whole there need no warm start."""
        checkpoint = self.config[self.subcommand].get("ckpt_path")
        if checkpoint and Path(checkpoint).exists():
            self.model.restored_from = Path(checkpoint)

    def _run_subcommand(self, subcommand: str) -> None:
        """Run; what is refused leaves nothing behind, but for a fit that has begun."""
        try:
            super()._run_subcommand(subcommand)
        except (TriscopeError, MisconfigurationException):
            folder = Path(self.trainer.default_root_dir)
            if self.trainer.is_global_zero and not (subcommand == "fit" and (folder / "config.yaml").exists()):
                self._remove_beginnings(folder)
            raise

    def _remove_beginnings(self, folder: Path) -> None:
        """What is written before there is a batch to learn from or a score, and the folders made for it."""
        for run in [logger.experiment for logger in wandb_loggers(self.trainer)]:
            run.finish(exit_code=1)
            shutil.rmtree(Path(run.dir).parent)
        if not list(self._logs.glob("wandb/*run-*")):  # beside runs there are only links and logs of the last one
            shutil.rmtree(self._logs / "wandb", ignore_errors=True)
        if self.subcommand == "fit":
            for name in (PARTS_FILE, SETS_FILE):
                (folder / name).unlink(missing_ok=True)
        for made in self._made:
            if not any(made.iterdir()):
                made.rmdir()

    def instantiate_trainer(self, **kwargs: object) -> lightning.Trainer:
        """The trainer with the run's folder; loggers, which write there, only once Lightning has accepted all the rest.

        Raises:
            MisconfigurationException: it has not.
        """
        given = self._get(self.config_init, "trainer")
        folder = self._get(self.config_init, "run.folder")
        plugins, callbacks = [*_listed(given.plugins), WholeCheckpoints()], _listed(given.callbacks)
        if given.enable_progress_bar is not False and not any(isinstance(each, ProgressBar) for each in callbacks):
            callbacks.append(TQDMProgressBar(refresh_rate=10))
        told = {"plugins": plugins, "callbacks": callbacks, **kwargs}
        try:
            trainer = super().instantiate_trainer(default_root_dir=folder, logger=False, **told)
        except ValueError as error:  # such as a strategy of no known name
            raise MisconfigurationException(str(error)) from error
        self._logs = Path(folder) if self.subcommand == "fit" else Path(folder, str(self.subcommand))
        self._made = [path for path in (self._logs, *self._logs.parents) if not path.exists()]
        trainer.loggers = run_loggers(self._logs, self._get(self.config_init, "run.wandb"))
        return trainer


def _listed(value: Any) -> list[Any]:
    """A trainer's argument that may be one, several or none."""
    return list(value) if isinstance(value, list) else [] if value is None else [value]


def run_loggers(folder: str | Path, wandb: str = "offline") -> list[Logger]:
    """CSV, and W&B unless it is disabled, in the run's folder.

    Raises:
        ConfigurationError: the folder cannot be made.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "choose another --run.folder"
        raise ConfigurationError(f"run.folder {folder}", reason(error), "a folder that can be written to", remedy) from error
    loggers: list[Logger] = [_csv_logger(folder)]
    if wandb != "disabled":
        os.environ.setdefault("WANDB_SILENT", "true")
        online = wandb == "online"  # checkpoints are then kept there too, as artifacts
        logger = ChartsByTask(name=str(folder), project="triscope", save_dir=folder, offline=not online, log_model=online)
        loggers.append(logger)
    return loggers


def _csv_logger(folder: str | Path) -> CSVLogger:
    """Lightning's, which removes what an interrupted run has written; here a resumed run goes on behind it."""
    file = Path(folder) / "metrics.csv"
    written = list(csv.DictReader(file.read_text().splitlines())) if file.exists() else []
    logger = CSVLogger(folder, name="", version="")
    logger.experiment.metrics = written
    logger.save()
    return logger


def run_callbacks() -> list[lightning.Callback]:
    """What is watched in every run."""
    return [
        PartsTable(),
        LearningRateMonitor("step"),
        DataHealth(),
        PictureBoard(),
        RoutingPicture(),
        RunTables(),
        Throughput(),  # behind the pictures: drawing them is no waiting for data
    ]


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `triscope`: a mistake in the input ends with its message, not with a stack trace."""
    arguments = sys.argv[1:] if arguments is None else arguments
    command = arguments[0] if arguments else ""
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter")  # a demo gives its own arguments, rightly
    try:
        if command == "predict" and not {"--picture", "--question"}.isdisjoint(each.partition("=")[0] for each in arguments):
            _run("ask", arguments[1:])
        elif command == "fit" and "--plan" in arguments:
            _run("plan", [argument for argument in arguments if argument != "--plan"])
        elif command in TRAINER_COMMANDS:
            with folders_as_recipes(arguments) as opened:
                TriscopeCLI(opened)
        elif command in _COMMANDS:
            _run(command, arguments[1:])
        else:
            print(HELP)
            if command not in ("", "-h", "--help"):
                raise SystemExit(f"triscope: unknown command {command!r}; the commands are listed above")
    except ArgumentError as error:
        raise SystemExit(f"triscope {command}: {misread(error.message, arguments)}") from error
    except MisconfigurationException as error:
        raise SystemExit(f"triscope {command}: {refused_by_trainer(error)}") from error
    except TriscopeError as error:
        raise SystemExit(f"triscope {command}: {error}") from error
    except OSError as error:
        raise SystemExit(f"triscope {command}: {bad_path(error)}") from error


def _run(command: str, arguments: list[str]) -> None:
    """Run a command of its own; its module is imported when it is asked for, as most of them are not."""
    importlib.import_module(_COMMANDS[command]).main(arguments)


_COMMANDS = {
    "ask": "triscope.app.ask",
    "chat": "triscope.app.chat",
    "compare": "triscope.app.compare",
    "demo": "triscope.app.demo",
    "doctor": "triscope.app.doctor",
    "export": "triscope.checkpoints.export",
    "import": "triscope.checkpoints.import_weights",
    "plan": "triscope.app.plan",
    "rank": "triscope.app.rank",
    "report": "triscope.app.report",
    "score": "triscope.app.score",
}

if __name__ == "__main__":
    main()
