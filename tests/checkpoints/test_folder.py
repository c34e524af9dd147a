"""What an import says about prompts is what the data takes."""

from pathlib import Path

import pytest

from tests.checkpoints.layouts import layout
from tests.checkpoints.test_published_layouts import FLAN_T5_XL, model_over
from triscope.checkpoints.folder import folders_as_recipes, read_recipe, write_recipe
from triscope.checkpoints.kinds import KINDS, Given
from triscope.data.datamodule import DataModule
from triscope.data.errors import ConfigurationError
from triscope.data.prompts import PromptStyle

MODEL = {"init_args": {"language": {"init_args": {"path": "./language", "dtype": "auto"}}}}


def test_the_paths_of_a_recipe_follow_its_folder(tmp_path):
    write_recipe(tmp_path, "a.Stage", MODEL, ["qformer"], {"image_size": 28}, "Made up.")
    recipe = read_recipe(tmp_path)
    arguments = recipe["model"]["init_args"]
    assert arguments["model"]["init_args"]["language"]["init_args"]["path"] == str(tmp_path / "language")
    assert arguments["warm_start"] == [{"checkpoint": str(tmp_path), "parts": ["qformer"]}]
    assert str(tmp_path) not in (tmp_path / "recipe.yaml").read_text()


def test_a_folder_behind_c_is_its_recipe_and_a_file_stays_one(tmp_path):
    write_recipe(tmp_path, "a.Stage", MODEL, [], {}, "Made up.")
    given = ["predict", "-c", str(tmp_path), "-c", "mine.yaml", "--out", str(tmp_path)]
    with folders_as_recipes(given) as opened:
        assert opened[2].endswith(".yaml") and str(tmp_path / "language") in Path(opened[2]).read_text()
        assert opened[3:] == given[3:]


def test_a_folder_without_a_recipe_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match=r"found no recipe\.yaml"):
        read_recipe(tmp_path)


def test_the_prompt_style_of_an_imported_lion_is_one_that_the_data_takes(tmp_path):
    names = layout("lion_flant5xl_checkpoint")
    data = KINDS["lion"].becomes(Given(tmp_path, model_over("lion_4b", FLAN_T5_XL, tmp_path), names), tmp_path).data
    style = PromptStyle(**data.pop("prompt_style"))
    assert style.tags == "soft"
    assert DataModule(**data, prompt_style=style).image_size == 224
