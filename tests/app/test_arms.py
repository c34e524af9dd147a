import json

import pytest

from triscope.app.arms import Arm, Outcome, compare


def test_mean_and_spread_are_over_seeds():
    outcome = Outcome((0.2, 0.4, 0.6))
    assert outcome.mean == pytest.approx(0.4) and outcome.spread == pytest.approx(0.2)
    assert str(outcome) == "0.400 ± 0.200"


def test_one_seed_has_no_spread():
    assert Outcome((0.3,)).spread == 0 and str(Outcome((0.3,))) == "0.300"


def test_runs_with_results_become_a_table_whichever_way_it_comes_out(tmp_path):
    values = {"new-0": 0.5, "new-1": 0.7, "old-0": 0.9, "old-1": 0.9}
    for run, value in values.items():
        (tmp_path / run).mkdir()
        (tmp_path / run / "results.json").write_text(json.dumps({"scenes": {"metrics": {"region/recognition_acc": value}}}))
    table = compare([Arm("new", ()), Arm("old", ())], [], [0, 1], tmp_path)
    assert "| scenes: region/recognition_acc | 0.600 ± 0.141 | 0.900 ± 0.000 |" in table
    scores = json.loads((tmp_path / "arms.json").read_text())["scores"]["scenes: region/recognition_acc"]
    assert scores["new"]["values"] == [0.5, 0.7]
