"""What the parser refuses is told in a line: where it stands, which key, and what may be meant."""

import json
from pathlib import Path

import pytest
import yaml
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from tests.conftest import REPOSITORY
from tests.test_cli import refused
from tests.tiny_model import fit_arguments, write_model_file
from triscope.refusals import refused_by_trainer


def told_of(folder: Path, *more: str, text: str | None = None) -> str:
    """What a fit ends with that is given some more on its command line, or in a file."""
    if text is not None:
        (folder / "mine.yaml").write_text(text)
        more = (*more, "-c", str(folder / "mine.yaml"))
    message = refused(fit_arguments(folder, str(folder / "shards"), folder / "run", *more))
    assert message.startswith("triscope fit: ") and "\n" not in message
    assert not (folder / "run").exists()
    return message.removeprefix("triscope fit: ")


def nested(key: str, value: object) -> str:
    """A file with one key."""
    for name in reversed(key.split(".")):
        value = {name: value}
    return yaml.safe_dump(value)


MODEL = "model.init_args.model.init_args"


# A key that nobody takes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "owner", "meant"),
    [
        ("model.init_args.learnign_rate", "MixtureStage", "learning_rate"),
        ("model.init_args.generation.max_new_token", "GenerationOptions", "max_new_tokens"),
        (f"{MODEL}.language.init_args.adapter_botleneck", "LanguageModel", "adapter_bottleneck"),
        (f"{MODEL}.bridges.qformer.init_args.querries", "QFormerBridge", "queries"),
    ],
)
def test_a_key_is_told_with_its_file_and_what_the_class_takes_to_which_it_is_given(tmp_path, key, owner, meant):
    name = key.rpartition(".")[2]
    assert told_of(tmp_path, text=nested(key, 3)) == (
        f"{tmp_path}/mine.yaml, {key}: found an unknown key {name!r}; expected an argument of {owner}. Did you mean {meant}."
    )


def test_a_key_in_a_list_is_told_with_its_place_there(tmp_path):
    message = told_of(tmp_path, text="model: {init_args: {warm_start: [{checkpoint: a, parts: []}, {checkpoint: b, part: [x]}]}}")
    assert message.startswith(f"{tmp_path}/mine.yaml, model.init_args.warm_start[1].part: found")
    assert message.endswith("an argument of WarmStart. Did you mean parts.")


def test_a_key_in_a_file_that_a_file_names_is_told_with_that_one(tmp_path):
    model = yaml.safe_load(Path(write_model_file(tmp_path)).read_text())
    model["init_args"]["vision"]["init_args"]["tapz"] = [0]
    (tmp_path / "sizes").mkdir()
    (tmp_path / "sizes" / "small.yaml").write_text(yaml.safe_dump(model))
    message = told_of(tmp_path, text="model: {init_args: {model: sizes/small.yaml}}")
    assert message.startswith(f"{tmp_path}/sizes/small.yaml, init_args.vision.init_args.tapz: found")
    assert message.endswith("an argument of VisionEncoder. Did you mean taps.")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("data.prompt_style.tag", "data.prompt_style.tags"),
        ("trainier.max_steps", "trainer.max_steps"),
        ("run.foldr", "run.folder"),
    ],
)
def test_a_key_that_belongs_to_no_class_is_told_with_the_nearest_of_the_command(tmp_path, key, meant):
    message = told_of(tmp_path, text=nested(key, 3))
    assert message.startswith(f"{tmp_path}/mine.yaml, {key}: found") and message.endswith(f"Did you mean {meant}.")


@pytest.mark.parametrize("key", ["data.shufle", "trainer.colour"])
def test_a_key_that_is_like_others_of_its_section_alone_has_no_nearest(tmp_path, key):
    assert told_of(tmp_path, text=nested(key, 3)).endswith("Correct it.")


def test_a_file_of_one_section_alone_is_told_how_to_be_given(tmp_path):
    told = told_of(tmp_path, "-c", str(REPOSITORY / "conf" / "trainer" / "node_fsdp.yaml"))
    assert "node_fsdp.yaml, strategy" in told
    assert told.endswith("If all of the file is of the trainer, give it with --trainer in the place of -c.")


@pytest.mark.parametrize("typed", [("--data.smaples_per_batch", "3"), ("--data.smaples_per_batch=3",)], ids=str)
def test_a_mistake_on_the_command_line_is_not_looked_for_in_the_files(tmp_path, typed):
    assert told_of(tmp_path, *typed) == (
        "the command line, data.smaples_per_batch: found an unknown key 'data.smaples_per_batch'; "
        "expected a key that `triscope fit --help` lists. Did you mean data.samples_per_batch."
    )


def test_a_mistake_below_a_class_on_the_command_line_is_told_as_one_in_a_file(tmp_path):
    message = told_of(tmp_path, f"--{MODEL}.bridges.qformer.init_args.querries", "3")
    assert message.startswith(f"the command line, {MODEL}.bridges.qformer.init_args.querries: found")
    assert message.endswith("an argument of QFormerBridge. Did you mean queries.")


def test_a_word_too_much_is_told(tmp_path):
    message = told_of(tmp_path, "frobnicate")
    assert message.startswith("the command line: found an unknown key 'frobnicate'") and message.endswith("Correct it.")


# A value that its key does not take ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("data.prompt_style.tags", "softt", "softt; expected Literal['none', 'hard', 'soft']. Did you mean soft."),
        ("data.train", 3, "3; expected dict. Correct it."),
        (f"{MODEL}.bridges.qformer.init_args.queries", "many", "many; expected int. Correct it."),
        (f"{MODEL}.language.init_args.adapter_bottleneck", "many", "many; expected int. Correct it."),
        (
            f"{MODEL}.language.class_path",
            "triscope.components.language.LanguageModell",
            "no LanguageModell in triscope.components.language; expected a name in it. Did you mean LanguageModel.",
        ),
    ],
)
def test_a_value_is_told_with_file_and_key_and_what_the_key_takes(tmp_path, key, value, told):
    assert told_of(tmp_path, text=nested(key, value)) == f"{tmp_path}/mine.yaml, {key}: found {told}"


@pytest.mark.parametrize("typed", [("--data.samples_per_batch", "x"), ("--data.samples_per_batch=x",)], ids=str)
def test_a_value_on_the_command_line_is_told_as_such(tmp_path, typed):
    assert told_of(tmp_path, *typed) == "the command line, data.samples_per_batch: found x; expected int. Correct it."


# Files ----------------------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_yaml_is_told_alone(tmp_path):
    assert told_of(tmp_path, text="data: {workers: 1").startswith(f"{tmp_path}/mine.yaml: found Problems parsing config")


def test_a_path_that_a_file_misspells_is_told_with_that_file(tmp_path):
    message = told_of(tmp_path, text="model: {init_args: {model: conf/model/lion_micro.yaml}}")  # from here there is none
    assert message.startswith(f"{tmp_path}/mine.yaml, model.init_args.model: found conf/model/lion_micro.yaml;")
    assert message.endswith("that file's folder.")


@pytest.mark.parametrize("typed", ["{option} {file}", "{option}={file}"], ids=["apart", "with ="])
@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("init_args.visoin", None, "an unknown key 'visoin'; expected an argument of VisualLanguageModel. Did you mean vision."),
        (
            "init_args.vision.init_args.tapz",
            [0],
            "an unknown key 'tapz'; expected an argument of VisionEncoder. Did you mean taps.",
        ),
        ("init_args.vision.init_args.image_size", "many", "many; expected int. Correct it."),
    ],
)
def test_a_mistake_in_a_model_file_on_the_command_line_is_told_with_file_and_key(tmp_path, typed, key, value, told):
    model = yaml.safe_load(Path(write_model_file(tmp_path)).read_text())
    *above, name = key.split(".")
    part = model
    for each in above:
        part = part[each]
    part[name] = value
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(model))
    more = typed.format(option="--model.init_args.model", file=tmp_path / "mine.yaml").split()
    assert told_of(tmp_path, *more) == f"{tmp_path}/mine.yaml, {key}: found {told}"


def test_a_mistake_in_a_model_file_is_told_beside_an_argument_that_is_too_long_for_a_path(tmp_path):
    (tmp_path / "mine.yaml").write_text("class_path: triscope.model.VisualLanguageModel\ninit_args: {visoin: null}")
    more = ("--model.init_args.model", str(tmp_path / "mine.yaml"), "--data.train", json.dumps({"a" * 300: 1.0}))
    assert told_of(tmp_path, *more).startswith(f"{tmp_path}/mine.yaml, init_args.visoin: found an unknown key 'visoin'")


def test_a_key_in_a_file_of_one_section_is_told_with_it(tmp_path):
    (tmp_path / "data.yaml").write_text("smaples_per_batch: 3")
    assert told_of(tmp_path, "--data", str(tmp_path / "data.yaml")) == (
        f"{tmp_path}/data.yaml, smaples_per_batch: found an unknown key 'data.smaples_per_batch'; "
        "expected a key that `triscope fit --help` lists. Did you mean data.samples_per_batch."
    )


def test_a_list_in_the_place_of_a_model_file_is_told_alone(tmp_path):
    (tmp_path / "model.yaml").write_text("- a list")
    message = told_of(tmp_path, "--model.init_args.model", str(tmp_path / "model.yaml"))
    assert message.startswith(f"{tmp_path}/model.yaml: found a key or value that does not fit")
    assert message.endswith("Compare it with the files of its kind under conf.")


def test_a_missing_recipe_is_asked_for_by_name():
    assert refused(["fit", "-c", "conf/recipe/lion_9.yaml"]).endswith(
        "lion_9.yaml: found no such file; expected a recipe or what is laid over one. Correct the path."
    )
    assert "Name a recipe, as in -c conf/recipe/lion_2_region.yaml" in refused(["fit", "--run.folder", "runs/mine"])


# The trainer ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "about_devices"),
    [
        ("No supported gpu backend found!", True),
        ("You requested gpu: [3]\n But your machine only has: [0]", True),
        ("`CUDAAccelerator` can not run on your system since the accelerator is not available.", True),
        ("`max_steps` must be a non-negative integer", False),
        ("Trainer was configured with `enable_progress_bar=False` but found `TQDMProgressBar` in callbacks list.", False),
    ],
)
def test_a_look_at_the_machine_is_advised_only_where_a_device_is_missing(message, about_devices):
    told = str(refused_by_trainer(MisconfigurationException(message)))
    assert told.startswith("trainer: found ") and ("`triscope doctor`" in told) == about_devices
