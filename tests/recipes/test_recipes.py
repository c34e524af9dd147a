"""Every file under conf/ parses and builds, in every combination that a command line can name."""

import itertools
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

from tests.conftest import REPOSITORY
from triscope.cli import TriscopeCLI
from triscope.model import VisualLanguageModel
from triscope.stages import Stage
from triscope.stages.base import REGION_PARTS

CONF = REPOSITORY / "conf"
FILES = sorted(CONF.rglob("*.yaml"))
KINDS = ("model", "recipe", "trainer", "data")
MODELS, RECIPES, TRAINERS, DATA = (sorted((CONF / kind).glob("*.yaml")) for kind in KINDS)
WITH_ALL_PARTS = CONF / "model" / "triscope_nano.yaml"
OVERLAYS = [CONF / "recipe" / "on_scenes.yaml"]  # laid over a recipe, no recipe by itself
# Which module of triscope.stages has the stages for a model, by the beginning of its file's name.
STAGES_OF = {"lion": "lion", "pvit": "pvit", "sam": "sam", "triscope": "triscope"}
SYSTEMS = [file for file in RECIPES if file.stem.startswith(("lion", "pvit", "sam", "triscope"))]
IN_4_BITS = CONF / "trainer" / "gpu_4bit.yaml"  # laid over a recipe: it says something of trainer, model and data
T5 = {
    **{"model_type": "t5", "vocab_size": 64, "d_model": 2048, "d_kv": 64, "d_ff": 64, "num_layers": 2, "num_heads": 32},
    **{"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
}
LLAMA = {"model_type": "llama", "vocab_size": 64, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}


class Built(TriscopeCLI):
    """Builds everything that a command needs, and runs nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing is run."""


@cache
def model_parser() -> ArgumentParser:
    parser = ArgumentParser()
    parser.add_argument("--model", type=Callable[[], VisualLanguageModel], enable_path=True)
    return parser


def parsed_model(*files: Path) -> dict:
    """What is left after model files are given one after the other."""
    parser = model_parser()
    config = parser.parse_args([f"--model={file}" for file in files])
    return yaml.safe_load(parser.dump(config, skip_none=False))["model"]


@cache
def command_line() -> Built:
    """One command line, whose parser serves all tests."""
    on_cpu = ["--trainer.accelerator=cpu", "--trainer.precision=32-true", "--run.wandb=disabled"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        return Built(["fit", "-c", str(SYSTEMS[0]), *on_cpu, f"--run.folder={tempfile.mkdtemp()}"])


def parsed(*arguments: str) -> dict:
    """What `triscope fit --print_config` would show."""
    parser = command_line().parser
    config = parser.parse_args(["fit", *arguments])
    return yaml.safe_load(parser.dump(config, skip_none=False))["fit"]


def contains(whole: object, stated: object) -> bool:
    """Whether every value of `stated` stands at its place in `whole`."""
    if isinstance(stated, dict):
        return isinstance(whole, dict) and all(key in whole and contains(whole[key], value) for key, value in stated.items())
    return whole == (list(stated) if isinstance(stated, tuple) else stated)


def test_there_are_at_most_30_files_and_each_is_known_to_these_tests():
    assert len(FILES) <= 30
    assert sorted([*MODELS, *RECIPES, *TRAINERS, *DATA]) == FILES


# Model files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", MODELS, ids=lambda file: file.stem)
def test_what_a_model_file_states_is_what_is_printed(file):
    assert contains(parsed_model(file), yaml.safe_load(file.read_text()))


@pytest.mark.parametrize(
    ("old", "new"),
    [*itertools.pairwise([*MODELS, *MODELS[:1]]), *((WITH_ALL_PARTS, new) for new in MODELS)],
    ids=lambda file: file.stem,
)
def test_swapping_the_model_file_keeps_nothing_of_the_old_one(old, new):
    assert parsed_model(old, new) == parsed_model(new)


@pytest.mark.parametrize(
    ("recipe", "model"),
    [
        *itertools.product(*(sorted((CONF / kind).glob("lion_[!p]*.yaml")) for kind in ("recipe", "model"))),
        *zip([file for file in RECIPES if file not in OVERLAYS], itertools.cycle(MODELS), strict=False),
    ],
    ids=lambda file: file.stem,
)
def test_a_recipe_takes_another_model_file_whole(recipe, model):
    config = parsed("-c", str(recipe), "--model.init_args.model", str(model))
    assert config["model"]["init_args"]["model"] == parsed_model(model)
    stated = yaml.safe_load(recipe.read_text())["model"]["init_args"] | {"model": {}}
    assert contains(config["model"]["init_args"], stated)


def test_naming_goes_over_the_joint_recipe_on_scenes():
    files = (CONF / "recipe" / "lion_joint.yaml", *OVERLAYS)
    arguments = [argument for file in files for argument in ("-c", str(file))]
    config = parsed(*arguments, "--model=triscope.stages.NamingStage", "--model.init_args.learning_rate=2e-3")
    assert config["model"]["class_path"] == "triscope.stages.NamingStage"
    stated = yaml.safe_load(OVERLAYS[0].read_text())["model"]["init_args"]
    assert contains(config["model"]["init_args"], stated | {"learning_rate": 2e-3})


@pytest.mark.parametrize("model", MODELS, ids=lambda file: file.stem)
def test_a_model_file_builds_and_the_stages_of_its_kind_use_it(model, tmp_path):
    """On the meta device, where no weights are read, over a language model of few layers."""
    language = LLAMA if parsed_model(model)["init_args"]["language"]["init_args"]["config_overrides"] is None else T5
    (tmp_path / "config.json").write_text(json.dumps(language))
    parser = model_parser()
    config = parser.parse_args([f"--model={model}", f"--model.init_args.language.init_args.path={tmp_path}"])
    build = parser.instantiate_classes(config).model
    has_regions = parsed_model(model)["init_args"]["regions"] is not None
    module = f"triscope.stages.{STAGES_OF[model.stem.split('_')[0]]}"
    for stage_class in (kind for kind in Stage.__subclasses__() if kind.__module__ == module):
        stage = stage_class(build)
        with torch.device("meta"):
            stage.configure_model()
        trained = {stage.model.part_of(name) for name, _ in stage.trained_parameters()}
        assert trained == set(stage_class.trained_parts) - (set() if has_regions else set(REGION_PARTS))


def test_every_stage_has_a_model():
    modules = {kind.__module__ for kind in Stage.__subclasses__() if kind.__module__.startswith("triscope.")}
    with_model_files = {f"triscope.stages.{module}" for module in STAGES_OF.values()}
    # The recipe of the first holds its model; the second takes those of LION.
    assert modules == with_model_files | {"triscope.stages.language", "triscope.stages.naming"}


# Recipes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", SYSTEMS, ids=lambda file: file.stem)
@pytest.mark.parametrize("overlay", [[], OVERLAYS], ids=["alone", "on scenes"])
def test_a_recipe_builds_its_stage_and_data(recipe, overlay):
    arguments = [argument for file in [recipe, *overlay] for argument in ("-c", str(file))]
    config = command_line().parser.parse_args(["fit", *arguments, "--trainer.accelerator=cpu"])
    built = command_line().parser.instantiate_classes(config)["fit"]
    stage, data = built["model"], built["data"]
    assert isinstance(stage, Stage) and data.names("train") and data.names("validation")
    assert data.image_size == 224


@pytest.mark.parametrize("file", sorted({*TRAINERS, *DATA} - {IN_4_BITS}), ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_hardware_and_data_can_be_swapped(file):
    section = file.parent.name
    config = parsed("-c", str(SYSTEMS[0]), f"--{section}", str(file))
    assert contains(config[section], yaml.safe_load(file.read_text()))


@pytest.mark.parametrize("recipe", SYSTEMS, ids=lambda file: file.stem)
def test_4_bits_are_laid_over_a_recipe_and_change_nothing_else(recipe):
    plain, packed = parsed("-c", str(recipe)), parsed("-c", str(recipe), "-c", str(IN_4_BITS))
    assert contains(packed, yaml.safe_load(IN_4_BITS.read_text()))
    language = packed["model"]["init_args"]["model"]["init_args"]["language"]["init_args"]
    before = plain["model"]["init_args"]["model"]["init_args"]["language"]["init_args"]
    assert {key for key in language if language[key] != before[key]} <= {"dtype", "activation_checkpointing"}
    for config in (plain, packed):
        del config["model"]["init_args"]["model"]["init_args"]["language"]
    assert packed["model"] == plain["model"]


@pytest.mark.parametrize(("old", "new"), itertools.permutations([file for file in TRAINERS if file != IN_4_BITS], 2))
def test_swapping_the_trainer_file_keeps_nothing_of_the_old_one(old, new):
    once, twice = (parsed("-c", str(SYSTEMS[0]), *(f"--trainer={file}" for file in files)) for files in ([new], [old, new]))
    assert twice["trainer"] == once["trainer"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_s_file_says_where_its_numbers_come_from(recipe):
    assert recipe.read_text().startswith("#")


def test_the_overlay_leaves_the_stage_and_its_warm_start_to_the_recipe():
    recipe = CONF / "recipe" / "lion_3_mixture.yaml"
    config = parsed("-c", str(recipe), "-c", str(OVERLAYS[0]))["model"]
    stated = yaml.safe_load(recipe.read_text())["model"]
    assert config["class_path"] == stated["class_path"]
    assert config["init_args"]["warm_start"] == stated["init_args"]["warm_start"]
    assert config["init_args"]["learning_rate"] == 1e-3


@pytest.mark.parametrize("recipe", [file for file in RECIPES if file.stem.startswith("pvit")], ids=lambda file: file.stem)
def test_on_scenes_pvit_keeps_its_region_tokens_and_jitter_and_is_spared_its_long_opening(recipe):
    config = parsed("-c", str(recipe), "-c", str(OVERLAYS[0]))
    assert config["data"]["prompt_style"]["regions"] == "token" and config["data"]["box_jitter"] == 0.02
    assert config["data"]["prompt_style"]["opening"] == "" and config["data"]["prompt_style"]["box_format"] == "squares"
    assert config["trainer"]["accumulate_grad_batches"] == 1 and config["trainer"]["accelerator"] == "cpu"
