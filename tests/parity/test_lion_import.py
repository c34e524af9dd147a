"""The recorded LION as files in its authors' layout, imported by the command: `triscope predict` then writes what they wrote."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from tests.parity import lion_sizes
from tests.parity.fixture import Fixture, for_each_fixture
from tests.parity.test_lion_full import MIXED, batch, check_predictions
from tests.tiny_model import tiny_trainer, write_tiny_shards
from triscope.checkpoints.folder import load_model, load_stage
from triscope.checkpoints.slices import read_slice
from triscope.cli import main
from triscope.data.datamodule import DataModule
from triscope.evaluation.generation import GenerationOptions


def word_per_id(folder: Path, size: int) -> None:
    """A tokenizer that calls token 7 `w7`."""
    words = Tokenizer(models.WordLevel({f"w{number}": number for number in range(size)}, unk_token="w2"))
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w1", unk_token="w2").save_pretrained(folder)


def frozen_language_model(fixture: Fixture, folder: Path) -> Path:
    """The recorded T5 without adapters, as Hugging Face stores FlanT5."""
    folder.mkdir()
    config = {"model_type": "t5", **fixture.config["t5"], "dense_act_fn": "gelu_new"}
    (folder / "config.json").write_text(json.dumps(config))
    word_per_id(folder, config["vocab_size"])
    weights = fixture.under("weights/t5_model.")
    save_file(
        {name: value for name, value in weights.items() if ".adapter." not in name},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    return folder


def authors_checkpoint(fixture: Fixture) -> dict[str, torch.Tensor]:
    """What the authors' training code keeps: all that trains, the tied copies, and a buffer."""
    weights = fixture.under("weights/")
    kept = {name: weights[name] for name in fixture.description["trainable_parameters"]}
    tied = {f"t5_model.{side}.embed_tokens.weight": weights["t5_model.shared.weight"] for side in ("encoder", "decoder")}
    positions = torch.arange(fixture.config["qformer"]["max_position_embeddings"])[None]
    return kept | tied | {"Qformer.bert.embeddings.position_ids": positions}


def model_file(fixture: Fixture, folder: Path) -> Path:
    """The recorded sizes as a model file of ours."""

    def part(name: str, **arguments: object) -> dict:
        return {"class_path": f"triscope.components.{name}", "init_args": arguments}

    config = fixture.config
    language = part("language.LanguageModel", path=str(folder / "t5"), **lion_sizes.language(config))
    vision = lion_sizes.vision(config) | {"taps": list(lion_sizes.vision(config)["taps"])}  # YAML knows no tuples
    tower = part("vision.VisionEncoder", weights=str(folder / "eva" / "vision.safetensors"), **vision)
    bridges = {
        "qformer": part("qformer.QFormerBridge", **lion_sizes.qformer(config)),
        "aggregator": part("aggregator.AggregatorBridge", **lion_sizes.aggregator(config)),
    }
    parts = {"language": language, "vision": tower, "bridges": bridges, "soft_prompt": part("soft_prompt.SoftPrompt")}
    file = folder / "model.yaml"
    file.write_text(yaml.safe_dump({"class_path": "triscope.model.VisualLanguageModel", "init_args": parts}, sort_keys=False))
    return file


@pytest.fixture
def imported(fixture: Fixture, tmp_path: Path, capsys: pytest.CaptureFixture) -> Path:
    """What the command makes of the authors' two files, over the language model that they did not train."""
    frozen_language_model(fixture, tmp_path / "t5")
    torch.save({"model": authors_checkpoint(fixture), "epoch": 9, "optimizer": {"state": {}}}, tmp_path / "lion.pth")
    torch.save(fixture.under("weights/visual_encoder."), tmp_path / "eva_vit_g.pth")
    sizes = ("--model", str(model_file(fixture, tmp_path)))
    main(["import", "eva-vit-g", str(tmp_path / "eva_vit_g.pth"), "--out", str(tmp_path / "eva"), *sizes])
    main(["import", "lion", str(tmp_path / "lion.pth"), "--out", str(tmp_path / "lion"), *sizes])
    return tmp_path / "lion"


@for_each_fixture("lion", "lion_full")
@pytest.mark.parametrize(("run", "level"), [(run, level) for run, level, _, _ in MIXED], ids=str)
def test_an_imported_lion_predicts_as_its_authors(fixture, imported, run, level):
    check_predictions(load_model(imported), fixture, batch(fixture, level), run)


class Recorded(DataModule):
    """Data that gives one batch."""

    def __init__(self, given: object) -> None:
        super().__init__(predict={"recorded": ""})
        self.given = given

    def predict_dataloader(self) -> DataLoader:
        return DataLoader([self.given], batch_size=None)


@for_each_fixture("lion", "lion_full")
@pytest.mark.parametrize(("run", "level"), [(run, level) for run, level, _, _ in MIXED], ids=str)
@pytest.mark.parametrize(
    ("written", "options"),
    [("generated_greedy", {}), ("generated_beam5_rep1.5", {"beams": 5, "repetition_penalty": 1.5, "length_penalty": 1.0})],
)
def test_predict_writes_what_the_authors_wrote(fixture, imported, run, level, written, options, tmp_path):
    stage = load_stage(imported)
    stage.generation = GenerationOptions(max_new_tokens=fixture.config["generation"]["max_new_tokens"], **options)
    tiny_trainer(tmp_path / "run").predict(stage, Recorded(batch(fixture, level)))
    answers = [prediction.text for prediction in stage.predictions["recorded"][""]]
    end, padding = fixture.config["t5"]["eos_token_id"], fixture.config["t5"]["pad_token_id"]
    recorded = fixture[f"outputs/{run}/{written}"].tolist()
    assert answers == [" ".join(f"w{token}" for token in ids if token not in (end, padding)) for ids in recorded]


@for_each_fixture("lion", "lion_full")
def test_an_imported_lion_is_tuned_further_and_validated(fixture, imported, tmp_path):
    """By the command, from its folder: what it begins with is what was imported, and what trains moves on from there."""
    shards = write_tiny_shards(tmp_path / "shards")
    begun = {name: value.clone() for name, value in load_model(imported).state_dict().items()}
    common = [
        *("-c", str(imported), "--run.wandb", "disabled", "--data.workers", "0", "--trainer.accelerator", "cpu"),
        *("--data.image_size", str(fixture.config["vit"]["img_size"]), "--model.init_args.generation.max_new_tokens", "2"),
        *("--data.validation", json.dumps({"tiny": shards})),
    ]
    main(["validate", *common, "--run.folder", str(tmp_path / "validated")])
    assert "validation/loss" in (tmp_path / "validated" / "validate" / "metrics.csv").read_text()
    steps = ("--trainer.max_steps", "1", "--trainer.limit_val_batches", "0", "--model.init_args.warmup_steps", "0")
    main(["fit", *common, *steps, "--data.train", json.dumps({shards: 1.0}), "--run.folder", str(tmp_path / "tuned")])
    tuned = read_slice(tmp_path / "tuned")
    assert {name.split(".")[0] for name in tuned} >= {"bridges", "soft_prompt"}
    moved = {name: (value - begun[name]).abs().max().item() for name, value in tuned.items()}
    assert 0 < max(moved.values()) < 1e-3  # a step of AdamW at a small learning rate, away from the imported weights
