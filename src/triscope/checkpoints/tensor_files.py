"""Tensors of weight files of any size, read and written one at a time.

    source = TensorSource.open("LION-FlanT5-XL.pth")      a safetensors or torch.save file, or a folder of shards
    source.layout["query_tokens"]                         shape and type, on the meta device; nothing is read for it
    source.read("query_tokens")                           this tensor, and no other, in memory

Nothing is unpickled beyond plain tensors.
"""

import json
import pickle
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from triscope.data.errors import ConfigurationError

INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
_WRAPPERS = ("model", "state_dict")  # entries of a training checkpoint that hold its tensors
_PROGRAM = re.compile(r"(?i)(unsupported global|unrecognized function|can only (create|build)|unsupported class).*")
_DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "BOOL": torch.bool},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8},
}
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True)
class TensorSource:
    """The tensors of a file, or of all shards in a folder.

    Args:
        path: what was opened.
        layout: name, shape and type of every tensor, on the meta device.
        files: the file that each tensor lies in.
    """

    path: Path
    layout: dict[str, Tensor]
    files: dict[str, "TensorFile"]

    @classmethod
    def open(cls, path: str | Path) -> "TensorSource":
        """Read the names and shapes of a weight file, or of the shards that a Hugging Face folder's index names.

        Raises:
            ConfigurationError: nothing is there, a shard is missing or cut off, or a file holds more than tensors.
        """
        path = Path(path)
        files = [TensorFile.open(file) for file in _weight_files(path)]
        layout: dict[str, Tensor] = {}
        where: dict[str, TensorFile] = {}
        for file in files:
            layout.update(file.layout)
            where.update(dict.fromkeys(file.layout, file))
        return cls(path, layout, where)

    def read(self, name: str) -> Tensor:
        """One tensor, a copy of its own."""
        return self.files[name].read(name)

    @property
    def paths(self) -> list[Path]:
        """The files, in order."""
        return list(dict.fromkeys(file.path for file in self.files.values()))


class TensorFile:
    """One file: safetensors, or what `torch.save` writes.

    A `torch.save` file is mapped into memory anew for every tensor, so that what was read before does not stay there. Files
    in the format before torch 1.6 cannot be mapped and are held whole.
    """

    def __init__(self, path: Path, layout: dict[str, Tensor], held: dict[str, Tensor] | None) -> None:
        self.path, self.layout, self._held = path, layout, held

    @classmethod
    def open(cls, path: Path) -> "TensorFile":
        """Read names, shapes and types.

        Raises:
            ConfigurationError: the file is cut off, or holds more than tensors.
        """
        if path.suffix == ".safetensors":
            return cls(path, _safetensors_layout(path), None)
        state, is_mapped = _load(path)
        layout = {name: torch.empty(tensor.shape, dtype=tensor.dtype, device="meta") for name, tensor in state.items()}
        return cls(path, layout, None if is_mapped else state)

    def read(self, name: str) -> Tensor:
        """One tensor, a copy of its own."""
        if self.path.suffix == ".safetensors":
            with safe_open(self.path, framework="pt") as file:
                return file.get_tensor(name).clone()
        state = self._held if self._held is not None else _load(self.path)[0]
        return state[name].detach().clone(memory_format=torch.contiguous_format)


def write_safetensors(path: Path, layout: Mapping[str, Tensor], tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Write a safetensors file tensor by tensor, in whatever order they come; unlike the library's, others may read it.

    Args:
        path: the new file.
        layout: name, shape and type of every tensor; their places in the file follow from it.
        tensors: names and values, each once.

    Raises:
        ValueError: a tensor of another shape or type than the layout says, or one that never came.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    begins = {}
    for name, tensor in layout.items():
        begins[name], end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begins[name], end],
        }
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    waiting = set(layout)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        first = file.tell()
        file.truncate(first + end)
        for name, tensor in tensors:
            if tensor.shape != layout[name].shape or tensor.dtype != layout[name].dtype:
                raise ValueError(f"{path}: {name} is {_told(tensor)}, and {_told(layout[name])} in the layout")
            file.seek(first + begins[name])
            tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tofile(file)
            waiting.discard(name)
    if waiting:
        raise ValueError(f"{path}: {len(waiting)} tensors never came, the first of them {sorted(waiting)[0]}")


def _told(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _weight_files(path: Path) -> list[Path]:
    """The file itself, or the shards of a folder."""
    if path.is_file():
        return [path]
    for index in (path / name for name in INDEX_FILES):
        if index.is_file():
            try:
                shards = sorted({path / shard for shard in json.loads(index.read_text())["weight_map"].values()})
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise _cut_off(index, f"{type(error).__name__}: {error}") from None
            for shard in shards:
                if shard.parent != path or not shard.is_file():
                    raise ConfigurationError(
                        f"{index}", f"no file {shard}", "every shard it names", "download the rest of the weights"
                    )
            return shards
    for file in (path / name for name in SINGLE_FILES):
        if file.is_file():
            return [file]
    expected = "a weight file, or a folder with one of " + ", ".join((*SINGLE_FILES, *INDEX_FILES))
    raise ConfigurationError(
        f"weights {path}", "a folder without weights" if path.is_dir() else "nothing", expected, "correct the path"
    )


def _safetensors_layout(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
            return {
                name: torch.empty(each.get_shape(), dtype=_DTYPES[each.get_dtype()], device="meta")
                for name, each in slices.items()
            }
    except (SafetensorError, OSError) as error:
        raise _cut_off(path, str(error)) from None


def _load(path: Path) -> tuple[dict[str, Tensor], bool]:
    """The tensors of a `torch.save` file, and whether they are mapped rather than read."""
    try:
        try:
            content, is_mapped = torch.load(path, map_location="cpu", weights_only=True, mmap=True), True
        except RuntimeError as error:
            if "mmap can only be used" not in str(error):
                raise
            content, is_mapped = torch.load(path, map_location="cpu", weights_only=True), False
    except Exception as error:  # of whatever kind: bytes that break off may read as any instruction
        if isinstance(error, pickle.UnpicklingError) and (program := _PROGRAM.search(str(error))):
            remedy = (
                "where you trust the file, load it by torch.load with weights_only=False on a machine that may be lost, keep its "
                "tensors, and write them with safetensors.torch.save_file"
            )
            raise ConfigurationError(
                f"weights {path}", f"more than plain tensors ({_first_sentence(program[0])})", "plain tensors", remedy
            ) from None
        raise _cut_off(path, _first_sentence(str(error) or type(error).__name__)) from None
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    tensors = content if isinstance(content, dict) else {}
    strange = sorted(str(name) for name, value in tensors.items() if not isinstance(value, Tensor))
    if not tensors or strange:
        found = f"entries that are no tensors: {', '.join(strange[:3])}" if strange else f"a {type(content).__name__}"
        expected = "names and tensors, bare or under 'model' or 'state_dict'"
        raise ConfigurationError(f"weights {path}", found, expected, "give the file that holds the weights")
    return tensors, is_mapped


def _first_sentence(message: str) -> str:
    """Of torch's messages; behind it stands advice, such as to unpickle the file all the same."""
    return message.splitlines()[0].partition(". ")[0].rstrip(".")


def _cut_off(path: Path, reason: str) -> ConfigurationError:
    size = path.stat().st_size if path.exists() else 0
    return ConfigurationError(
        f"weights {path}",
        f"{size:,} bytes that cannot be read ({reason})",
        "a whole weight file",
        "download it again, and compare its size",
    )
