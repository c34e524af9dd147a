"""What a reader of a W&B run looks up: the parts, the data, and the answers, as tables that can be searched."""

import json
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from triscope.callbacks.parts_table import parts_rows
from triscope.checkpoints.run import SETS_FILE
from triscope.data.controls import PLAIN
from triscope.data.datamodule import DataModule
from triscope.evaluation.predictions import Prediction
from triscope.evaluation.results import LEARNED_IN_WORDS, RESULTS_FILE, WITHOUT_SIGHT
from triscope.stages.base import Stage

ANSWERS = ("set", "task", "level", "question", "said", "true", "is the reference", "key")
SCORES = ("set", "score", "value", "low", "high", "blind", "shuffled", "best guess", "items", "learned")
SETS = ("split", "folder", "samples", "images", "conversations", "tasks", "fingerprint")


class RunTables(lightning.Callback):
    """Logs to W&B, where it is on: `parts/table` and `data/sets` at the start, `answers/validation` after each validation, and
    XX are also written to `sets.json`: whoever hands the run on tells what it has read, even
        if another set lies there by then.

        Args:
            most_answers: at most so many answers of a validation or test; `predictions/` has all of a test.
    """

    def __init__(self, most_answers: int = 500) -> None:
        self.most_answers = most_answers

    @rank_zero_only
    def on_train_start(self, trainer: Any, stage: Stage) -> None:
        """The parts and the data of the run."""
        groups = trainer.optimizers[0].param_groups if trainer.optimizers else []
        heads, *parts = parts_rows(stage, groups)
        sets = set_rows(trainer.datamodule)
        described = [dict(zip(SETS, row, strict=True)) for row in sets]
        (Path(trainer.default_root_dir) / SETS_FILE).write_text(json.dumps(described, indent=2) + "\n")
        for logger in wandb_loggers(trainer):
            logger.log_table("parts/table", columns=list(heads), data=[list(row) for row in parts])
            logger.log_table("data/sets", columns=list(SETS), data=sets)

    @rank_zero_only
    def on_validation_end(self, trainer: lightning.Trainer, stage: Stage) -> None:
        """What was asked, said and true."""
        if not trainer.sanity_checking:
            self._log_answers(trainer, stage, "answers/validation")

    @rank_zero_only
    def on_test_end(self, trainer: lightning.Trainer, stage: Stage) -> None:
        """The scores beside what needs no sight; what was asked, said and true."""
        for logger in wandb_loggers(trainer):
            results = json.loads((Path(trainer.default_root_dir) / RESULTS_FILE).read_text())
            rows = [row for name in stage.predictions for row in score_rows(name, results[name])]
            logger.log_table("scores/test", columns=list(SCORES), data=rows)
        self._log_answers(trainer, stage, "answers/test")

    def _log_answers(self, trainer: lightning.Trainer, stage: Stage, name: str) -> None:
        rows = [answer_row(of_set, prediction) for of_set, answers in stage.predictions.items() for prediction in answers[PLAIN]]
        for logger in wandb_loggers(trainer) if rows else []:
            logger.log_table(name, columns=list(ANSWERS), data=rows[: self.most_answers])


def wandb_loggers(trainer: lightning.Trainer) -> list[WandbLogger]:
    """Those of a trainer that write to W&B."""
    return [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]


def answer_row(name: str, prediction: Prediction) -> list[Any]:
    """An answer as a row of `ANSWERS`."""
    row, is_reference = prediction.row, prediction.text in prediction.row.answers
    return [name, row.task, str(row.level), row.prompt, prediction.text, row.answers[0], is_reference, row.key]


def score_rows(name: str, result: dict[str, Any]) -> list[list[Any]]:
    """The results of a set as rows of `SCORES`."""
    rows = []
    for score, value in result["metrics"].items():
        controls = [result["controls"].get(control, {}).get(score) for control in WITHOUT_SIGHT]
        guess = next(iter(result["guesses"].get(score, {}).values()), None)
        learned = LEARNED_IN_WORDS[result["learned"][score]]
        rows.append([name, score, value, *result["intervals"][score], *controls, guess, result["items"][score], learned])
    return rows


def set_rows(data: DataModule) -> list[list[Any]]:
    """The sets of shards of a run as rows of `SETS`."""
    folders = [("train", folder) for folder in data.train]
    folders += [("validation", each.shards) for each in data.evaluated["validation"].values()]
    rows = []
    for split, folder in folders:
        shards = data.shards(folder)
        tasks = ", ".join(f"{task} {count}" for task, count in sorted(shards.counts.tasks.items()))
        conversations = sum(shards.counts.levels.values())
        rows.append([split, folder, len(shards), shards.counts.images, conversations, tasks, shards.fingerprint])
    return rows
