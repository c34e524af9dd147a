import json
from pathlib import Path

import pytest

from benchmarks.results_page import ROW, filled, main
from tests.conftest import REPOSITORY
from triscope.data.errors import ConfigurationError

PAGE = REPOSITORY / "docs" / "results.md"


def run_with(folder: Path, **sets: dict) -> Path:
    """A run with the results of some sets."""
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(sets))
    return folder


def result(score: str, value: float, **more) -> dict:
    """The results of a set that a benchmark asked."""
    measured = {"metrics": {score: value}, "intervals": {score: [value / 2, value * 1.5]}, "items": {score: 1200}}
    weights = {"checkpoint": "runs/a/last.ckpt", "sha256": "0123456789abcdef", "warm_start": {}}
    return measured | {"benchmark": {"name": "any"}, "weights": weights} | more


def row_of(page: str, name: str) -> list[str]:
    """The cells of a set's first row."""
    line = next(line for line in page.splitlines() if line.startswith(f"| `{name}` "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_score_stands_in_its_row_with_interval_items_and_weights(tmp_path):
    run = run_with(tmp_path / "run", gqa=result("image/exact_question_acc", 0.5), coco=result("image/caption_cider", 90.0))
    page = filled(PAGE.read_text(), [run])
    assert row_of(page, "gqa")[-4:] == ["51.56", "50.00 (25.00–75.00)", "1,200", "`runs/a/last.ckpt` 0123456789ab"]
    assert row_of(page, "coco")[-3] == "90.00 (45.00–135.00) without the PTB tokeniser"
    assert f"Filled from `{run}`." in page and "is empty" not in page
    assert row_of(page, "vsr")[-3:] == ["", "", ""]


def test_captions_are_those_of_the_tokeniser_of_the_papers_where_it_was_there(tmp_path):
    by_java = {"scores": {"image/caption_cider": {"value": 91.0, "low": 80.0, "high": 99.5, "items": 1200}}}
    run = run_with(tmp_path / "run", coco=result("image/caption_cider", 90.0, coco_evaluation=by_java))
    assert row_of(filled(PAGE.read_text(), [run]), "coco")[-3] == "91.00 (80.00–99.50)"


def test_parts_that_were_not_trained_here_are_named_by_where_they_are_from(tmp_path):
    imported = {"checkpoint": None, "sha256": None, "warm_start": {"qformer": "weights/lion", "router": "weights/lion"}}
    run = run_with(tmp_path / "run", gqa=result("image/exact_question_acc", 0.5, weights=imported))
    assert row_of(filled(PAGE.read_text(), [run]), "gqa")[-1] == "`weights/lion`"


def test_a_page_filled_with_nothing_is_empty_again(tmp_path):
    page = tmp_path / "results.md"
    page.write_text(filled(PAGE.read_text(), [run_with(tmp_path / "run", gqa=result("image/exact_question_acc", 0.5))]))
    main([str(page)])
    assert "The column `ours` is empty" in page.read_text()
    assert all(row_of(page.read_text(), row[1])[-3:] == ["", "", ""] for row in ROW.finditer(PAGE.read_text()))


def test_a_set_of_ones_own_does_not_pass_for_a_public_one(tmp_path):
    mine = result("image/exact_question_acc", 0.5)
    del mine["benchmark"]
    assert row_of(filled(PAGE.read_text(), [run_with(tmp_path / "run", gqa=mine)]), "gqa")[-3:] == ["", "", ""]


def test_a_set_that_two_runs_were_tested_on_is_refused(tmp_path):
    runs = [run_with(tmp_path / name, gqa=result("image/exact_question_acc", 0.5)) for name in "ab"]
    with pytest.raises(ConfigurationError, match="found gqa, as in a run before it"):
        filled(PAGE.read_text(), runs)
