"""Slices: the trained parts of a model, apart from the frozen base they were trained on.

A run's checkpoints hold trained parts, the optimizer and the position in the data. A slice is what is handed on: the parts
as safetensors, and beside them a manifest that says what they are and where they came from.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from triscope.checkpoints.tensor_files import write_safetensors
from triscope.data.errors import ConfigurationError
from triscope.model import VisualLanguageModel
from triscope.version import __version__

SLICE_FILE = "parts.safetensors"
MANIFEST_FILE = "manifest.json"
_PREFIX = "model."


def trained_state(model: VisualLanguageModel, state: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Name and tensor of every parameter that trains.

    Args:
        model: says what trains.
        state: of the model, where it is already at hand (put together from several processes, for one).
    """
    trained = {name for name, _ in model.trained_parameters()}
    state = model.state_dict() if state is None else state
    return {name: tensor for name, tensor in state.items() if name in trained}


def read_slice(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a slice folder, a run folder, a checkpoint or a safetensors file, by their names in the model.

    Nothing is unpickled beyond plain tensors.

    Raises:
        ConfigurationError: there is nothing to read at `path`.
    """
    file = _slice_file(Path(path))
    if file.suffix == ".safetensors":
        return load_file(file)
    state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
    return {name.removeprefix(_PREFIX): tensor for name, tensor in state.items()}


def write_slice(state: dict[str, Tensor], folder: str | Path, manifest: dict, dtype: torch.dtype | None = None) -> Path:
    """Write trained parts and their manifest; an existing slice is replaced only when the new one is whole.

    Args:
        state: names in the model and tensors.
        folder: created if missing.
        manifest: what to say about the parts; parts, version and checksum are added.
        dtype: store in this type; None keeps the tensors' own.

    Returns:
        The slice's folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in state.items()}
    unfinished = folder / f"{SLICE_FILE}.unfinished"
    write_safetensors(unfinished, tensors, tensors.items())
    digest = hashlib.sha256(unfinished.read_bytes()).hexdigest()
    os.replace(unfinished, folder / SLICE_FILE)
    parts = sorted({VisualLanguageModel.part_of(name) for name in tensors})
    record = {"triscope": __version__, "parts": parts, "sha256": digest, **manifest}
    (folder / MANIFEST_FILE).write_text(json.dumps(record, indent=2) + "\n")
    return folder


def layout_of(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """Name and shape of every tensor of a module; of tied ones, the first."""
    tied = {name for name, _ in module.named_parameters(remove_duplicate=False)} - {name for name, _ in module.named_parameters()}
    return {prefix + name: tensor for name, tensor in module.state_dict().items() if name not in tied}


def whole_parts(model: VisualLanguageModel, path: str | Path) -> set[str]:
    """The parts of a model of which a checkpoint holds every tensor.

    Args:
        model: may be on the meta device.
        path: anything `read_slice` reads.
    """
    given = read_slice(path).keys()
    parts = {model.part_of(name) for name in given}
    return parts - {model.part_of(name) for name in layout_of(model) if name not in given}


def warm_start(model: VisualLanguageModel, path: str | Path, parts: Iterable[str]) -> None:
    """Take whole parts from a checkpoint into a model, by name.

    LION's stage 3 takes the Q-Former and the image-level adapter from stage 1, the aggregator and the region-level adapter
    from stage 2 (spec 3.1): adapters carry their level in their name, so merging needs no renumbering.

    Args:
        model: filled in place; on the meta device, only whether the parts fit is checked.
        path: anything `read_slice` reads.
        parts: names as in `VisualLanguageModel.part_of`.

    Raises:
        ConfigurationError: a part that the model or the checkpoint lacks, in whole or in pieces, or of another shape.
    """
    given = read_slice(path)
    wanted = {name: tensor for name, tensor in layout_of(model).items() if model.part_of(name) in set(parts)}
    for part in parts:
        names = [name for name in wanted if model.part_of(name) == part]
        if not names:
            own = sorted({model.part_of(name) for name in layout_of(model)})
            is_misspelt = part not in {model.part_of(name) for name in given}
            near = get_close_matches(part, own, n=1) if is_misspelt else []
            remedy = f"did you mean {near[0]}" if near else "leave the part out of warm_start, or add it to the model"
            raise _misfit(path, part, f"a model of the parts {', '.join(own)}", remedy)
        missing = [name for name in names if name not in given]
        if missing:
            found = sorted({model.part_of(name) for name in given})
            problem = f"parts {found}, without {len(missing)} of the {len(names)} tensors of {part!r} (first: {missing[0]})"
            raise _misfit(path, part, problem, "name a checkpoint of the stage that trains this part")
        for name in names:
            if given[name].shape != wanted[name].shape:
                problem = f"{name} of shape {tuple(given[name].shape)}"
                raise _misfit(path, part, problem, f"use the model size it was trained with ({tuple(wanted[name].shape)} here)")
    if not any(tensor.is_meta for tensor in wanted.values()):
        model.load_state_dict({name: given[name].to(tensor.dtype) for name, tensor in wanted.items()}, strict=False)


def check_trained(model: VisualLanguageModel, given: Mapping[str, Tensor], where: str) -> None:
    """Whether a checkpoint is one of the stage that a model was made ready for: all that trains, and nothing else.

    Args:
        model: says what trains.
        given: tensors of the checkpoint, by their names in the model.
        where: for messages.

    Raises:
        ConfigurationError: a trained tensor that one of the two lacks, or of another shape.
    """
    wanted = dict(model.trained_parameters())
    if apart := sorted(wanted.keys() ^ given.keys()):
        found, expected = (", ".join(sorted({model.part_of(name) for name in names})) for names in (given, wanted))
        remedy = "give the config.yaml of the run that wrote it, or name it in warm_start"
        raise ConfigurationError(where, f"trained parts {found} (first that differs: {apart[0]})", expected, remedy)
    for name, tensor in given.items():
        if tensor.shape != wanted[name].shape:
            found, expected = (f"{name} of shape {tuple(one.shape)}" for one in (tensor, wanted[name]))
            raise ConfigurationError(where, found, expected, "use the model size it was trained with")


def _misfit(path: str | Path, part: str, found: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"warm_start, checkpoint {path}, part {part!r}", found, f"all of part {part!r}", remedy)


def _slice_file(path: Path) -> Path:
    candidates = [path, path / SLICE_FILE, path / "checkpoints" / "last.ckpt"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ConfigurationError(
        f"checkpoint {path}",
        "a folder with neither a slice nor a run" if path.is_dir() else "no such file, slice or run",
        "one of " + ", ".join(str(candidate) for candidate in candidates[path.is_dir() :]),
        "train the stage first, or correct the path",
    )
