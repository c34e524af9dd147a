"""What the doctor tells of tiny recipes, and that it knows of everything that the shipped files name."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.tiny_model import prepare, write_model_file
from triscope.app.doctor import Recipe, missing_files, missing_packages
from triscope.cli import main

GIANT = {"model_type": "llama", "vocab_size": 1000, "hidden_size": 131072, "intermediate_size": 524288}
GIANT |= {"num_hidden_layers": 2, "num_attention_heads": 1024}
STAGES = {"tiny": "MixtureStage", "trained": "LanguageStage", "giant": "MixtureStage", "nowhere": "MixtureStage"}


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> str:
    """What is told of recipes over a tiny language model, frozen and trained, one too large for any machine, and one that is
    nowhere; a file that is laid over them counts as none."""
    folder = tmp_path_factory.mktemp("doctor")
    for each in ("model", "recipe"):
        (folder / "conf" / each).mkdir(parents=True)
    model = yaml.safe_load(Path(write_model_file(prepare(folder))).read_text())
    (folder / "giant").mkdir()
    (folder / "giant" / "config.json").write_text(json.dumps(GIANT))
    paths = {"tiny": folder / "llama", "trained": folder / "llama", "giant": folder / "giant", "nowhere": "nobody/has-this"}
    for name, stage in STAGES.items():
        model["init_args"]["language"]["init_args"]["path"] = str(paths[name])
        (folder / "conf" / "model" / f"{name}.yaml").write_text(yaml.safe_dump(model))
        arguments = {"model": f"../model/{name}.yaml" if name != "trained" else model}
        recipe = {"model": {"class_path": f"triscope.stages.{stage}", "init_args": arguments}, "run": {"folder": f"runs/{name}"}}
        recipe["data"] = {"train": {"data/vcr/train": 1.0}, "conversations_per_image": 2}
        (folder / "conf" / "recipe" / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    (folder / "conf" / "recipe" / "over.yaml").write_text("trainer: {devices: 1}\n")
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("builtins.print", lambda text, **_: lines.append(text))
        main(["doctor", "--conf", str(folder / "conf")])
    return "\n".join(lines)


def line_of(told: str, recipe: str) -> str:
    return next(line for line in told.splitlines() if line.startswith(f"  {recipe} "))


def memories(told: str, recipe: str) -> list[float]:
    """GiB as it is and in 4 bits."""
    as_it_is, packed = re.findall(r"([\d.]+) (?:as it is|in 4 bits)[,;]", line_of(told, recipe))
    return [float(as_it_is), float(packed)]


def test_versions_and_machine_are_told(told):
    assert "triscope " in told and "torch " in told and "CPU cores" in told
    assert not any(line.startswith("  over") for line in told.splitlines())


def test_a_recipe_that_fits_is_told_with_its_memory_as_it_is_and_in_4_bits(told):
    assert all(size < 1 for size in memories(told, "tiny"))
    assert line_of(told, "tiny").endswith("fits here: as it is and in 4 bits")


def test_a_recipe_that_does_not_fit_is_told_so(told):
    as_it_is, packed = memories(told, "giant")
    assert packed < as_it_is / 2 and packed > 100
    assert line_of(told, "giant").endswith("fits here: no")


def test_a_stage_that_trains_its_language_model_is_in_4_bits_with_a_lora(told):
    assert line_of(told, "trained").endswith("fits here: as it is and in 4 bits with a LoRA")


def test_a_recipe_over_a_model_that_is_nowhere_does_not_hide_the_others(told):
    assert "not known: nobody/has-this is not on this machine" in line_of(told, "nowhere")
    assert "nobody/has-this (nowhere)\n    hf download nobody/has-this" in told


def test_data_that_is_missing_is_told_once_with_the_recipes_that_name_it_and_the_command(told):
    assert told.count("data/vcr/train (") == 1
    assert "data/vcr/train (giant, nowhere, tiny, trained)\n    python -m data_pipelines convert vcr --help" in told


@pytest.fixture
def missing(monkeypatch) -> dict[str, str]:
    """What the shipped files name, on a machine that has none of it: what brings each."""
    monkeypatch.setattr("triscope.app.doctor._is_here", lambda name: False)
    monkeypatch.chdir(REPOSITORY)
    recipes = [Recipe(file) for file in sorted(Path("conf/recipe").glob("*.yaml")) if Recipe(file).is_whole]
    pairs = [line.split("\n") for line in missing_files(recipes, Path("conf/model"))]
    assert len({name for name, _ in pairs}) == len(pairs)
    return {name.split()[0]: command.strip() for name, command in pairs}


def test_all_that_the_shipped_files_name_has_a_command(missing):
    assert [name for name, command in missing.items() if "correct the path" in command] == []
    assert missing["weights/eva_vit_g/vision.safetensors"].endswith(
        "triscope import eva-vit-g eva_vit_g.pth --out weights/eva_vit_g"
    )
    assert "regionclip/regionclip_pretrained" in missing["weights/regionclip_pretrained-cc_rn50x4.pth"]
    assert missing["data/micro_language"].startswith("python -m data_pipelines vocabulary")
    assert missing["runs/lion_1_image"] == "triscope fit -c conf/recipe/lion_1_image.yaml"
    assert missing["google/flan-t5-xl"] == "hf download google/flan-t5-xl"
    assert missing["google-bert/bert-base-uncased"].startswith("hf download google-bert/bert-base-uncased ")
    assert missing["data/coco_captions/train"].startswith("python -m data_pipelines convert coco_captions --help")


def test_every_extra_is_known_of(monkeypatch):
    monkeypatch.setattr("triscope.app.doctor._is_installed", lambda requirement: False)
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    told = "".join(missing_packages())
    assert [extra for extra in extras if f"triscope[{extra}]" not in told] == []
