import json

import pytest
from PIL import Image

from tests.tagging.tiny_taggers import NAMES, built, write_naming, write_open_clip, write_ram
from triscope.app.ask import ANSWERING, DEMO_TAGGER, guess_level, predict_arguments
from triscope.data.errors import BadSampleError, ConfigurationError
from triscope.data.sample import Level
from triscope.data.shards import ShardSet


@pytest.fixture
def picture(tmp_path, monkeypatch):
    """A file; where commands are run there is no demo."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGBA", (40, 30), "red").save(tmp_path / "red.png")
    return str(tmp_path / "red.png")


def test_every_question_is_asked_about_every_picture(picture, tmp_path):
    asked = ["--picture", picture, "--picture", picture, "--question", "What?", "--question", "Where?"]
    predict_arguments(asked, tmp_path / "set")
    samples = [raw.parse() for raw in ShardSet.open(tmp_path / "set")]
    assert len(samples) == 2
    for sample, _ in samples:
        assert [conversation.turns[0].prompt for conversation in sample.conversations] == ["What?", "Where?"]
        assert (sample.images[0].width, sample.images[0].height) == (40, 30)


def test_the_parts_of_the_demo_answer_unless_a_recipe_is_named(picture, tmp_path):
    asked = ["--picture", picture, "--question", "What?"]
    usual = predict_arguments(asked, tmp_path / "first")
    assert usual[: len(ANSWERING) + 1] == ["predict", *ANSWERING]
    assert json.loads(usual[-1]) == {"questions": str(tmp_path / "first")}
    mine = predict_arguments([*asked, "-c", "mine.yaml"], tmp_path / "second")
    assert mine[:3] == ["predict", "-c", "mine.yaml"] and not {*ANSWERING[1::2]} & {*mine}


@pytest.mark.parametrize("write", [write_ram, write_open_clip, write_naming], ids=["ram", "open_clip", "naming"])
def test_a_new_picture_is_tagged_by_the_configured_tagger(write, picture, tmp_path, capsys):
    tagger = write(tmp_path, thresholds=(0.0, 1.0, 0.0, 1.0, 1.0))
    predict_arguments(["--picture", picture, "--question", "What?", "--tagger", str(tagger)], tmp_path / "set")
    ((sample, contents),) = [raw.parse() for raw in ShardSet.open(tmp_path / "set")]
    alone = built(tagger)
    (expected,) = alone.tags(alone.pixels(contents[0], sample.images[0], "")[None])
    assert sample.images[0].tags == expected
    assert [tag.name for tag in expected] == [alone.vocabulary.names[0], NAMES[2]]
    assert f"red.png: tags {expected[0].name} {expected[0].score:.2f}, grass" in capsys.readouterr().out


def test_without_a_tagger_it_is_said_that_there_are_no_tags(picture, tmp_path, capsys):
    predict_arguments(["--picture", picture, "--question", "What?"], tmp_path / "off")
    ((sample, _),) = [raw.parse() for raw in ShardSet.open(tmp_path / "off")]
    assert sample.images[0].tags == ()
    assert "red.png: tags off, for no tagger is given (--tagger" in capsys.readouterr().out
    none = write_ram(tmp_path, thresholds=(1.0,) * len(NAMES))
    predict_arguments(["--picture", picture, "--question", "What?", "--tagger", str(none)], tmp_path / "none")
    assert "red.png: no tag: none of 5 names is above its threshold" in capsys.readouterr().out


def test_the_demo_s_tagger_tags_where_no_recipe_is_named(picture, tmp_path, capsys):
    folder = tmp_path / DEMO_TAGGER
    folder.mkdir(parents=True)
    write_ram(folder, thresholds=(0.0, 1.0, 1.0, 1.0, 1.0)).rename(folder / "tagger.yaml")
    asked = ["--picture", picture, "--question", "What?"]
    predict_arguments(asked, tmp_path / "first")
    assert "red.png: tags dog 0." in capsys.readouterr().out
    predict_arguments([*asked, "-c", "mine.yaml"], tmp_path / "second")
    assert "red.png: tags off" in capsys.readouterr().out


def test_a_region_in_the_published_form_becomes_a_box_of_the_picture(picture, tmp_path):
    region = "<Region><L100><L200><L300><L400></Region>"
    asked = ["--picture", picture, "--question", f"What is {region}?", "--question", f"Is {region} in {region}?"]
    predict_arguments(asked, tmp_path / "set")
    ((sample, _),) = [raw.parse() for raw in ShardSet.open(tmp_path / "set")]
    prompts = [conversation.turns[0].prompt for conversation in sample.conversations]
    assert prompts == ["What is <region:1>?", "Is <region:2> in <region:3>?"]
    assert [conversation.level for conversation in sample.conversations] == [Level.REGION] * 2
    assert {region.box.corners for region in sample.regions} == {(0.1, 0.2, 0.3, 0.4)}
    with pytest.raises(BadSampleError, match="whole regions"):
        predict_arguments(["--picture", picture, "--question", "What is <Region>?"], tmp_path / "broken")


@pytest.mark.parametrize(
    ("question", "level"),
    [
        ("Where is the dog?", Level.REGION),
        ("Find the cat.", Level.REGION),
        ("What is at [10,20,30,40]?", Level.REGION),
        ("What does the picture show?", Level.IMAGE),
        ("Is there a dog?", Level.IMAGE),
    ],
)
def test_questions_about_places_are_of_the_region_level(question, level):
    assert guess_level(question) is level


def test_no_question_and_no_picture_are_told(picture, tmp_path):
    with pytest.raises(ConfigurationError, match="Add --question"):
        predict_arguments(["--picture", picture], tmp_path / "a")
    with pytest.raises(ConfigurationError, match=r"nowhere\.jpg"):
        predict_arguments(["--picture", "nowhere.jpg", "--question", "What?"], tmp_path / "b")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(ConfigurationError, match=r"text\.jpg"):
        predict_arguments(["--picture", str(tmp_path / "text.jpg"), "--question", "What?"], tmp_path / "c")
