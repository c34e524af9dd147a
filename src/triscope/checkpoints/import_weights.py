"""Published weights in: `triscope import KIND PATH --out FOLDER`.

Every tensor of the source is mapped or left out for a reason, every tensor of ours is filled, all shapes are checked, and
only then is anything written: tensor by tensor, into a folder that takes its name when it is whole.
"""

import argparse
import contextlib
import hashlib
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from triscope.arguments import Parser
from triscope.checkpoints.folder import LANGUAGE_FOLDER, REGIONS_FILE, VISION_FILE, write_recipe
from triscope.checkpoints.key_map import Entry, Mapped
from triscope.checkpoints.kinds import KINDS, Becomes, Given, Kind
from triscope.checkpoints.kinds.kind import BASE
from triscope.checkpoints.kinds.ram import TAGGER, TAGGER_WEIGHTS
from triscope.checkpoints.slices import MANIFEST_FILE, SLICE_FILE
from triscope.checkpoints.tensor_files import TensorSource, write_safetensors
from triscope.data.errors import ConfigurationError
from triscope.model import VisualLanguageModel
from triscope.version import __version__

_LANGUAGE, _TOWER, _REGION_TOWER = "language.model.", "vision.tower.", "regions.encoder."


def main(arguments: list[str]) -> None:
    """Entry point of `triscope import`."""
    kinds = "\n".join(f"  {name:14s}{kind.about}" for name, kind in KINDS.items())
    parser = Parser(
        prog="triscope import",
        description="Published weights as parts of ours. Nothing is unpickled beyond plain tensors.",
        epilog=f"kinds:\n{kinds}\n\nexamples:\n"
        "  triscope import eva-vit-g eva_vit_g.pth --out weights/eva_vit_g\n"
        "  triscope import lion LION-FlanT5-XL.pth --out weights/lion\n"
        "  triscope predict -c weights/lion --picture photo.jpg --question 'Where is the dog?'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=list(KINDS), metavar="KIND")
    parser.add_argument("path", type=Path, metavar="PATH", help="a weight file, or a Hugging Face folder")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new or empty")
    parser.add_argument("--base", type=Path, metavar="PATH", help="what the weights stand upon, for the kinds that say so")
    parser.add_argument("--model", type=Path, metavar="FILE", help="our model's or tagger's file; default: of the published size")
    parsed = parser.parse_args(arguments)
    print(import_weights(parsed.kind, parsed.path, parsed.out, parsed.base, parsed.model))


def import_weights(kind_name: str, path: Path, out: Path, base: Path | None = None, model_file: Path | None = None) -> str:
    """Import weights.

    Args:
        kind_name: one of `KINDS`.
        path: weight file or Hugging Face folder.
        out: new or empty folder.
        base: a second source, for kinds that may have one.
        model_file: the file of our model.

    Returns:
        A table of what was taken and what was left out.

    Raises:
        ConfigurationError: the source is damaged, of another kind, or does not fit; nothing is left at `out`.
    """
    kind = KINDS[kind_name]
    if base is not None and kind.base is None:
        raise ConfigurationError("--base", str(base), f"none: {kind_name} is complete", "leave it out")
    with new_folder(out) as scratch:
        sources = {"": TensorSource.open(path)} | ({BASE: TensorSource.open(base)} if base else {})
        names = {prefix + name: tensor for prefix, source in sources.items() for name, tensor in source.layout.items()}
        try:
            becomes = kind.becomes(Given(path, model_file, names), scratch)
            mapped = (becomes.map or kind.map).apply(names, becomes.layout, str(path))
        except ConfigurationError as error:
            raise _with_likelier_kind(error, kind_name, list(names)) from error
        digests = _write(mapped, sources, scratch)
        _describe(scratch, kind_name, kind, becomes, sources, digests)
    return _table(mapped, out)


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which takes the name `out` at the end, and is gone if anything fails.

    Raises:
        ConfigurationError: `out` holds files, or cannot be made.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigurationError(f"--out {out}", "a folder with files", "a new or empty one", "choose another folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise ConfigurationError(f"--out {out}", str(error), "a place that can be written to", "choose another folder") from None
    try:
        yield scratch
        scratch.chmod(0o755)
        if out.exists():
            out.rmdir()
        scratch.rename(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def place_of(target: str) -> tuple[str, str]:
    """The file of a model's or a tagger's folder that holds a tensor, and its name in there."""
    if target.startswith(_TOWER):
        return VISION_FILE, target.removeprefix(_TOWER)
    if target.startswith(_REGION_TOWER):
        return REGIONS_FILE, target.removeprefix(_REGION_TOWER)
    if target.startswith(TAGGER):
        return TAGGER_WEIGHTS, target.removeprefix(TAGGER)
    if VisualLanguageModel.part_of(target) == "language":
        return f"{LANGUAGE_FOLDER}/model.safetensors", target.removeprefix(_LANGUAGE)
    return SLICE_FILE, target


def _write(mapped: Mapped, sources: dict[str, TensorSource], folder: Path) -> dict[str, str]:
    """Write every file; the digest of each."""
    by_file: dict[str, dict[str, Entry]] = defaultdict(dict)
    for entry in mapped.entries:
        file, name = place_of(entry.target)
        by_file[file][name] = entry
    for file, entries in by_file.items():
        layout = {name: entry.shape for name, entry in entries.items()}
        write_safetensors(folder / file, layout, _made(entries, sources))
    return {file: _digest(folder / file) for file in by_file}


def _made(entries: dict[str, Entry], sources: dict[str, TensorSource]) -> Iterator:
    """Names and values, in the order in which their shards come."""

    def source_of(name: str) -> tuple[TensorSource, str]:
        prefix = BASE if name.startswith(BASE) else ""
        return sources[prefix], name.removeprefix(prefix)

    def file_of(item: tuple[str, Entry]) -> str:
        source, name = source_of(item[1].sources[0])
        return str(source.files[name].path)

    def read(name: str):
        source, own_name = source_of(name)
        return source.read(own_name)

    for name, entry in sorted(entries.items(), key=file_of):
        yield name, entry.make(read)


def _describe(
    folder: Path, name: str, kind: Kind, becomes: Becomes, sources: dict[str, TensorSource], digests: dict[str, str]
) -> None:
    """Manifest and recipe."""
    parts = sorted({VisualLanguageModel.part_of(target) for target in becomes.layout if place_of(target)[0] == SLICE_FILE})
    manifest = {
        "triscope": __version__,
        "kind": name,
        "parts": parts,
        "sha256": digests,
        "sources": {str(file): _digest(file) for source in sources.values() for file in source.paths},
        "licence": kind.licence,
    }
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n")
    if becomes.model is not None and kind.stage is not None:
        write_recipe(folder, kind.stage, becomes.model, parts, becomes.data, f"Written by `triscope import {name}`.")


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _with_likelier_kind(error: ConfigurationError, name: str, names: list[str]) -> ConfigurationError:
    """The error, with the kind that knows more of the names, and most of them, if there is one."""
    known = {each: kind.map.known(names) for each, kind in KINDS.items()}
    likeliest = max(known, key=lambda each: known[each])
    if known[likeliest] <= max(known[name], len(names) // 2):
        return error
    return ConfigurationError(error.where, error.found, f"weights of kind {name}", f"this looks like kind {likeliest}")


def _table(mapped: Mapped, out: Path) -> str:
    """What was taken, by part, and what was left out, by reason."""
    rows = [("part", "tensors", "parameters", "type", "file")]
    by_part: dict[str, list[Entry]] = defaultdict(list)
    for entry in mapped.entries:
        by_part[VisualLanguageModel.part_of(entry.target)].append(entry)
    for part, entries in by_part.items():
        parameters = sum(entry.shape.numel() for entry in entries)
        dtypes = ", ".join(sorted({str(entry.shape.dtype).removeprefix("torch.") for entry in entries}))
        files = ", ".join(sorted({place_of(entry.target)[0] for entry in entries}))
        rows.append((part, str(len(entries)), f"{parameters:,}", dtypes, files))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for reason, names in mapped.left_out.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        lines.append(f"left out: {len(names)} ({names[0]}{more}): {reason}")
    return "\n".join([*lines, f"written: {out}"])
