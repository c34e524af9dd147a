"""A model that answers questions about pictures as they come: the stage and the data of a recipe, without a run."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.cli import LightningCLI
from transformers.utils import logging as transformers_logging

from triscope.checkpoints.folder import folders_as_recipes
from triscope.checkpoints.slices import read_slice
from triscope.cli import TriscopeCLI
from triscope.data.batch import Batch
from triscope.data.box_text import parse_box
from triscope.data.datamodule import DataModule
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Sample
from triscope.evaluation.predictions import Prediction
from triscope.stages import Stage

RELEASED = Path("weights/lion_micro")  # of the repository: trained by the demo's own command, at length
RELEASED_PARTS = {  # they answer where no recipe is named
    "checkpoint": str(RELEASED),
    "parts": ["qformer", "aggregator", "adapter_image", "adapter_region", "router", "soft_prompt"],
}
ANSWERING = (
    *("-c", "conf/recipe/lion_3_mixture.yaml", "-c", "conf/recipe/on_scenes.yaml", "--trainer.accelerator", "auto"),
    *("--model.init_args.model", "conf/model/lion_micro.yaml", "--model.init_args.warm_start", json.dumps([RELEASED_PARTS])),
)
SMALL_PARAMETERS = 1_000_000_000


def names_a_recipe(arguments: Sequence[str]) -> bool:
    """Whether a command line says which model answers; otherwise the released parts do."""
    return bool({"-c", "--config"} & set(arguments))


def predict_arguments(arguments: Sequence[str]) -> list[str]:
    """Those of LightningCLI's `predict` for a model that is asked; without `-c`, the released parts answer."""
    return ["predict", *(() if names_a_recipe(arguments) else ANSWERING), *arguments]


@dataclass(frozen=True)
class Answerer:
    """A stage with its model, data that writes its prompts, and the trainer that knows device and precision."""

    stage: Stage
    data: DataModule
    trainer: lightning.Trainer

    @classmethod
    def open(cls, arguments: Sequence[str] = ()) -> "Answerer":
        """The model of a command line.

        Args:
            arguments: those of `triscope predict`: `-c` a recipe, a run's configuration or a model folder, `--ckpt_path`,
                and single settings. Without `-c`, the released parts answer.

        Raises:
            ConfigurationError: the recipe's parts or the checkpoint do not fit, or are not there.
        """
        with _quietly():
            with folders_as_recipes(predict_arguments(arguments)) as opened:
                command = _Opened(opened)
            stage, trainer = command.model, command.trainer
            stage.configure_model()
        if checkpoint := command.config["predict"].get("ckpt_path"):
            _fill(stage, checkpoint)
        stage.to(trainer.strategy.root_device).eval()
        return cls(stage, command.datamodule, trainer)

    def batch(self, sample: Sample, contents: Sequence[bytes]) -> Batch:
        """A sample with its encoded pictures as the model reads it."""
        return self.data.batch_of([(sample, contents)], self.stage.tokenizers(), self.stage.region_sides())

    @torch.no_grad()
    def answer(
        self, sample: Sample, contents: Sequence[bytes], on_text: Callable[[str], None] | None = None, **generation: Any
    ) -> Prediction:
        """Answer the last question of a sample's last conversation.

        Args:
            sample: checked here; references are not read.
            contents: its encoded pictures.
            on_text: called with every piece of the answer as soon as it is written; beams are then left out.
            generation: options of `GenerationOptions` that differ from the recipe's.

        Raises:
            BadSampleError: the sample is unusable.
        """
        sample.check()
        batch = self.batch(sample, contents)
        batch = batch.of_rows(torch.arange(len(batch)) == len(batch) - 1).to(self.stage.device)
        decode, written = self.stage.tokenizers().language.decode, list[int]()

        def told(token: int) -> None:
            """Say what is new: a word may change with the token behind it, so the text is decoded as a whole."""
            assert on_text is not None
            before = decode(written)
            written.append(token)
            after = decode(written)
            if after.startswith(before) and not after.endswith("\ufffd"):  # else half a character: it comes with the next
                on_text(after[len(before) :])

        options = asdict(self.stage.generation) | generation | ({"on_token": told, "beams": 1} if on_text else {})
        with self.trainer.precision_plugin.forward_context():
            (ids,) = self.stage.model.generate(batch, **options)
        text = decode(ids).strip()
        return Prediction(batch.rows[0], text, parse_box(text, self.data.prompt_style.box_format))

    def said_of_size(self) -> str:
        """What to expect of a model of this size, in a sentence."""
        model = self.stage.model
        language = sum(parameter.numel() for name, parameter in model.named_parameters() if model.part_of(name) == "language")
        if language >= SMALL_PARAMETERS:
            return f"The language model has {language / 1e9:.1f} billion parameters."
        return (
            f"The language model has {language / 1e6:,.1f} million parameters: that is tiny. Expect short answers about what it "
            "was trained on, and many that are wrong."
        )


@contextmanager
def _quietly() -> Iterator[None]:
    """Without notices, advice and progress bars of the libraries, which would stand before the answers."""
    bars = transformers_logging.is_progress_bar_enabled()
    logging.disable(logging.INFO)
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="LightningCLI's args parameter")  # they are the caller's, rightly
            yield
    finally:
        logging.disable(logging.NOTSET)
        if bars:
            transformers_logging.enable_progress_bar()


class _Opened(TriscopeCLI):
    """Reads a command line as `predict` does, and starts nothing."""

    def instantiate_trainer(self, **kwargs: object) -> Any:
        """One that knows the device and the precision, and writes nothing."""
        return LightningCLI.instantiate_trainer(self, logger=False, **kwargs)

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing is run."""


def _fill(stage: Stage, checkpoint: str) -> None:
    """Take what was trained from a checkpoint.

    Raises:
        ConfigurationError: it holds what the model has no place for.
    """
    absent = stage.model.load_state_dict(read_slice(Path(checkpoint)), strict=False).unexpected_keys
    if absent:
        found, expected = f"{len(absent)} tensors of no place, such as {absent[0]}", "what the recipe's stage trains"
        raise ConfigurationError(f"--ckpt_path {checkpoint}", found, expected, "name the run's config.yaml")
