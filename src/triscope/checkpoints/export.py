"""Handing on what was trained: slices with a model card, and language models as Hugging Face folders."""

import argparse
import json
import re
import shutil
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file

from triscope.checkpoints.slices import MANIFEST_FILE, read_slice, write_slice
from triscope.data.errors import ConfigurationError
from triscope.data.shards import ShardSet
from triscope.evaluation.results import RESULTS_FILE, results_table
from triscope.model import VisualLanguageModel
from triscope.packaged import resolve

CARD_FILE = "README.md"
_LANGUAGE = "language.model."


def main(arguments: list[str]) -> None:
    """Entry point of `triscope export`."""
    parser = argparse.ArgumentParser(
        prog="triscope export",
        description=__doc__,
        epilog="examples:\n"
        "  triscope export runs/lion_3_mixture --out slices/lion        trained parts, for warm_start and predict\n"
        "  triscope export runs/micro_language --out mine --to language  a Hugging Face folder",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new or empty")
    parser.add_argument("--to", choices=("slice", "language"), default="slice", help="default: %(default)s")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16", help="to store in (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    if parsed.out.exists() and any(parsed.out.iterdir()):
        raise ConfigurationError(f"--out {parsed.out}", "a folder with files", "a new or empty one", "choose another folder")
    export = export_slice if parsed.to == "slice" else export_language
    print(f"written: {export(parsed.run, parsed.out, getattr(torch, parsed.dtype))}")


def export_slice(run: Path, out: Path, dtype: torch.dtype | None = None) -> Path:
    """Write the trained parts of a run with manifest, results and model card.

    Args:
        run: folder of a run with a checkpoint; its `results.json`, if it was tested, goes along.
        out: the slice's folder.
        dtype: to store in; None keeps float32.

    Returns:
        `out`.
    """
    config = yaml.safe_load((run / "config.yaml").read_text())
    manifest = {
        "stage": config["model"]["class_path"],
        "model": config["model"]["init_args"]["model"],
        "steps": config["trainer"]["max_steps"],
        "learning_rate": config["model"]["init_args"]["learning_rate"],
        "prompt_style": config["data"]["prompt_style"],
        "data": {folder: _fingerprint(folder) for folder in config["data"]["train"] or {}},
    }
    write_slice(read_slice(run), out, manifest, dtype)
    if (run / RESULTS_FILE).exists():
        shutil.copyfile(run / RESULTS_FILE, out / RESULTS_FILE)
    (out / CARD_FILE).write_text(model_card(out))
    return out


def export_language(run: Path, out: Path, dtype: torch.dtype | None = None) -> Path:
    """Write the language model that a run has trained as a Hugging Face folder: configuration, tokenizer and weights.

    Raises:
        ConfigurationError: the run has not trained its language model.
    """
    config = yaml.safe_load((run / "config.yaml").read_text())
    source = Path(resolve(config["model"]["init_args"]["model"]["init_args"]["language"]["init_args"]["path"]))
    trained = read_slice(run)
    state = {name.removeprefix(_LANGUAGE): trained[name] for name in trained if VisualLanguageModel.part_of(name) == "language"}
    if not state:
        raise ConfigurationError(f"run {run}", "no trained language model", "a run of LanguageStage", "export a slice instead")
    out.mkdir(parents=True, exist_ok=True)
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(source / file, out / file)
    tied = json.loads((source / "config.json").read_text()).get("tie_word_embeddings", False)
    kept = {name: tensor.to(dtype).contiguous() for name, tensor in state.items() if not (tied and name == "lm_head.weight")}
    save_file(kept, out / "model.safetensors", metadata={"format": "pt"})
    return out


def model_card(slice_folder: Path) -> str:
    """What a slice is, how it was trained and what it scores, from its manifest and results."""
    manifest = json.loads((slice_folder / MANIFEST_FILE).read_text())
    stage = manifest["stage"].rpartition(".")[2]
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", stage).lower()
    language = manifest["model"]["init_args"]["language"]["init_args"]["path"]
    vision = (manifest["model"]["init_args"]["vision"] or {}).get("init_args", {})
    lines = [
        f"# Parts trained by the {words}",
        "",
        f"- parts: {', '.join(manifest['parts'])}",
        f"- language model: `{language}`, frozen",
        f"- vision tower: `{vision.get('tower')}` with `{vision.get('weights')}`, frozen",
        f"- trained for {manifest['steps']} steps at a learning rate of {manifest['learning_rate']}",
        "- data: " + ", ".join(f"`{folder}` ({digest})" for folder, digest in manifest["data"].items()),
        f"- triscope {manifest['triscope']}, sha256 of the parts `{manifest['sha256']}`",
        "- licence: Apache-2.0 for the parts; the frozen weights and the data keep theirs",
    ]
    if (slice_folder / RESULTS_FILE).exists():
        for name, result in json.loads((slice_folder / RESULTS_FILE).read_text()).items():
            lines += ["", f"## Scores on `{name}`", "", "```", results_table(result), "```"]
    return "\n".join(lines) + "\n"


def _fingerprint(folder: str) -> str:
    """The content of a training set, or a word where it is gone."""
    return ShardSet.open(folder).fingerprint if Path(folder).exists() else "no longer there"
