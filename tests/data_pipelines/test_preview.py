"""The preview shows pictures, all boxes at their places, and all text, in one file."""

import base64
import re
from pathlib import Path

from data_pipelines.preview import preview
from tests.data_pipelines.made_up import picture, write_made_up
from triscope.data.sample import Conversation, Image, Level, Sample, Turn
from triscope.data.shard_writer import ShardWriter


def page_of(folder: Path, count: int = 24) -> str:
    preview(folder / "set", folder / "page.html", count)
    return (folder / "page.html").read_text()


def test_every_box_is_drawn_in_pixels_of_its_picture(tmp_path: Path) -> None:
    write_made_up(tmp_path / "set")
    page = page_of(tmp_path)
    boxes = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', page)
    assert boxes == [("8.0", "6.0", "24.0", "18.0"), ("32.0", "24.0", "32.0", "24.0")] * 3
    assert page.count('<svg viewBox="0 0 64 48">') == 3


def test_the_page_holds_its_pictures_and_loads_nothing(tmp_path: Path) -> None:
    write_made_up(tmp_path / "set")
    page = page_of(tmp_path)
    assert page.count(base64.b64encode(picture()).decode()) == 3
    assert "http" not in page and "<script" not in page


def test_text_is_escaped_and_markers_are_labels_in_their_boxes_color(tmp_path: Path) -> None:
    write_made_up(tmp_path / "set")
    page = page_of(tmp_path)
    assert "a &lt;dog&gt; &amp; a cat" in page and "<dog>" not in page
    (label,) = set(re.findall(r'<span class="marker" style="background:(#\w+)">region 1</span>', page))
    assert f'stroke="{label}"><title>region 1</title>' in page
    assert "one of: left, right" in page and "tags: dog 0.75" in page


def test_samples_are_spread_over_the_set(tmp_path: Path) -> None:
    write_made_up(tmp_path / "set", count=9)
    assert re.findall(r"<h2>(\S+) ", page_of(tmp_path, count=3)) == ["made-0", "made-3", "made-6"]


def test_several_pictures_stand_side_by_side_with_what_the_sample_was_made_from(tmp_path: Path) -> None:
    images = tuple(Image(f"{number}.jpg", 64, 48) for number in range(2))
    talk = Conversation("link_icons", Level.IMAGE, (Turn("<image:1> <image:2> Which?", ("one",)),))
    made_from = {"mmlink": {"seed": 7, "placements": [{"source": "a <b>", "box": [1, 2]}]}}
    with ShardWriter(tmp_path / "set") as writer:
        writer.write(Sample("pair", images, (talk,), source="made up", extra=made_from), [picture(), picture()])
    page = page_of(tmp_path)
    assert page.count('<div class="several"><figure>') == 1 and page.count("<figure>") == 2
    assert "<dt>seed</dt><dd>7</dd>" in page
    assert "<dt>1</dt><dd><dl><dt>source</dt><dd>a &lt;b&gt;</dd><dt>box</dt><dd>[1, 2]</dd></dl></dd>" in page
