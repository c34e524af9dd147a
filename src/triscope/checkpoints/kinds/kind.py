"""What every kind of published weights says about itself."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from triscope.checkpoints.folder import LANGUAGE_FOLDER, VISION_FILE, build_model
from triscope.checkpoints.key_map import KeyMap
from triscope.checkpoints.slices import layout_of
from triscope.data.errors import ConfigurationError
from triscope.model import VisualLanguageModel

BASE = "base/"  # stands before the names of a second source
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "spiece.model",
)
_CONFIG = "config.json"


@dataclass(frozen=True)
class Given:
    """What a user gives to be imported.

    Args:
        path: weight file, or Hugging Face folder.
        model_file: the file of our model that it becomes, where the user names one.
        names: tensors of the source, with `base/` before those of a second one; shapes on the meta device.
    """

    path: Path
    model_file: Path | None
    names: dict[str, Tensor]

    @property
    def has_base(self) -> bool:
        """Whether there is a second source."""
        return any(name.startswith(BASE) for name in self.names)

    @cached_property
    def config(self) -> dict[str, Any]:
        """`config.json` of a Hugging Face folder."""
        file = self.path / _CONFIG
        if not file.is_file():
            raise ConfigurationError(
                f"weights {self.path}", f"no {_CONFIG}", "a Hugging Face folder", "give the folder, with all its files"
            )
        try:
            return json.loads(file.read_text())
        except ValueError as error:
            raise ConfigurationError(f"weights {file}", f"no JSON ({error})", "the file as published", "copy it again") from None

    def configured(self, *names: str) -> list[Any]:
        """What `config.json` says of each name.

        Raises:
            ConfigurationError: it lacks one, as that of another model does.
        """
        missing = [name for name in names if name not in self.config]
        if missing:
            found = f"a model of type {self.config.get('model_type')!r}, without {', '.join(missing)}"
            raise ConfigurationError(f"weights {self.path / _CONFIG}", found, ", ".join(names), "check the kind")
        return [self.config[name] for name in names]

    def model_configuration(self, usual: Path | None) -> dict[str, Any]:
        """The class and arguments of our model, from the file that the user names, or from the usual one of this kind."""
        file = self.model_file or usual
        remedy = "name the model file of this size with --model, such as conf/model/lion_4b.yaml"
        if file is None or not file.is_file():
            found = f"no file {file}" if file else "a size that none of the published models has"
            raise ConfigurationError("--model", found, "a model file", remedy)
        try:
            configuration = yaml.safe_load(file.read_text())
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            found = f"no YAML ({str(error).splitlines()[0]})"
            raise ConfigurationError(f"--model {file}", found, "a model file", remedy) from None
        if not isinstance(configuration, dict) or not {"class_path", "init_args"} <= configuration.keys():
            raise ConfigurationError(f"--model {file}", "no class_path and init_args", "a model file", remedy)
        return configuration


@dataclass(frozen=True)
class Becomes:
    """What a source becomes.

    Args:
        layout: name and shape of every tensor of ours that must be filled, as in `VisualLanguageModel`.
        model: class and arguments of the whole model; None where the source is one part of a model.
        data: settings of the data that the model was made for.
        map: the source's names and ours, for kinds where these depend on what is given; else the kind's.
    """

    layout: dict[str, Tensor]
    model: dict[str, Any] | None = None
    data: dict[str, Any] = field(default_factory=dict)
    map: KeyMap | None = None


@dataclass(frozen=True)
class Kind:
    """A layout of published weights.

    Args:
        about: one line of help.
        map: its names and ours; all that a source of this kind may have, where they depend on what is given.
        becomes: what it becomes; called with what the user gives and the folder, where it may put configurations and tokenizers.
        stage: class of the stage that predicts with it and trains it further; None for parts of a model.
        licence: what is known of the licence of the published weights.
        base: what a second source is, if there may be one.
    """

    about: str
    map: KeyMap
    becomes: Callable[[Given, Path], Becomes]
    licence: str
    stage: str | None = None
    base: str | None = None


def layout_of_parts(model: dict[str, Any], *parts: str, folder: Path) -> dict[str, Tensor]:
    """Name and shape of every tensor of some parts of a model that is built without weights.

    Args:
        model: class and arguments; a path that begins with ./ lies in `folder`.
        parts: names as in `VisualLanguageModel.part_of`.
        folder: of the import.
    """
    language = model["init_args"]["language"]
    full = {**language, "init_args": {**language["init_args"], "dtype": "float32"}}  # 4 bits have no layout of their own
    with torch.device("meta"):
        built = build_model({**model, "init_args": {**model["init_args"], "language": full}}, folder)
    return {name: tensor for name, tensor in layout_of(built).items() if VisualLanguageModel.part_of(name) in parts}


def model_over_folder(
    dtype: str,
    vision: dict[str, Any],
    bridges: dict[str, Any],
    question_tokenizer: str | None = None,
    share_prefix: bool = False,
) -> dict[str, Any]:
    """Class and arguments of a model whose tower and language model lie in its folder.

    Args:
        dtype: precision of both.
        vision: arguments of the tower, but for weights and precision.
        bridges: class and arguments of each.
        question_tokenizer, share_prefix: as in `VisualLanguageModel`.
    """
    return {
        "class_path": "triscope.model.VisualLanguageModel",
        "init_args": {
            "language": {
                "class_path": "triscope.components.language.LanguageModel",
                "init_args": {"path": f"./{LANGUAGE_FOLDER}", "dtype": dtype, "adapter_bottleneck": None},
            },
            "vision": {
                "class_path": "triscope.components.vision.VisionEncoder",
                "init_args": {"weights": f"./{VISION_FILE}", "dtype": dtype, **vision},
            },
            "bridges": bridges,
            "soft_prompt": None,
            "question_tokenizer": question_tokenizer,
            "share_prefix": share_prefix,
        },
    }


def write_language_folder(config: dict[str, Any], source: Path, out: Path) -> Path:
    """The Hugging Face folder of a language model, but for its weights: configuration and tokenizer."""
    folder = out / LANGUAGE_FOLDER
    folder.mkdir()
    (folder / _CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    copy_files(source, folder, *TOKENIZER_FILES, "generation_config.json")
    return folder


def copy_files(source: Path, out: Path, *names: str) -> None:
    """Copy those of the files that there are."""
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)


def our_dtype(config: dict[str, Any]) -> str:
    """The precision that a Hugging Face configuration names, as ours are called: half precision of either kind is `auto`."""
    return "float32" if (config.get("dtype") or config.get("torch_dtype")) in (None, "float32") else "auto"
