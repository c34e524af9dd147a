"""Stage: what trains, on what, from which checkpoints. Subclasses are a screen each and say only that.

The loss of an optimizer step is the sum of its token losses over the number of its supervised tokens, counted over all
micro-batches and ranks: 4 micro-batches of 1 give the gradient of 1 of 4, whatever the lengths of the answers.
"""

import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from triscope.checkpoints.slices import check_trained, trained_state, warm_start, whole_parts
from triscope.data.asking import Asking
from triscope.data.batch import Batch
from triscope.data.errors import ConfigurationError, TriscopeError
from triscope.data.prompts import Tokenizers
from triscope.data.sample import Level
from triscope.data.transforms import Normalisation
from triscope.distributed import gathered, placed, whole
from triscope.evaluation.benchmarks import benchmark
from triscope.evaluation.generation import GenerationOptions
from triscope.model import VisualLanguageModel
from triscope.stages.evaluated import EvaluatedModule
from triscope.stages.losses import mean_losses, row_losses, token_losses

LORA = "lora"  # the part that any stage trains, if the model has it
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


class Stage(EvaluatedModule):
    """A training stage over the one model class.

    Args:
        model: builds the model; called by `configure_model`, when the device and the strategy are known.
        warm_start: which parts start from which checkpoints; all others start as their components initialise them.
        learning_rate: of AdamW at the end of the warm-up.
        minimum_learning_rate: where the cosine ends, at the trainer's `max_steps`.
        warmup_steps: linear warm-up from 0.
        weight_decay: of matrices; biases, norms and vectors have none.
        learning_rate_scales: factor on the learning rate, by part.
        frozen_gradients: frozen parts of which autograd computes gradients all the same, which are thrown away: to see what it
            gives to leave them out. None for none.
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
        frozen_gradients: list[Literal["vision", "language"]] | None = None,
        generation: GenerationOptions | None = None,
    ) -> None:
        super().__init__(generation or GenerationOptions())
        self.strict_loading = False  # checkpoints hold trained parts only
        self.supervised_tokens = 0
        self.build_model = model
        self._warm_start = warm_start or []
        self._learning_rate = learning_rate
        self._minimum_learning_rate = minimum_learning_rate
        self._warmup_steps = warmup_steps
        self._weight_decay = weight_decay
        self._learning_rate_scales = learning_rate_scales or {}
        self._frozen_gradients = set[str](frozen_gradients or [])

    # What trains ------------------------------------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Build the model, reduce it to what this stage uses, take the warm start, and freeze what does not train."""
        if hasattr(self, "model"):
            return
        self.model = placed(self._built, None if self._trainer is None else self._trainer.strategy)
        scalable = self.parts_that_train(self.model)
        if unknown := set(self._learning_rate_scales) - scalable:
            expected = f"parts that train: {sorted(scalable)}"
            raise ConfigurationError("model.init_args.learning_rate_scales", f"{sorted(unknown)}", expected, "correct the name")

    def _built(self) -> VisualLanguageModel:
        try:
            model = self.build_model()
        except TriscopeError:
            raise
        except ValueError as error:  # of a component, which says what was found, what was expected, and what to do
            raise ConfigurationError("model", str(error), "parts that fit each other", "correct the model's file") from error
        model.keep_only(list(model.bridges) if self.bridges is None else self.bridges, self.levels, self.region_parts)
        trained_parts = self.parts_that_train(model)
        if model.language.is_4bit and "language" in trained_parts:
            remedy = "give it a LoRA, which then trains in its place, or set its dtype to float32"
            raise ConfigurationError("model.language.dtype", "nf4 in a stage that trains the language model", "no 4 bits", remedy)
        restored = whole_parts(model, self.restored_from) if self.restored_from and self._warm_start else set()
        self.origin = dict.fromkeys(restored, str(self.restored_from))
        for source in self._warm_start:
            if parts := [part for part in source.parts if part not in restored]:
                warm_start(model, source.checkpoint, parts)
                self.origin.update(dict.fromkeys(parts, source.checkpoint))
        self._check_frozen_gradients(model, trained_parts)
        model.frozen_gradients = self._frozen_gradients
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(model.part_of(name) in trained_parts | self._frozen_gradients)
        if not any(model.trained_parameters()):
            raise ConfigurationError(
                f"model of {type(self).__name__}",
                f"parts {sorted({model.part_of(name) for name, _ in model.named_parameters()})}",
                f"at least one that the stage trains: {list(self.trained_parts)}",
                "add such a part to the model's file, or use another stage",
            )
        return model

    def _check_frozen_gradients(self, model: VisualLanguageModel, trained_parts: set[str]) -> None:
        frozen = {model.part_of(name) for name, _ in model.named_parameters()} - trained_parts
        if model.vision is not None and model.vision.is_cached:
            frozen.discard("vision")  # what is read was not computed
        if model.language.is_4bit:
            frozen.discard("language")
        if unable := self._frozen_gradients - frozen:
            expected = "frozen parts of this model: vision without a cache_folder, language without 4 bits"
            raise ConfigurationError("model.init_args.frozen_gradients", f"{sorted(unable)}", expected, "leave it out")

    @classmethod
    def parts_that_train(cls, model: VisualLanguageModel) -> set[str]:
        """The names of what this stage trains of a model. A LoRA trains wherever there is one, and where the stage trains the
        language model, in the place of its own weights.

        Args:
            model: reduced to what the stage uses, or not yet; some of the parts may not be in it.
        """
        has_lora = any(model.part_of(name) == LORA for name, _ in model.named_parameters())
        return {*cls.trained_parts, LORA} - ({"language"} if has_lora else set())

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
        return self.model.trained_parameters()

    def tokenizers(self) -> Tokenizers:
        """What the data needs to write ids of this model."""
        return self.model.tokenizers()

    def normalisation(self) -> Normalisation:
        """What the data needs to normalise pictures in the place of this model."""
        return self.model.normalisation()

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

    def on_after_backward(self) -> None:
        """Throw away the gradients of what does not train."""
        self.model.drop_frozen_gradients()

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
