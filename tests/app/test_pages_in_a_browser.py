"""Pages at the widths of a laptop and of a phone: nothing is wider than the screen, and no picture is missing."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.app.browser import measured
from tests.app.test_report import RESULTS, write_run
from triscope.app.page import page
from triscope.app.report import write_report

LAPTOP, PHONE = 1366, 390


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything that tends to be wide: long names, a large board, many scores and several pictures' worth."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "2_region_with_a_long_name_of_its_own")
    (folder / "config.yaml").write_text("data: " + "x" * 400 + "\n")
    Image.new("RGB", (920, 1288), "navy").save(folder / "pictures" / "board" / "step_000060.png")
    Image.new("RGB", (1100, 320), "teal").save(folder / "pictures" / "routing" / "step_000060.png")
    (folder / "pictures" / "routing" / "step_000060.txt").write_text("For region-level rows the region adapter leads.\n")
    pictures = {f"without_{number}": {"image/story_end_acc": {"value": 0.3, "all": 0.6, "items": 80}} for number in range(1, 6)}
    results = {"scenes": {**RESULTS["scenes"], "pictures": pictures}, "new_objects_with_a_long_name": RESULTS["scenes"]}
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def test_the_report_fits_a_laptop_and_a_phone_and_its_pictures_are_there(long_run: Path):
    other = write_run(long_run.parent / "3_mixture")
    file = write_report([long_run, other], long_run.parent / "report.html", title="A report with a long title of many words")
    laptop, phone = measured(file, (LAPTOP, PHONE))
    assert (laptop["width"], phone["width"]) == (LAPTOP, PHONE)
    for screen in (laptop, phone):
        assert screen["content"] <= screen["width"] and screen["wide"] == []
        assert screen["pictures"] == 4 and screen["missing"] == []


def test_what_is_too_wide_and_what_is_missing_is_seen(tmp_path: Path):
    body = '<div style="width: 600px">wide</div><img src="data:image/png;base64,AAAA" alt="broken">'
    (tmp_path / "bad.html").write_text(page("bad", body))
    laptop, phone = measured(tmp_path / "bad.html", (LAPTOP, PHONE))
    assert laptop["content"] == LAPTOP and laptop["wide"] == []
    assert phone["content"] > PHONE and "600px" in phone["wide"][0]
    assert laptop["missing"] == phone["missing"] == ["broken"]
