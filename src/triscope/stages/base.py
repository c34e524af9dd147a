"""Stage: what trains, on what, from which checkpoints. Subclasses are a screen each and say only that.

The loss of an optimizer step is the sum of its token losses over the number of its supervised tokens, counted over all
micro-batches and ranks: 4 micro-batches of 1 give the gradient of 1 of 4, whatever the lengths of the answers.
"""

import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import lightning.pytorch as lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from triscope.checkpoints.slices import check_trained, trained_state, warm_start, whole_parts
from triscope.components.language import TokenPredictions
from triscope.data.asking import Asking
from triscope.data.batch import Batch
from triscope.data.controls import PLAIN, controls
from triscope.data.datamodule import Split
from triscope.data.errors import ConfigurationError, TriscopeError
from triscope.data.folder import sha256_of
from triscope.data.prompts import Tokenizers
from triscope.data.sample import Level
from triscope.distributed import gathered, placed, whole
from triscope.evaluation.benchmarks import Benchmark, benchmark
from triscope.evaluation.generation import GenerationOptions
from triscope.evaluation.predictions import Prediction, distinct, write_predictions
from triscope.evaluation.results import PREDICTIONS, SUBMISSIONS, results_table, write_results
from triscope.evaluation.submissions import write_submissions
from triscope.evaluation.tasks import score
from triscope.model import VisualLanguageModel
from triscope.stages.answering import ranked, written

SHOWN_ANSWERS = 20
TRAINED_WHERE_PRESENT = ("lora",)  # parts that any stage trains, if the model has them
REGION_PARTS = ("region_projector", "region_position", "region_markers")


@dataclass
class WarmStart:
    """Parts taken from a checkpoint before training starts. Never a resumption: that is `--ckpt_path`.

    Args:
        checkpoint: a run folder, a checkpoint or a safetensors file.
        parts: which parts to take, such as `qformer` or `adapter_image`; each must be there, whole and of the same shape.
    """

    checkpoint: str
    parts: list[str]


class Stage(lightning.LightningModule):
    """A training stage over the one model class.

    Args:
        model: builds the model; called by `configure_model`, when the device and the strategy are known.
        warm_start: which parts start from which checkpoints; all others start as their components initialise them.
        learning_rate: of AdamW at the end of the warm-up.
        minimum_learning_rate: where the cosine ends, at the trainer's `max_steps`.
        warmup_steps: linear warm-up from 0.
        weight_decay: of matrices; biases, norms and vectors have none.
        learning_rate_scales: factor on the learning rate, by part.
        generation: how answers are written in validation, test and prediction.
    """

    model: VisualLanguageModel  # from `configure_model` on
    bridges: ClassVar[tuple[str, ...] | None]  # of the model; None for all that it has
    levels: ClassVar[tuple[Level, ...]]
    trained_parts: ClassVar[tuple[str, ...]]
    accepted_levels: ClassVar[tuple[Level, ...]]
    region_parts: ClassVar[tuple[str, ...]] = ()  # of `REGION_PARTS`; without any, the model's region encoder is left out

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "accepted_levels" not in vars(cls):
            cls.accepted_levels = cls.levels

    def __init__(
        self,
        model: Callable[[], VisualLanguageModel],
        warm_start: list[WarmStart] | None = None,
        learning_rate: float = 1e-5,
        minimum_learning_rate: float = 0.0,
        warmup_steps: int = 1000,
        weight_decay: float = 0.05,
        learning_rate_scales: dict[str, float] | None = None,
        generation: GenerationOptions | None = None,
    ) -> None:
        super().__init__()
        self.strict_loading = False  # checkpoints hold trained parts only
        self.origin: dict[str, str] = {}
        self.restored_from: Path | None = None  # `--ckpt_path`: what is loaded into the model once it is built
        self.predictions: dict[str, dict[str, list[Prediction]]] = {}  # by set and control
        self.validation_losses: dict[tuple[int, str], RowLoss] = {}  # by set and key
        self.supervised_tokens = 0
        self.build_model = model
        self._warm_start = warm_start or []
        self._learning_rate = learning_rate
        self._minimum_learning_rate = minimum_learning_rate
        self._warmup_steps = warmup_steps
        self._weight_decay = weight_decay
        self._learning_rate_scales = learning_rate_scales or {}
        self.generation = generation or GenerationOptions()

    # What trains ------------------------------------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Build the model, reduce it to what this stage uses, take the warm start, and freeze what does not train."""
        if hasattr(self, "model"):
            return
        self.model = placed(self._built, None if self._trainer is None else self._trainer.strategy)
        unknown = set(self._learning_rate_scales) - {*self.trained_parts, *TRAINED_WHERE_PRESENT}
        if unknown:
            raise ConfigurationError(
                "model.init_args.learning_rate_scales",
                f"{sorted(unknown)}",
                f"parts that train: {list(self.trained_parts)}",
                "correct the name",
            )

    def _built(self) -> VisualLanguageModel:
        try:
            model = self.build_model()
        except TriscopeError:
            raise
        except ValueError as error:  # of a component, which says what was found, what was expected, and what to do
            raise ConfigurationError("model", str(error), "parts that fit each other", "correct the model's file") from error
        model.keep_only(list(model.bridges) if self.bridges is None else self.bridges, self.levels, self.region_parts)
        if model.language.is_4bit and "language" in self.trained_parts:
            remedy = "set the language model's dtype to float32 or bfloat16"
            raise ConfigurationError("model.language.dtype", "nf4 in a stage that trains the language model", "no 4 bits", remedy)
        restored = whole_parts(model, self.restored_from) if self.restored_from and self._warm_start else set()
        self.origin = dict.fromkeys(restored, str(self.restored_from))
        for source in self._warm_start:
            if parts := [part for part in source.parts if part not in restored]:
                warm_start(model, source.checkpoint, parts)
                self.origin.update(dict.fromkeys(parts, source.checkpoint))
        trained_parts = {*self.trained_parts, *TRAINED_WHERE_PRESENT}
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(model.part_of(name) in trained_parts)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ConfigurationError(
                f"model of {type(self).__name__}",
                f"parts {sorted({model.part_of(name) for name, _ in model.named_parameters()})}",
                f"at least one that the stage trains: {list(self.trained_parts)}",
                "add such a part to the model's file, or use another stage",
            )
        return model

    def configure_optimizers(self) -> Any:
        """AdamW with a group for every learning rate and weight decay; linear warm-up, then cosine, both by step.

        Raises:
            ConfigurationError: no `trainer.max_steps`, so that the cosine would have no end; or a number below its least.
        """
        for name in ("learning_rate", "minimum_learning_rate", "warmup_steps", "weight_decay"):
            value, is_rate = getattr(self, f"_{name}"), name == "learning_rate"
            if value < 0 or (is_rate and value == 0):
                expected = "more than 0" if is_rate else "0 or more"
                raise ConfigurationError(f"model.init_args.{name}", f"{value:g}", expected, "correct it in the recipe")
        if self.trainer.max_steps < 1:
            raise ConfigurationError(
                "trainer.max_steps", str(self.trainer.max_steps), "how many steps to train", "set it: the cosine ends there"
            )
        groups: dict[tuple[float, float], list[torch.nn.Parameter]] = defaultdict(list)
        names: dict[tuple[float, float], set[str]] = defaultdict(set)
        for name, parameter in self.trained_parameters():
            part = self.model.part_of(name)
            decay = self._weight_decay if parameter.ndim > 1 else 0.0
            key = self._learning_rate_scales.get(part, 1.0), decay
            groups[key].append(parameter)
            names[key].add(part)
        optimizer = torch.optim.AdamW(
            [
                {
                    "params": group,
                    "lr": self._learning_rate * scale,
                    "weight_decay": decay,
                    "name": f"{'+'.join(sorted(names[scale, decay]))}, decay {decay:g}",
                }
                for (scale, decay), group in groups.items()
            ],
            betas=(0.9, 0.999),
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._learning_rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step", "name": "learning/rate"}}

    def trained_parameters(self) -> Iterable[tuple[str, torch.nn.Parameter]]:
        """Names (as in the model) and tensors of everything that trains."""
        return ((name, parameter) for name, parameter in self.model.named_parameters() if parameter.requires_grad)

    def tokenizers(self) -> Tokenizers:
        """What the data needs to write ids of this model."""
        return self.model.tokenizers()

    def asking(self, name: str) -> Asking:
        """How the benchmark of a name asks."""
        return benchmark(name).asking

    def picture_side(self) -> int | None:
        """Side of the square pictures that the vision tower reads, if there is one."""
        return self.model.vision.image_size if self.model.vision is not None else None

    def region_sides(self) -> tuple[int, int] | None:
        """Shortest and longest side of the pictures that the model's region encoder reads, if it reads any of its own."""
        return self.model.regions.picture_sides if self.model.regions is not None else None

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Keep trained parts only: a frozen 12B model does not belong into every checkpoint."""
        state = {name.removeprefix("model."): tensor for name, tensor in checkpoint["state_dict"].items()}
        checkpoint["state_dict"] = {f"model.{name}": tensor for name, tensor in trained_state(self.model, state).items()}

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Refuse what another stage or size has trained: loaded by name, it would leave parts as they were initialised.

        Raises:
            ConfigurationError: the checkpoint has other trained parts than this stage.
        """
        given = {name.removeprefix("model."): tensor for name, tensor in checkpoint["state_dict"].items()}
        check_trained(self.model, given, f"checkpoint {self.trainer.ckpt_path}")

    # Learning ---------------------------------------------------------------------------------------------------------

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Dropout is drawn from seed, rank and position in the run, so that a resumed run draws the same."""
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))  # of `seed_everything`
        position = self.trainer.fit_loop.epoch_loop.total_batch_idx
        torch.manual_seed(int(np.random.SeedSequence([seed, self.trainer.global_rank, position]).generate_state(1)[0]))

    def training_step(self, batch: Batch) -> Tensor:
        """The sum of the batch's token losses; divided by the count of the whole step in `on_before_optimizer_step`."""
        predictions = self.model(batch)
        losses_M = token_losses(predictions)
        self.supervised_tokens += len(losses_M)
        if self._is_logged_step:
            for name, loss in mean_losses(gathered(row_losses(batch, losses_M, predictions.row_M))).items():
                self.log(f"train/{name}", loss, prog_bar=name == "loss")
        return losses_M.sum()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Turn the gradient of a sum into that of a mean over all supervised tokens of the step."""
        count = torch.tensor(float(self.supervised_tokens), device=self.device)
        count = self.trainer.strategy.reduce(count, reduce_op="sum")
        # Lightning divides by the micro-batches, and the strategy by the ranks: both are taken back.
        factor = self.trainer.accumulate_grad_batches * self.trainer.world_size / max(float(count), 1.0)
        gradients = [parameter.grad for _, parameter in self.trained_parameters() if parameter.grad is not None]
        for gradient in gradients:
            gradient.mul_(factor)
        self.supervised_tokens = 0
        if self._is_logged_step:
            self.log("learning/gradient_norm", whole(torch.nn.utils.get_total_norm(gradients)))

    @property
    def _is_logged_step(self) -> bool:
        """Whether Lightning writes to the loggers at the end of the step that is now under way."""
        return (self.trainer.global_step + 1) % self._loose_trainer.log_every_n_steps == 0

    def _learning_rate_factor(self, step: int) -> float:
        """Share of the learning rate at a step: up linearly, then down along a cosine to the minimum."""
        if step < self._warmup_steps:
            return (step + 1) / self._warmup_steps
        remaining = max(1, self.trainer.max_steps - self._warmup_steps)
        progress = min(1.0, (step - self._warmup_steps) / remaining)
        minimum = self._minimum_learning_rate / self._learning_rate
        return minimum + (1 - minimum) * 0.5 * (1 + math.cos(math.pi * progress))

    # Evaluation -------------------------------------------------------------------------------------------------------

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
        self.log_dict({f"validation/{name}": loss for name, loss in losses.items()}, rank_zero_only=True)
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


def token_losses(predictions: TokenPredictions) -> Tensor:
    """Cross-entropy of each supervised token (M,), in float32."""
    return F.cross_entropy(predictions.logits_MV.float(), predictions.targets_M, reduction="none")


class RowLoss(NamedTuple):
    """The loss of a row of a batch.

    Args:
        key, task: of the row.
        loss: sum over its supervised tokens.
        tokens: how many they are.
    """

    key: str
    task: str
    loss: float
    tokens: int


def row_losses(batch: Batch, losses_M: Tensor, row_M: Tensor) -> list[RowLoss]:
    """The loss of each row that has a supervised token."""
    losses_B = losses_M.new_zeros(len(batch)).index_add_(0, row_M, losses_M.detach()).tolist()
    tokens_B = row_M.bincount(minlength=len(batch)).tolist()
    rows = zip(batch.rows, losses_B, tokens_B, strict=True)
    return [RowLoss(row.key, row.task, loss, tokens) for row, loss, tokens in rows if tokens]


def mean_losses(rows: Iterable[RowLoss]) -> dict[str, float]:
    """Mean token loss as `loss`, and of each task as `loss_<task>`, whatever the order of the rows is."""
    by_name: dict[str, list[RowLoss]] = defaultdict(list)
    for row in rows:
        by_name["loss"].append(row)
        by_name[f"loss_{row.task}"].append(row)
    return {name: math.fsum(row.loss for row in some) / sum(row.tokens for row in some) for name, some in by_name.items()}
