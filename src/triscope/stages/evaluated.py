"""A model that is asked: validation, test with controls, and prediction; scored once over the answers of all ranks."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning

from triscope.data.batch import Batch
from triscope.data.controls import PLAIN, controls
from triscope.data.datamodule import Split
from triscope.data.folder import sha256_of
from triscope.distributed import gathered
from triscope.evaluation.benchmarks import Benchmark, benchmark
from triscope.evaluation.generation import GenerationOptions
from triscope.evaluation.predictions import Prediction, distinct, write_predictions
from triscope.evaluation.results import PREDICTIONS, SUBMISSIONS, results_table, write_results
from triscope.evaluation.submissions import write_submissions
from triscope.evaluation.tasks import score
from triscope.model import VisualLanguageModel
from triscope.stages.answering import ranked, written
from triscope.stages.losses import RowLoss, mean_losses, row_losses, token_losses

SHOWN_ANSWERS = 20


class EvaluatedModule(lightning.LightningModule):
    """The half of a stage that asks its model and scores what it answers.

    Args:
        generation: how answers are written.
    """

    model: VisualLanguageModel

    def __init__(self, generation: GenerationOptions) -> None:
        super().__init__()
        self.generation = generation
        self.origin: dict[str, str] = {}  # where parts were taken from, by part
        self.restored_from: Path | None = None  # `--ckpt_path`: what is loaded into the model once it is built
        self.predictions: dict[str, dict[str, list[Prediction]]] = {}  # by set and control
        self.validation_losses: dict[tuple[int, str], RowLoss] = {}  # by set and key

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's predictions and losses."""
        self.predictions = {}
        self.validation_losses = {}

    on_test_epoch_start = on_predict_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Loss and written answers of a batch."""
        for part in self._parts(batch):
            predictions = self.model(part)
            losses = row_losses(part, token_losses(predictions), predictions.row_M)
            self.validation_losses.update({(dataloader_idx, loss.key): loss for loss in losses})
        self._keep("validation", dataloader_idx, PLAIN, self.answer(batch, self._benchmark("validation", dataloader_idx)))

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Written answers with pictures as they are, and under every control (`triscope.data.controls`) unless they are off."""
        asked = list(controls(batch)) if self._loose_trainer.datamodule.controls else [(PLAIN, batch)]
        by = self._benchmark("test", dataloader_idx)
        most = max(gathered([len(asked)]))
        for control, changed in asked:
            self._keep("test", dataloader_idx, control, self.answer(changed, by))
        for _ in range(most - len(asked)):
            self.answer(batch, by)  # kept by nobody: all ranks of a sharded model write at once

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Written answers of a batch."""
        self._keep("predict", dataloader_idx, PLAIN, self.answer(batch, self._benchmark("predict", dataloader_idx)))

    def answer(self, batch: Batch, by: Benchmark | None = None) -> list[Prediction]:
        """Answer the last question of every row.

        Args:
            batch: rows.
            by: the benchmark that says how; without one, answers are written as the stage's `generation` says.
        """
        style = self._loose_trainer.datamodule.prompt_style
        answers = []
        for part in self._parts(batch):
            if by is not None and by.generation is None:
                answers += ranked(self.model, part, style, by)
            else:
                answers += written(self.model, part, style, (by and by.generation) or self.generation, by)
        return answers

    def _benchmark(self, split: Split, loader: int) -> Benchmark | None:
        """The benchmark of a set, by the number of its loader."""
        sets = self._loose_trainer.datamodule.evaluated[split]
        name = list(sets.values())[loader].benchmark
        return None if name is None else benchmark(name)

    def _parts(self, batch: Batch) -> Iterator[Batch]:
        """The batch in parts that are not too large, on every rank as many: a sharded model is run on all at once. Rows that
        are repeated for that count once, by their key."""
        rows = self._loose_trainer.datamodule.evaluation_rows
        if rows is None:
            yield batch
            return
        parts = list(batch.parts(rows))
        for number in range(max(gathered([len(parts)]))):
            yield parts[number % len(parts)]

    def on_validation_epoch_end(self) -> None:
        """Score the answers of all ranks, and log the mean loss of all tokens."""
        # By key, as some ranks repeat a row to have as many.
        losses = mean_losses(dict(gathered(list(self.validation_losses.items()))).values())
        for name, loss in losses.items():
            self.log(f"validation/{name}", loss, prog_bar=name == "loss", rank_zero_only=True)
        self._gather()
        for name, by_control in self.predictions.items():
            prefix = f"validation/{name}/" if len(self.predictions) > 1 else "validation/"
            scores = score(by_control[PLAIN], resamples=0)
            self.log_dict({prefix + key: result.value for key, result in scores.items()}, rank_zero_only=True)

    def on_test_epoch_end(self) -> None:
        """Score the answers of all ranks beside controls and guess levels, and write them into the run's folder."""
        self._gather()
        if self.trainer.is_global_zero:
            data = self._loose_trainer.datamodule
            style, weights = {"prompt_style": asdict(data.prompt_style)}, self._weights()
            told: dict[str, dict[str, Any]] = {name: {"weights": weights} for name in data.evaluated["test"]}
            for name, each in data.evaluated["test"].items():
                if each.benchmark is not None:
                    described = benchmark(each.benchmark).described()
                    told[name]["benchmark"] = {**described, "split": each.split, "shards": each.shards, **style}
            for name, result in write_results(self.trainer.default_root_dir, self.predictions, told).items():
                print(f"\n{name}\n{results_table(result)}")

    def _weights(self) -> dict[str, Any]:
        """What is tested: the checkpoint with its hash, and where the parts that it does not hold come from."""
        checkpoint = self.trainer.ckpt_path
        started = {part: source for part, source in self.origin.items() if source != str(self.restored_from)}
        content = sha256_of(Path(checkpoint)) if checkpoint and Path(checkpoint).is_file() else None
        return {"checkpoint": checkpoint and str(checkpoint), "sha256": content, "warm_start": started}

    def on_predict_epoch_end(self) -> None:
        """Write the answers of all ranks into the run's folder, and show the first."""
        self._gather()
        if self.trainer.is_global_zero:
            for name, by_control in self.predictions.items():
                folder = Path(self.trainer.default_root_dir)
                write_predictions(folder / PREDICTIONS / f"{name}.jsonl", by_control[PLAIN])
                write_submissions(folder / SUBMISSIONS / name, by_control[PLAIN])
                for prediction in by_control[PLAIN][:SHOWN_ANSWERS]:
                    print(f"{prediction.row.key}  {prediction.row.prompt}\n  -> {prediction.text}")

    @property
    def _loose_trainer(self) -> Any:
        """The trainer with the attributes that Lightning gives it without declaring them."""
        return self.trainer

    def _keep(self, split: Split, loader: int, control: str, answers: list[Prediction]) -> None:
        name = self._loose_trainer.datamodule.names(split)[loader]
        self.predictions.setdefault(name, {}).setdefault(control, []).extend(answers)

    def _gather(self) -> None:
        """Take over the answers of all ranks. A rank may have none under a control, so they are gathered all at once."""
        labelled = [
            (name, control, answer)
            for name, by_control in self.predictions.items()
            for control, answers in by_control.items()
            for answer in answers
        ]
        everything: dict[str, dict[str, list[Prediction]]] = {}
        for name, control, answer in gathered(labelled):
            everything.setdefault(name, {}).setdefault(control, []).append(answer)
        self.predictions = {
            name: {control: distinct(answers) for control, answers in by_control.items()}
            for name, by_control in everything.items()
        }
