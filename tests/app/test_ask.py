"""Questions on the command line, answered by a tiny real model; the released parts are asked in tests/test_weights.py."""

from pathlib import Path

import pytest
from PIL import Image as Picture

from tests.data.tiny import jpeg
from tests.evaluation.test_tasks import row
from tests.tiny_model import fit_arguments, prepare, write_tiny_shards
from triscope.app.ask import drawn, main, read_question, said
from triscope.data.boxes import Box
from triscope.data.errors import BadSampleError, ConfigurationError
from triscope.data.sample import Image, Level
from triscope.evaluation.predictions import Prediction

REGION = "<Region><L100><L200><L300><L400></Region>"


@pytest.fixture
def picture(tmp_path: Path) -> str:
    Picture.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    return str(tmp_path / "red.png")


def test_every_question_is_asked_about_every_picture_and_answered_in_a_line(picture, tmp_path, capsys):
    write_tiny_shards(prepare(tmp_path) / "shards")
    Picture.new("RGB", (20, 10)).save(tmp_path / "black.png")
    model = fit_arguments(tmp_path, str(tmp_path / "shards"), tmp_path / "run")[1:]
    shown = ["--picture", picture, "--picture", str(tmp_path / "black.png")]
    main([*model, *shown, "--question", "What is this?", "--question", f"Is {REGION} it?"])
    lines = capsys.readouterr().out.splitlines()
    for (told, first, second), size in zip((lines[:3], lines[3:]), ("red.png: 40x30", "black.png: 20x10"), strict=True):
        assert f"{size}, tags off" in told
        assert first.startswith("What is this? -> ") and second.startswith(f"Is {REGION} it? -> ")


def test_a_box_in_an_answer_is_told_in_pixels_of_the_picture():
    pointed = Prediction(row("a:0", "pointing"), "[k3,o5]", Box(0.625, 0.1875, 0.9375, 0.375))
    assert said(pointed, Image("0.jpg", 160, 320)) == "[k3,o5], box 100,60,150,120 (pixels of 160x320)"
    assert said(Prediction(row("a:0", "caption"), "a dog\nand a cat"), Image("0.jpg", 160, 320)) == "a dog and a cat"


def test_boxes_asked_about_and_said_are_drawn_into_the_picture():
    asked = row("a:0", "pointing", regions=(Box(0.5, 0.5, 0.9, 0.9),), region_images=(0,))
    picture = drawn(jpeg(width=100, height=100), [Prediction(asked, "[b1,c2]", Box(0.1, 0.1, 0.4, 0.4))])
    assert [picture.getpixel(corner) for corner in ((10, 10), (50, 50))] == [(255, 23, 68), (41, 121, 255)]


def test_a_region_in_the_published_form_becomes_a_box_of_the_picture():
    conversation, regions = read_question(f"Is {REGION} in {REGION}?", None)
    assert conversation.turns[0].prompt == "Is <region:1> in <region:2>?" and conversation.level is Level.REGION
    assert [region.box.corners for region in regions] == [(0.1, 0.2, 0.3, 0.4)] * 2
    assert read_question("Where is the dog?", Level.IMAGE)[0].level is Level.IMAGE
    with pytest.raises(BadSampleError, match="found <region>; expected <region:1>"):
        read_question("What is <region>?", None)
    with pytest.raises(BadSampleError, match="whole regions"):
        read_question("What is <Region>?", None)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([], "Add --question"),
        (["--question", " "], "found no text; expected a question"),
        (["--question", "What?", "--picture", "nowhere.jpg"], r"nowhere\.jpg"),
        (["--question", "What?", "--draw", "out.tiff"], r"a file that ends in \.png"),
        (["--question", "What?", "--draw", "out.png", "--picture", "other.jpg"], "found 2 pictures; expected one"),
    ],
)
def test_a_mistake_is_told_before_the_model_is_read(picture, asked, told):
    with pytest.raises(ConfigurationError, match=told):
        main(["--picture", picture, *asked])


def test_a_marker_of_a_picture_that_is_not_there_is_told_before_the_model_is_read(picture, capsys):
    with pytest.raises(BadSampleError, match=r"red\.png.* found <image:2>; expected at most 1"):
        main(["--picture", picture, "--question", "Is <image:2> red?"])
    assert not capsys.readouterr().out
