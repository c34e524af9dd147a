import base64
import io
import json
import re
from pathlib import Path

import pytest
import yaml
from PIL import Image, ImageColor

from tests.tiny_model import write_tiny_shards
from triscope.app.compare import FIRST_COLOR, _thumbnail, common_set, compare, main
from triscope.data.batch import Row
from triscope.data.boxes import Box
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Level
from triscope.data.shards import ShardSet
from triscope.drawing import PREDICTED_COLOR, TRUE_COLOR
from triscope.evaluation.comparison import Change
from triscope.evaluation.predictions import Prediction
from triscope.evaluation.results import write_results


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs tested on one set: the second finds what the first missed, and loses one answer."""
    shards = write_tiny_shards(tmp_path / "shards")
    key = next(iter(ShardSet.open(shards))).key
    return write_run(tmp_path / "a", shards, key, "no", "yes"), write_run(tmp_path / "b", shards, key, "yes", "<no> & more")


def write_run(folder: Path, shards: str, key: str, first: str, second: str) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": {"test": {"scenes": shards}}}))
    rows = [Row(f"{key}:{number}", "yes_no", Level.IMAGE, "Is there a dog?", ("yes",)) for number in range(2)]
    asked = Row(f"{key}:2", "pointing", Level.REGION, "Where?", ("box",), box=Box(0, 0, 0.5, 0.5))
    answers = [Prediction(rows[0], first), Prediction(rows[1], second), Prediction(asked, "", Box(0.1, 0, 0.5, 0.5))]
    write_results(folder, {"scenes": {"": answers, "blind": answers}})
    return folder


def test_the_page_shows_differences_and_changed_answers_with_their_pictures(runs):
    text = compare(*runs, "scenes", runs[1] / "out.html")
    html = (runs[1] / "out.html").read_text()
    assert "image/yes_no_acc" in text and "image/yes_no_acc" in html
    assert "1 better, 1 worse" in html
    assert html.count('<img src="data:image/png') == 2
    assert "&lt;no&gt; &amp; more" in html


def test_of_several_pictures_a_box_is_drawn_on_the_one_that_it_lies_in():
    row = Row("a:0", "pointing_shared", Level.REGION, "Where?", ("box",), box=Box(0.0, 0.0, 0.5, 0.5), box_image=1)
    change = Change(Prediction(row, "", Box(0.2, 0.2, 0.6, 0.6)), Prediction(row, "", Box(0.4, 0.4, 0.9, 0.9)), 0.5)
    black = Image.new("RGB", (40, 40), "black")
    pages = [re.search('base64,(.*?)"', _thumbnail(black, change, number))[1] for number in (0, 1)]
    seen = [{color for _, color in Image.open(io.BytesIO(base64.b64decode(page))).getcolors()} for page in pages]
    colours = {ImageColor.getrgb(color) for color in (TRUE_COLOR, FIRST_COLOR, PREDICTED_COLOR)}
    assert seen == [{(0, 0, 0)}, {(0, 0, 0), *colours}]


def test_the_command_names_its_file(runs, capsys):
    main([str(runs[0]), str(runs[1])])
    assert str(runs[1] / "compare.html") in capsys.readouterr().out
    assert (runs[1] / "compare.html").exists()


def test_without_the_shards_the_page_is_made_without_pictures(runs):
    (runs[1] / "config.yaml").write_text("data: {test: {scenes: /nowhere}}")
    compare(*runs, "scenes", runs[1] / "out.html")
    assert "<img" not in (runs[1] / "out.html").read_text()


def test_the_shards_of_a_benchmark_are_those_that_the_results_name(runs, tmp_path):
    (runs[1] / "config.yaml").unlink()
    results = json.loads((runs[1] / "results.json").read_text())
    results["scenes"]["benchmark"] = {"shards": str(tmp_path / "shards")}
    (runs[1] / "results.json").write_text(json.dumps(results))
    compare(*runs, "scenes", runs[1] / "out.html")
    assert (runs[1] / "out.html").read_text().count('<img src="data:image/png') == 2


def test_controls_are_no_sets_of_their_own(runs):
    assert common_set(*runs) == "scenes"


def test_a_set_that_was_not_tested_is_refused_by_name(runs):
    with pytest.raises(ConfigurationError, match=r"photos\.jsonl: found none; tested: \['scenes'\]"):
        compare(*runs, "photos", runs[1] / "out.html")


def test_runs_without_a_common_set_are_refused(runs):
    (runs[0] / "results.json").write_text(json.dumps({}))
    with pytest.raises(ConfigurationError, match="sets in common"):
        common_set(*runs)
