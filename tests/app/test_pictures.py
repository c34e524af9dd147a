"""Pictures that a user shows are read upright, tagged and told of."""

import io

import pytest
from PIL import Image as Picture
from PIL.ExifTags import Base

from tests.tagging.tiny_taggers import NAMES, built, write_naming, write_open_clip, write_ram
from triscope.app.pictures import DEMO_TAGGER, in_pixels, look_at, read_picture, tagger_of, told
from triscope.data.boxes import Box
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Image


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "red.png"
    Picture.new("RGBA", (40, 30), "red").save(file)
    return file


@pytest.mark.parametrize("write", [write_ram, write_open_clip, write_naming], ids=["ram", "open_clip", "naming"])
def test_a_new_picture_is_tagged_by_the_named_tagger(write, picture, tmp_path):
    file = write(tmp_path, thresholds=(0.0, 1.0, 0.0, 1.0, 1.0))
    tagger = tagger_of(file, [])
    image, content = look_at(picture, tagger)
    alone = built(file)
    (expected,) = alone.tags(alone.pixels(content, Image("0.jpg", 40, 30), "")[None])
    assert image.tags == expected and [tag.name for tag in expected] == [alone.vocabulary.names[0], NAMES[2]]
    assert f"red.png: 40x30, tags {expected[0].name} {expected[0].score:.2f}, grass" in told(picture, image, tagger)


def test_it_is_told_why_there_are_no_tags(picture, tmp_path):
    image, _ = look_at(picture, None)
    assert image.tags == () and "tags off, for no tagger is given (--tagger" in told(picture, image, None)
    strict = tagger_of(write_ram(tmp_path, thresholds=(1.0,) * len(NAMES)), [])
    image, _ = look_at(picture, strict)
    assert "no tag: none of 5 names is above its threshold" in told(picture, image, strict)


def test_the_demo_s_tagger_tags_where_no_recipe_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tagger_of(None, []) is None
    folder = tmp_path / DEMO_TAGGER
    folder.mkdir(parents=True)
    write_ram(folder).rename(folder / "tagger.yaml")
    assert tagger_of(None, []).vocabulary.names[1] == NAMES[1]
    assert tagger_of(None, ["-c", "mine.yaml"]) is None
    (folder / "thresholds.txt").unlink()  # of a demo that was stopped before it had found them
    assert tagger_of(None, []) is None


def test_a_photo_is_turned_as_its_camera_says(tmp_path):
    lying = Picture.new("RGB", (40, 30), "white")
    lying.paste("black", (0, 0, 20, 30))
    exif = Picture.Exif()
    exif[Base.Orientation] = 6  # the left edge belongs at the top
    lying.save(tmp_path / "photo.jpg", exif=exif)
    content, size = read_picture(tmp_path / "photo.jpg")
    upright = Picture.open(io.BytesIO(content))
    assert size == upright.size == (30, 40) and Base.Orientation not in upright.getexif()
    assert upright.getpixel((15, 5))[0] < 50 and upright.getpixel((15, 35))[0] > 200


def test_a_file_that_is_no_picture_is_told(picture, tmp_path, monkeypatch):
    (tmp_path / "text.jpg").write_text("no picture")
    whole = picture.read_bytes()
    (tmp_path / "short.png").write_bytes(whole[: len(whole) - 30])
    for name in ("nowhere.jpg", "text.jpg", "short.png"):
        with pytest.raises(ConfigurationError, match=f"--picture .*{name}"):
            read_picture(tmp_path / name)
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ConfigurationError, match=r"red\.png: found .*1200 pixels.* decompression bomb"):
        read_picture(picture)


def test_a_box_is_told_in_pixels_of_its_picture():
    assert in_pixels(Box(0.1, 0.2, 0.5, 1.0), Image("0.jpg", 200, 100)) == "20,20,100,100 (pixels of 200x100)"
