"""Model folders: all that a model needs in one place, read offline, and free to be moved.

    FOLDER/recipe.yaml          stage, model, prompts and generation; paths that begin with ./ lie in the folder
           parts.safetensors    our own parts, as a slice (`slices.py`), with manifest.json
           vision.safetensors   the vision tower
           regions.safetensors  the tower of the region encoder
           language/            the language model and its tokenizer, a Hugging Face folder
           question_tokenizer/  of the text that the Q-Former reads
           README.md            the model card

What a folder lacks, its recipe names elsewhere. `triscope import` and `triscope export --to model` write such folders;
`triscope predict -c FOLDER`, like `validate`, `test` and `fit`, and `load_model` read them.
"""

import contextlib
import copy
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from triscope.checkpoints.relative_paths import HERE, placed
from triscope.data.errors import ConfigurationError
from triscope.model import VisualLanguageModel
from triscope.stages import Stage

RECIPE_FILE = "recipe.yaml"
VISION_FILE = "vision.safetensors"
REGIONS_FILE = "regions.safetensors"
LANGUAGE_FOLDER = "language"
QUESTION_TOKENIZER = "question_tokenizer"


def load_model(folder: str | Path) -> VisualLanguageModel:
    """A model from its folder, in evaluation mode, without a network.

        model = load_model("weights/lion")
        answers = model.generate(batch, max_new_tokens=32)     token ids, a list a row

    Args:
        folder: what `triscope import` or `triscope export --to model` wrote.

    Raises:
        ConfigurationError: the folder has no recipe, or its weights do not fit it.
    """
    return load_stage(folder).model.eval()


def load_stage(folder: str | Path) -> Stage:
    """The stage that a model folder's recipe names, its model built and filled."""
    stage = build_stage(read_recipe(folder)["model"])
    stage.configure_model()
    return stage


def build_stage(configuration: dict[str, Any]) -> Stage:
    """A stage from its class and arguments, as they stand under `model` in a recipe. Its model is not built yet."""
    parser = ArgumentParser()
    parser.add_subclass_arguments(Stage, "stage")
    return parser.instantiate_classes(parser.parse_object({"stage": copy.deepcopy(configuration)})).stage


def build_model(configuration: dict[str, Any], folder: Path) -> VisualLanguageModel:
    """A model from its class and arguments; paths that begin with ./ lie in `folder`."""
    stage = {"class_path": "triscope.stages.MixtureStage", "init_args": {"model": placed(configuration, folder)}}
    return build_stage(stage).build_model()


def read_recipe(folder: str | Path) -> dict[str, Any]:
    """The recipe of a model folder, with the paths as they are from here.

    Raises:
        ConfigurationError: the folder has none.
    """
    file = Path(folder) / RECIPE_FILE
    if not file.is_file():
        raise ConfigurationError(
            f"model folder {folder}",
            f"no {RECIPE_FILE}",
            "a folder with a whole model",
            "make one: triscope import, or export --to model",
        )
    return placed(yaml.safe_load(file.read_text()), Path(folder))


def write_recipe(
    folder: Path,
    stage: str,
    model: dict[str, Any],
    parts: list[str],
    data: dict[str, Any],
    comment: str,
    generation: dict[str, Any] | None = None,
) -> None:
    """Write the recipe of a model folder.

    Args:
        folder: of the model.
        stage: class of the stage that predicts with it and trains it further.
        model: class and arguments of the model.
        parts: those that lie in the folder's slice.
        data: settings of the data that the model was made for.
        comment: the first line.
        generation: how answers are written; the stage's defaults if None.
    """
    recipe = {
        "run": {"folder": "runs/answer", "wandb": "disabled"},
        "trainer": {"accelerator": "auto", "devices": 1, "enable_model_summary": False, **_precision(model)},
        "model": {
            "class_path": stage,
            "init_args": {
                "model": model,
                "warm_start": [{"checkpoint": HERE, "parts": parts}] if parts else None,
                "generation": generation,
            },
        },
        "data": data,
    }
    head = f"# {comment}\n# Paths that begin with {HERE} lie in this folder.\n"
    (folder / RECIPE_FILE).write_text(head + yaml.safe_dump(recipe, sort_keys=False))


def _precision(model: dict[str, Any]) -> dict[str, Any]:
    """What the trainer computes in, for the precision of the language model's weights."""
    match model["init_args"]["language"]["init_args"].get("dtype", "float32"):
        case "auto":
            return {"precision": None, "plugins": [{"class_path": "triscope.precision.AutoPrecision"}]}
        case "float32":
            return {"precision": "32-true", "plugins": None}
    return {"precision": "bf16-mixed", "plugins": None}


@contextlib.contextmanager
def folders_as_recipes(arguments: list[str]) -> Iterator[list[str]]:
    """The arguments of a command, in which a model folder behind `-c` stands for its recipe."""
    with tempfile.TemporaryDirectory() as scratch:
        opened = list(arguments)
        for place, (option, value) in enumerate(pairwise(arguments)):
            if option in ("-c", "--config") and Path(value).is_dir():
                file = Path(scratch) / f"{place}.yaml"
                file.write_text(yaml.safe_dump(read_recipe(value), sort_keys=False))
                opened[place + 1] = str(file)
        yield opened
