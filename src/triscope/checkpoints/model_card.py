"""The card beside what is handed on: how it was trained, on what, what it scores, and whose licences it carries."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from triscope.checkpoints.run import Run
from triscope.checkpoints.slices import MANIFEST_FILE
from triscope.evaluation.results import RESULTS_FILE, results_table
from triscope.model import VisualLanguageModel
from triscope.packaged import PACKAGED, PREFIX

CARD_FILE = "README.md"
_LICENCES = {  # by a part of the name under which weights are known
    "flan-t5": "Apache-2.0",
    "vicuna": "LLaMA's research licence and Vicuna's terms: no commercial use",
    "llama": "Meta's LLaMA licence of that version",
    "llava": "as the LLaMA or Vicuna underneath",
    "eva": "MIT (EVA-CLIP)",
    "regionclip": "Apache-2.0 (Microsoft)",
    "rn50x4": "MIT (OpenAI's CLIP)",
    "clip_vit": "MIT (OpenAI's CLIP)",
    "vit-l-14": "MIT (OpenAI's CLIP)",
    "smollm": "Apache-2.0",
    "dinov2": "Apache-2.0",
    "bert-base": "Apache-2.0",
    "micro_language": "Apache-2.0 (this repository)",
}


def model_card(run: Run, folder: Path, form: str, notes: list[str]) -> str:
    """The card.

    Args:
        run: what was trained.
        folder: where the form lies, with its manifest if it has one.
        form: of the export.
        notes: what the export has to tell.
    """
    manifest = json.loads((folder / MANIFEST_FILE).read_text()) if (folder / MANIFEST_FILE).exists() else run.manifest()
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", run.stage.rpartition(".")[2]).lower()
    trainer, data = run.config["trainer"], run.config["data"]
    lines = [
        f"# {'The model' if form == 'model' else 'Parts'} trained by the {words}",
        "",
        *(f"- {each}" for each in _what(manifest, notes)),
        "",
        "## Recipe",
        "",
        "```yaml",
        yaml.safe_dump({"stage": run.stage, **_stated(run.hyper_parameters)}, sort_keys=False).rstrip(),
        yaml.safe_dump({"trainer": {name: trainer.get(name) for name in _TRAINER}}, sort_keys=False).rstrip(),
        yaml.safe_dump({"data": {name: data.get(name) for name in _DATA}}, sort_keys=False).rstrip(),
        "```",
        "",
        "## Data",
        "",
        *(f"- `{name}`: {digest}" for name, digest in run.manifest()["data"].items()),
        "",
        "## Licences",
        "",
        "- what this run trained: Apache-2.0, as far as the weights and the data underneath allow",
        *(f"- `{weights}`, {use}: {licence_of(weights)}" for weights, use in base_weights(run).items()),
        "- data: each set keeps its licence",
    ]
    file = run.folder / RESULTS_FILE
    results = json.loads(file.read_text()) if file.exists() else {}
    for name, result in results.items():
        lines += ["", f"## Scores on `{name}`", "", "```", results_table(result), "```"]
    if not results:
        lines += ["", "## Scores", "", "This run was not tested."]
    return "\n".join(lines) + "\n"


_TRAINER = ("max_steps", "precision", "accumulate_grad_batches", "devices")
_DATA = ("samples_per_batch", "conversations_per_image", "prompt_style", "image_size")


def _what(manifest: dict[str, Any], notes: list[str]) -> list[str]:
    told = [f"parts: {', '.join(manifest['parts'])}"] if manifest.get("parts") else []
    if "sha256" in manifest:
        told.append(f"triscope {manifest['triscope']}, sha256 of the parts `{manifest['sha256']}`")
    return [*told, *notes]


def _stated(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


def base_weights(run: Run) -> dict[str, str]:
    """The weights that the run's model was built on, and what became of them."""
    arguments = run.config["model"]["init_args"]["model"]["init_args"]
    vision, regions = ((arguments.get(part) or {}).get("init_args") or {} for part in ("vision", "regions"))
    language = arguments["language"]["init_args"]["path"]
    trained = {VisualLanguageModel.part_of(name) for name in run.trained}
    became = "trained further" if "language" in trained else "trained further by a LoRA" if "lora" in trained else "frozen"
    towers = [vision.get("weights") or vision.get("tower"), regions.get("weights") or regions.get("tower")]
    frozen = {str(tower): "frozen" for tower in towers if tower}
    imported = {
        str(each["checkpoint"]): f"start of {', '.join(each['parts'])}"
        for each in run.hyper_parameters.get("warm_start") or []
        if (Path(each["checkpoint"]) / MANIFEST_FILE).is_file()
    }
    return {str(language): became, **frozen, **imported}


def licence_of(weights: str) -> str:
    """What is known of the licence of weights: from their package, the folder they lie in, or their name."""
    if weights.startswith(PREFIX):
        return PACKAGED[weights.removeprefix(PREFIX)].licence
    for folder in (Path(weights), Path(weights).parent):
        if (folder / MANIFEST_FILE).is_file():
            return json.loads((folder / MANIFEST_FILE).read_text()).get("licence", "see its card")
        card = folder / CARD_FILE
        if card.is_file() and (stated := re.search(r"^license:\s*(.+)$", card.read_text(), re.MULTILINE)):
            return stated[1].strip()
    known = (licence for name, licence in _LICENCES.items() if name in weights.lower())
    return next(known, "not known here: look where it comes from")
