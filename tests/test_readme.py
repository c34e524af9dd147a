"""What the documents tell to type exists: commands parse, make targets and files are there, examples run."""

import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from PIL import Image

from data_pipelines.__main__ import _parser as data_pipelines_parser
from tests.conftest import REPOSITORY
from tests.documents import DOCUMENTS, blocks, commands, section
from triscope.app import ask
from triscope.app.answerer import predict_arguments
from triscope.cli import TriscopeCLI, main
from triscope.data.sample import Sample
from triscope.data.shards import ShardSet

README = REPOSITORY / "README.md"
RUN_ELSEWHERE = commands(section(README, "Your own data"))  # by tests/recipes/test_your_own_data.py
TYPED = [(document, words) for document in DOCUMENTS for words in commands(document.read_text()) if words not in RUN_ELSEWHERE]
# What torchrun starts is checked like what is typed.
COMMANDS = [(document, words[words.index("--no-python") + 1 :] if words[0] == "torchrun" else words) for document, words in TYPED]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
LIGHTNING = ("fit", "validate", "test", "predict")


def commands_of(*beginning: str) -> list:
    """The commands that begin so, for parametrize."""
    chosen = [words for _, words in COMMANDS if words[: len(beginning)] == list(beginning)]
    return [pytest.param(words[len(beginning) :], id=" ".join(words)) for words in chosen]


class ParsedOnly(TriscopeCLI):
    """The command line up to where it would act."""

    def instantiate_classes(self) -> None:
        """Nothing is built."""
        self.trainer = type("NoTrainer", (), {"loggers": []})()

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing is run."""


@cache
def lightning_parser():
    """The parser of fit, validate, test and predict; it takes seconds to make."""
    return ParsedOnly(["fit", "-c", str(REPOSITORY / "conf/recipe/lion_joint.yaml"), "--run.folder", "not/there"]).parser


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch) -> None:
    """Commands of the documents are typed there."""
    monkeypatch.chdir(REPOSITORY)


@pytest.mark.parametrize(("document", "words"), COMMANDS, ids=[" ".join(words) for _, words in COMMANDS])
def test_every_command_is_of_a_kind_that_is_checked_here(document, words):
    known = ("make", "triscope", "python", "python3", "source", "pre-commit", ".venv/bin/pip")
    assert words[0] in known, f"{document.name}: {' '.join(words)}"


def test_the_readme_opens_with_a_sentence_a_picture_and_two_commands():
    title, sentence, picture, *_ = README.read_text().split("\n\n")
    assert title == "# triscope" and sentence.count(".") == 1 and picture.startswith("![")
    assert commands(README.read_text())[:2] == [["make", "demo"], ["make", "test"]]


def test_pictures_of_the_drawings_carry_their_attribution():
    before_commands = README.read_text().partition("```")[0]
    assert "OpenMoji" in before_commands and "CC BY-SA 4.0" in before_commands


@pytest.mark.parametrize("words", commands_of("make"))
def test_make_targets_exist(words):
    makefile = (REPOSITORY / "Makefile").read_text()
    target, *settings = words
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert all(re.search(rf"^{setting.partition('=')[0]} \?=", makefile, re.MULTILINE) for setting in settings)


@pytest.mark.parametrize("words", commands_of(".venv/bin/pip", "install"))
def test_versions_to_install_are_the_pinned_ones(words):
    pins = (REPOSITORY / "requirements.txt").read_text().splitlines()
    assert words[0] in pins


@pytest.mark.parametrize("words", commands_of("python", "-m", "data_pipelines"))
def test_data_pipelines_takes_the_arguments(words):
    data_pipelines_parser().parse_args(words)


@pytest.mark.parametrize("words", [param for command in LIGHTNING for param in commands_of("triscope", command)])
def test_training_and_evaluation_take_the_arguments(words, request):
    command = request.node.callspec.id.split()[1]
    if "--picture" in words:
        words = predict_arguments(ask.parser().parse_known_args(words)[1])[1:]
    # A run's configuration is that of its recipe: it is there once the recipe was run.
    words = [re.sub(r"^runs/(\w+)/config.yaml$", r"conf/recipe/\1.yaml", word) for word in words if word != "--plan"]
    # So is a model folder, once it was imported or exported.
    words = [re.sub(r"^weights/\w+$", "conf/recipe/lion_joint.yaml", word) for word in words]
    lightning_parser().parse_args([command, *words])


@pytest.mark.parametrize("command", ["chat", "demo", "doctor", "export", "import", "rank", "report"])
def test_other_commands_know_their_options(command, capsys):
    arguments = [word for param in commands_of("triscope", command) for word in param.values[0]]
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out
    assert all(word in text for word in arguments if word.startswith("--"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_to_files(document):
    links = [link.partition("#")[0] for link in LINK.findall(document.read_text()) if "://" not in link]
    assert [link for link in links if link and not (document.parent / link).exists()] == []


def test_the_recipes_and_sizes_of_the_readme_are_all_there_are():
    text = section(README, "Train")
    cells = re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    systems = ("lion_*.yaml", "pvit_*.yaml", "sam_*.yaml", "triscope*.yaml")
    recipes = {file.stem for system in systems for file in (REPOSITORY / "conf/recipe").glob(system)}
    sizes = {file.stem for system in systems for file in (REPOSITORY / "conf/model").glob(system)}
    assert named == recipes | sizes


def test_the_sources_of_the_documents_are_all_there_are():
    from data_pipelines.__main__ import SOURCES

    tables = "".join(section(REPOSITORY / "docs" / name, "Sources") for name in ("data.md", "your_table.md"))
    first_cells = re.findall(r"^\|(.*?)\|", tables, re.MULTILINE)
    named = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(source.name for source in SOURCES)


def test_the_sample_of_the_documents_is_one():
    (example,) = blocks((REPOSITORY / "docs/data.md").read_text(), "json")
    assert Sample.from_json(example, "docs/data.md").key == "garden-17"


def test_the_warm_start_of_the_documents_is_the_recipe_s():
    (example,) = blocks((REPOSITORY / "docs/configuration.md").read_text(), "yaml")
    recipe = yaml.safe_load((REPOSITORY / "conf/recipe/lion_3_mixture.yaml").read_text())
    assert yaml.safe_load(example)["warm_start"] == recipe["model"]["init_args"]["warm_start"]


def test_the_python_of_the_documents_writes_shards(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine/photos").mkdir(parents=True)
    Image.new("RGB", (40, 30)).save("mine/photos/garden.jpg")
    (example,) = blocks((REPOSITORY / "docs/data.md").read_text(), "python")
    exec(compile(example, "docs/data.md", "exec"), {})
    assert ShardSet.open("data/garden").counts.tasks == {"caption": 1, "pointing": 1}
