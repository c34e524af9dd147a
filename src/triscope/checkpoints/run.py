"""A finished run, as what is exported needs it: its configuration, what it trained, and its model restored."""

import copy
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from triscope.checkpoints.folder import build_stage
from triscope.checkpoints.slices import read_slice
from triscope.data.errors import BadShardError, ConfigurationError
from triscope.data.shards import ShardSet
from triscope.model import VisualLanguageModel

PARTS_FILE = "parts.txt"  # of a run's folder: the table of its parts
SETS_FILE = "sets.json"  # of a run's folder: the sets of shards as they were when it began


@dataclass(frozen=True)
class Run:
    """A run's folder.

    Args:
        folder: of the run.
        config: its `config.yaml`.
        trained: names and tensors of what it trained.
    """

    folder: Path
    config: dict[str, Any]
    trained: dict[str, Tensor]

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Read a run's configuration and its last checkpoint.

        Raises:
            ConfigurationError: there is no configuration or no checkpoint.
        """
        file = folder / "config.yaml"
        if not file.is_file():
            raise ConfigurationError(f"run {folder}", "no config.yaml", "the folder of a run", "name the --run.folder of a fit")
        return cls(folder, yaml.safe_load(file.read_text()), read_slice(folder))

    @property
    def stage(self) -> str:
        """Class of the stage."""
        return self.config["model"]["class_path"]

    @property
    def hyper_parameters(self) -> dict[str, Any]:
        """Arguments of the stage, but for the model."""
        return {name: value for name, value in self.config["model"]["init_args"].items() if name != "model"}

    def model_configuration(self) -> dict[str, Any]:
        """Class and arguments of the model, a copy. A base in 4 bits is read in bfloat16: nothing is folded into 4 bits."""
        configuration = copy.deepcopy(self.config["model"]["init_args"]["model"])
        language = configuration["init_args"]["language"]["init_args"]
        if language.get("dtype") == "nf4":
            language["dtype"] = "bfloat16"
        return configuration

    def restore(
        self,
        state: dict[str, Tensor] | None = None,
        configuration: dict[str, Any] | None = None,
        brought: Collection[str] = (),
    ) -> VisualLanguageModel:
        """The run's model, in evaluation mode.

        Args:
            state: what was trained; the run's own if None.
            configuration: class and arguments of the model; the run's own if None.
            brought: parts whose weights the configuration brings, and the run's warm start does not.

        Raises:
            ConfigurationError: the state does not fit the model.
        """
        state = self.trained if state is None else state
        there = {*brought, *(VisualLanguageModel.part_of(name) for name in state)}
        sources = [{**each, "parts": [part for part in each["parts"] if part not in there]} for each in self._warm_start]
        arguments = {
            **self.hyper_parameters,
            "model": configuration or self.model_configuration(),
            "warm_start": [each for each in sources if each["parts"]],
        }
        stage = build_stage({"class_path": self.stage, "init_args": arguments})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # parts that nobody has trained begin alike whenever the model is restored
            stage.configure_model()
        absent = stage.model.load_state_dict(state, strict=False).unexpected_keys
        if absent:
            expected, remedy = "names of the run's model", "export the run with the version of triscope that trained it"
            raise ConfigurationError(
                f"run {self.folder}", f"{len(absent)} tensors of no place, such as {absent[0]}", expected, remedy
            )
        return stage.model.eval()

    def manifest(self) -> dict[str, Any]:
        """Where what was trained comes from."""
        data = self.config["data"]
        return {
            "stage": self.stage,
            "model": self.config["model"]["init_args"]["model"],
            "steps": self.config["trainer"]["max_steps"],
            "learning_rate": self.hyper_parameters["learning_rate"],
            "prompt_style": data["prompt_style"],
            "data": self._data(),
        }

    def _data(self) -> dict[str, str]:
        """Hash of each training set when the run began; of a run that did not write it down, as the set is now."""
        file = self.folder / SETS_FILE
        if file.is_file():
            return {each["folder"]: each["fingerprint"] for each in json.loads(file.read_text()) if each["split"] == "train"}
        return {folder: _fingerprint(folder) for folder in self.config["data"]["train"] or {}}

    @property
    def _warm_start(self) -> list[dict[str, Any]]:
        return self.hyper_parameters.get("warm_start") or []


def _fingerprint(folder: str) -> str:
    """The content of a training set, or a word where it is gone."""
    try:
        return ShardSet.open(folder).fingerprint
    except BadShardError:
        return "no longer there"
