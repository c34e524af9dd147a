"""Handing on what was trained: `triscope export RUN --to FORM --out FOLDER`.

    slice      the trained parts, for warm starts and `predict`
    model      the whole model, to be loaded offline; a LoRA is folded into the language model
    language   the language model that was trained, as a Hugging Face folder
    lion, sam  the trained parts as the authors' code loads them
    tagger     what a run of `NamingStage` names, as a tagger's folder

What was written is read back and must give the logits that the run gives, or it is not kept.
"""

import argparse
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from triscope.arguments import Parser
from triscope.checkpoints.folder import LANGUAGE_FOLDER, QUESTION_TOKENIZER, REGIONS_FILE, VISION_FILE, load_model, write_recipe
from triscope.checkpoints.import_weights import new_folder, place_of
from triscope.checkpoints.key_map import KeyMap
from triscope.checkpoints.kinds import lion, sam
from triscope.checkpoints.model_card import CARD_FILE, model_card
from triscope.checkpoints.naming_tagger import THRESHOLDS_FILE, read_naming_tagger, write_naming_tagger
from triscope.checkpoints.run import Run
from triscope.checkpoints.same_logits import check_logits, logits_on_probe
from triscope.checkpoints.slices import SLICE_FILE, layout_of, read_slice, write_slice
from triscope.checkpoints.tensor_files import TensorSource, write_safetensors
from triscope.components.lora import merge_lora
from triscope.data.errors import ConfigurationError
from triscope.evaluation.results import RESULTS_FILE
from triscope.model import VisualLanguageModel

READ_BACK = 1e-4  # of the spread of the logits: the same weights
FOLDED_IN_BFLOAT16 = 5e-2  # the sum of a matrix and its LoRA is rounded once more


def main(arguments: list[str]) -> None:
    """Entry point of `triscope export`."""
    parser = Parser(
        prog="triscope export",
        description=__doc__,
        epilog="examples:\n"
        "  triscope export runs/lion_3_mixture --out slices/lion\n"
        "  triscope export runs/lion_3_mixture --out models/lion --to model\n"
        "  triscope predict -c models/lion --picture photo.jpg --question 'Where is the dog?'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new or empty")
    parser.add_argument("--to", choices=list(FORMS), default="slice", help="default: %(default)s")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="bfloat16", help="of what was trained (default: %(default)s)"
    )
    parsed = parser.parse_args(arguments)
    for note in export(parsed.run, parsed.out, parsed.to, getattr(torch, parsed.dtype)):
        print(note)


def export(run_folder: Path, out: Path, to: str = "slice", dtype: torch.dtype = torch.bfloat16) -> list[str]:
    """Write what a run has trained, read it back, and compare.

    Args:
        run_folder: of a run with a checkpoint; its `results.json`, if it was tested, goes along.
        out: new or empty folder.
        to: one of `FORMS`.
        dtype: what was trained is rounded to it.

    Returns:
        What to tell the user.

    Raises:
        ConfigurationError: the run has not trained what this form needs, or what was written gives other logits; then
            nothing is left at `out`.
    """
    run = Run.open(run_folder)
    with new_folder(out) as scratch:
        model = run.restore()
        _round(run, model, dtype)  # so that what is compared is rounded alike
        expected = logits_on_probe(model)
        written = FORMS[to].write(run, model, scratch, dtype)
        del model
        difference = check_logits(expected, logits_on_probe(FORMS[to].read(run, scratch)), written.tolerance, str(out))
        if (run.folder / RESULTS_FILE).exists():
            shutil.copyfile(run.folder / RESULTS_FILE, scratch / RESULTS_FILE)
        (scratch / CARD_FILE).write_text(model_card(run, scratch, to, written.notes))
    told = f"read back: logits differ by {difference:.1e} of their spread, at most {written.tolerance:g} allowed"
    return [*written.notes, told, f"written: {out}"]


def _round(run: Run, model: VisualLanguageModel, dtype: torch.dtype) -> None:
    """Round what was trained, and our own parts."""
    for name, tensor in model.state_dict().items():
        if name in run.trained or place_of(name)[0] == SLICE_FILE:
            tensor.copy_(tensor.to(dtype))


@dataclass(frozen=True)
class Written:
    """What a form has to tell: how far its logits may differ as a share of their spread, and what was done."""

    tolerance: float
    notes: list[str]


# A slice --------------------------------------------------------------------------------------------------------------


def _write_slice(run: Run, model: VisualLanguageModel, folder: Path, dtype: torch.dtype) -> Written:
    state = model.state_dict()
    write_slice({name: state[name] for name in run.trained}, folder, run.manifest(), dtype)
    return Written(READ_BACK, [])


def _read_slice(run: Run, folder: Path) -> VisualLanguageModel:
    return run.restore(read_slice(folder))


# The whole model ------------------------------------------------------------------------------------------------------


def _write_model(run: Run, model: VisualLanguageModel, folder: Path, dtype: torch.dtype) -> Written:
    written = _fold(model)
    own = {name: tensor for name, tensor in model.state_dict().items() if place_of(name)[0] == SLICE_FILE}
    write_slice(own, folder, run.manifest(), dtype)
    configuration = run.model_configuration()
    parts = configuration["init_args"]
    _write_language_folder(run, model, folder / LANGUAGE_FOLDER)
    parts["language"]["init_args"] |= {"path": f"./{LANGUAGE_FOLDER}", "lora": None}
    if model.vision is not None:
        tower = model.vision.tower.state_dict()
        write_safetensors(folder / VISION_FILE, tower, tower.items())
        parts["vision"]["init_args"] |= {"weights": f"./{VISION_FILE}", "cache_folder": None}
    region_tower = {
        name.removeprefix("regions.encoder."): tensor
        for name, tensor in model.state_dict().items()
        if place_of(name)[0] == REGIONS_FILE
    }
    if region_tower:
        write_safetensors(folder / REGIONS_FILE, region_tower, region_tower.items())
        parts["regions"]["init_args"]["weights"] = f"./{REGIONS_FILE}"
    if parts.get("question_tokenizer"):
        model.language.load_tokenizer(parts["question_tokenizer"]).save_pretrained(folder / QUESTION_TOKENIZER)
        parts["question_tokenizer"] = f"./{QUESTION_TOKENIZER}"
    data = {name: run.config["data"][name] for name in ("image_size", "prompt_style")}
    own_parts = sorted({VisualLanguageModel.part_of(name) for name in own})
    comment = "Written by `triscope export --to model`."
    write_recipe(folder, run.stage, configuration, own_parts, data, comment, run.hyper_parameters["generation"])
    return written


def _read_model(run: Run, folder: Path) -> VisualLanguageModel:
    return load_model(folder)


def _fold(model: VisualLanguageModel) -> Written:
    """Fold in what the mathematics allows."""
    notes, tolerance = [], READ_BACK
    if folded := merge_lora(model.language.model):
        notes.append(f"LoRA: folded into {folded} matrices of the language model")
        if next(model.language.model.parameters()).dtype != torch.float32:
            tolerance = FOLDED_IN_BFLOAT16
    if any(".mixture." in name for name in model.state_dict()):
        notes.append("adapters: kept beside the language model, as a ReLU between two matrices cannot be folded into one")
    return Written(tolerance, notes)


# The language model ---------------------------------------------------------------------------------------------------


def _write_language(run: Run, model: VisualLanguageModel, folder: Path, dtype: torch.dtype) -> Written:
    if not any(VisualLanguageModel.part_of(name) in ("language", "lora") for name in run.trained):
        raise ConfigurationError(
            f"run {run.folder}", "no trained language model", "a run of LanguageStage, or with a LoRA", "export a slice"
        )
    written = _fold(model)
    _write_language_folder(run, model, folder, dtype)
    return Written(FOLDED_IN_BFLOAT16 if written.notes and dtype != torch.float32 else written.tolerance, written.notes)


def _read_language(run: Run, folder: Path) -> VisualLanguageModel:
    configuration = run.model_configuration()
    configuration["init_args"]["language"]["init_args"] |= {"path": str(folder), "lora": None}
    others = {
        name: tensor for name, tensor in run.trained.items() if VisualLanguageModel.part_of(name) not in ("language", "lora")
    }
    return run.restore(others, configuration, brought=("language", "lora"))


def _write_language_folder(run: Run, model: VisualLanguageModel, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Configuration, tokenizer and weights of a language model, without what stands beside it."""
    language = model.language.model
    layout = layout_of(language)
    state = {
        name.replace(".original.", "."): tensor.detach().to(dtype).contiguous().clone()
        for name, tensor in layout.items()
        if ".mixture." not in name
    }
    language.config.save_pretrained(folder)
    language.generation_config.save_pretrained(folder)
    model.language.tokenizer.save_pretrained(folder)
    write_safetensors(folder / "model.safetensors", state, state.items())


# A tagger -------------------------------------------------------------------------------------------------------------


def _write_tagger(run: Run, model: VisualLanguageModel, folder: Path, dtype: torch.dtype) -> Written:
    names = write_naming_tagger(run, model, folder, dtype)
    calibrate = f"python -m data_pipelines calibrate SHARDS --tagger FOLDER --out FOLDER/{THRESHOLDS_FILE}"
    return Written(READ_BACK, [f"{names} names, without thresholds yet: {calibrate}"])


def _read_tagger(run: Run, folder: Path) -> VisualLanguageModel:
    model, bridge = run.restore(), read_naming_tagger(run, folder)
    _round(run, model, next(iter(bridge.values())).dtype)
    model.load_state_dict(bridge, strict=False)
    return model


# Authors' layouts -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AuthorsLayout:
    """Trained parts as their authors' code loads them: a `torch.save` file whose entry "model" holds the tensors.

    Args:
        key_map: their names and ours; every rule can be undone.
        parts: that the file holds.
        file: its name.
    """

    key_map: KeyMap
    parts: tuple[str, ...]
    file: str

    def write(self, run: Run, model: VisualLanguageModel, folder: Path, dtype: torch.dtype) -> Written:
        """Write the parts under their names.

        Raises:
            ConfigurationError: the model lacks a part, or has tensors that their layout has no name for.
        """
        state, to_theirs = self._ours(model), self.key_map.inverse()
        missing = set(self.parts) - {VisualLanguageModel.part_of(name) for name in state}
        nameless = [name for name in state if not to_theirs.known([name])]
        if missing or nameless:
            found = f"a model without {sorted(missing)}" if missing else f"{nameless[0]}, which their layout has no name for"
            remedy = "export a run of their last stage over the language model that they use, or a slice"
            raise ConfigurationError(f"run {run.folder}", found, f"{list(self.parts)} as the authors have them", remedy)
        theirs = to_theirs.renamed({name: tensor.to(dtype).contiguous() for name, tensor in state.items()})
        torch.save({"model": theirs}, folder / self.file)
        return Written(READ_BACK, [f"{self.file}: the authors' code loads it as a checkpoint"])

    def read(self, run: Run, folder: Path) -> VisualLanguageModel:
        """The run's model, these parts from the file."""
        source, model = TensorSource.open(folder / self.file), run.restore()
        mapped = self.key_map.apply(source.layout, self._ours(model), str(folder / self.file))
        model.load_state_dict({entry.target: entry.make(source.read) for entry in mapped.entries}, strict=False)
        return model

    def _ours(self, model: VisualLanguageModel) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in layout_of(model).items() if VisualLanguageModel.part_of(name) in self.parts}


@dataclass(frozen=True)
class Form:
    """How a form is written and read back."""

    write: Callable[[Run, VisualLanguageModel, Path, torch.dtype], Written]
    read: Callable[[Run, Path], VisualLanguageModel]


LION_LAYOUT = AuthorsLayout(lion.CHECKPOINT, lion.PARTS, "lion.pth")
SAM_LAYOUT = AuthorsLayout(sam.ALIGNMENT, sam.PARTS, "sam.pth")


FORMS = {
    "slice": Form(_write_slice, _read_slice),
    "model": Form(_write_model, _read_model),
    "language": Form(_write_language, _read_language),
    "lion": Form(LION_LAYOUT.write, LION_LAYOUT.read),
    "sam": Form(SAM_LAYOUT.write, SAM_LAYOUT.read),
    "tagger": Form(_write_tagger, _read_tagger),
}
