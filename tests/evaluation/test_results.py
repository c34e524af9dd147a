import json

import pytest

from triscope.data.batch import Row
from triscope.data.boxes import Box
from triscope.data.sample import Level
from triscope.evaluation.benchmarks import benchmark
from triscope.evaluation.predictions import Prediction, read_predictions
from triscope.evaluation.results import RESULTS_FILE, results_table, summarise, write_results

YES_NO = [Row(f"s{number}:0", "yes_no", Level.IMAGE, "Is it?", ("yes" if number % 2 else "no",)) for number in range(40)]


def answered(rows: list[Row], right: int) -> list[Prediction]:
    """The first `right` rows answered rightly, the others wrongly."""
    wrong = {"yes": "no", "no": "yes"}
    return [Prediction(row, row.answers[0] if number < right else wrong[row.answers[0]]) for number, row in enumerate(rows)]


def by_control(plain: int, blind: int, shuffled: int) -> dict[str, list[Prediction]]:
    return {"": answered(YES_NO, plain), "blind": answered(YES_NO, blind), "shuffled": answered(YES_NO, shuffled)}


def test_a_score_stands_beside_its_interval_its_controls_and_its_guess_level():
    result = summarise(by_control(plain=38, blind=20, shuffled=22))
    name = "image/yes_no_acc"
    assert result["metrics"] == {name: 0.95}
    low, high = result["intervals"][name]
    assert low < 0.95 < high
    assert result["items"] == {name: 40}
    assert result["controls"] == {"blind": {name: 0.5}, "shuffled": {name: 0.55}}
    assert result["guesses"][name]["constant"] == 0.5
    assert result["learned"] == {name: True}


@pytest.mark.parametrize(
    ("plain", "blind", "shuffled"),
    [(38, 38, 20), (38, 20, 37), (23, 10, 10)],
    ids=["no better than blind", "no better than with other pictures", "no better than a guess"],
)
def test_a_score_is_learned_only_above_every_control_and_guess(plain, blind, shuffled):
    assert summarise(by_control(plain, blind, shuffled))["learned"] == {"image/yes_no_acc": False}


def test_answers_under_controls_go_with_those_that_they_belong_to(tmp_path):
    """An earlier test's stand for other weights; a set that is called like a control is none."""
    told = {name: {"weights": {"sha256": "a"}} for name in ("mine", "mine_last_only")}
    write_results(tmp_path, {"mine": by_control(30, 20, 20), "mine_last_only": {"": answered(YES_NO, 9)}}, told)
    write_results(tmp_path, {"mine": {"": answered(YES_NO, 20)}}, told)
    assert {file.name for file in (tmp_path / "predictions").iterdir()} == {"mine.jsonl", "mine_last_only.jsonl"}


@pytest.mark.parametrize(("right", "learned"), [(38, None), (20, False)], ids=["above every guess", "no better than a guess"])
def test_without_controls_nothing_counts_as_learned(right, learned):
    result = summarise({"": answered(YES_NO, right)})
    assert result["controls"] == {} and result["learned"] == {"image/yes_no_acc": learned}
    assert results_table(result).splitlines()[-1].split()[-1] == {None: "unknown", False: "no"}[learned]


def test_results_and_the_predictions_of_every_control_are_written(tmp_path):
    box = Box(0.1, 0.1, 0.5, 0.5)
    pointing = [Row("p:0", "pointing", Level.REGION, "Where?", ("[10,10,50,50]",), box=box)]
    sets = {"scenes": by_control(30, 20, 20), "new_objects": {"": [Prediction(pointing[0], "[10,10,50,50]", box)]}}
    results = write_results(tmp_path, sets)
    assert json.loads((tmp_path / RESULTS_FILE).read_text()) == results
    assert results["new_objects"]["metrics"]["region/pointing_acc@0.5"] == 1.0
    files = {file.name for file in (tmp_path / "predictions").iterdir()}
    assert files == {"scenes.jsonl", "scenes_blind.jsonl", "scenes_shuffled.jsonl", "new_objects.jsonl"}
    assert read_predictions(tmp_path / "predictions" / "new_objects.jsonl") == sets["new_objects"][""]


def test_the_table_has_a_line_a_score_that_says_whether_it_was_learned():
    heading, line = results_table(summarise(by_control(plain=38, blind=20, shuffled=22))).splitlines()
    assert heading.split()[:2] == ["score", "value"]
    name, value, interval, blind, shuffled, guess, items, learned = line.split()
    assert (name, value, blind, shuffled, guess, items) == ("image/yes_no_acc", "0.950", "0.500", "0.550", "0.500", "40")
    assert interval.count("-") == 1 and learned == "yes"
    (_, alone) = results_table(summarise({"": answered(YES_NO, 20)})).splitlines()
    assert alone.split()[3:5] == ["-", "-"] and alone.endswith("no")


def test_a_benchmark_stands_in_its_set_s_results_and_above_their_table(tmp_path):
    told = {**benchmark("gqa").described(), "split": "testdev", "shards": "data/gqa"}
    results = write_results(
        tmp_path, {"gqa": {"": answered(YES_NO, 20)}, "mine": {"": answered(YES_NO, 20)}}, {"gqa": {"benchmark": told}}
    )
    assert json.loads((tmp_path / RESULTS_FILE).read_text())["gqa"]["benchmark"] == told
    assert "benchmark" not in results["mine"]
    first, heading, _ = results_table(results["gqa"]).splitlines()
    assert first.startswith("gqa 1, split testdev: '{content} Answer with a word or two.'; max_new_tokens 10, beams 5")
    assert first.endswith("length_penalty -1; short_answer") and heading.startswith("score")
    ranked = results_table(results["mine"] | {"benchmark": benchmark("vsr").described()}).splitlines()[0]
    assert ranked.startswith("vsr 1: ") and "candidates ranked by the sum of their log-likelihoods" in ranked


def test_results_of_other_sets_stay_where_they_are_of_the_same_weights(tmp_path):
    same, other = ({"checkpoint": "last.ckpt", "sha256": digest} for digest in ("a", "b"))
    write_results(tmp_path, {"first": {"": answered(YES_NO, 20)}}, {"first": {"weights": same}})
    returned = write_results(tmp_path, {"second": {"": answered(YES_NO, 20)}}, {"second": {"weights": same}})
    both = json.loads((tmp_path / RESULTS_FILE).read_text())
    assert returned.keys() == {"second"} and both.keys() == {"first", "second"} and both["first"]["weights"] == same
    write_results(tmp_path, {"third": {"": answered(YES_NO, 20)}}, {"third": {"weights": other}})
    assert json.loads((tmp_path / RESULTS_FILE).read_text()).keys() == {"third"}


def test_what_single_pictures_are_worth_stands_beside_the_score_of_the_same_rows():
    """Rows with another number of pictures have other controls; each is compared with its own rows as they are."""
    pictures = {"last_only": answered(YES_NO, 22), "without_3": answered(YES_NO[:20], 15)}
    result = summarise(by_control(plain=38, blind=20, shuffled=22) | pictures)
    name = "image/yes_no_acc"
    assert result["pictures"] == {
        "last_only": {name: {"value": 0.55, "all": 0.95, "items": 40}},
        "without_3": {name: {"value": 0.75, "all": 1.0, "items": 20}},
    }
    assert result["controls"].keys() == {"blind", "shuffled"} and result["learned"] == {name: True}
    heading, line = results_table(result).splitlines()[-2:]
    assert heading.split() == ["of", "several", "pictures", "last_only", "without_3"]
    assert line.split() == [name, "0.550", "of", "0.950", "0.750", "of", "1.000"]


def test_stories_are_also_scored_as_the_authors_of_sam_do(tmp_path):
    rows = [Row(f"t{number}:0", "story", Level.IMAGE, "What happens?", ("a dog runs home",)) for number in range(2)]
    story = [Prediction(row, "a dog runs") for row in rows]
    results = write_results(tmp_path, {"scenes": {"": [*story, *answered(YES_NO, 20)]}})
    assert {"image/story_cider", "image/yes_no_acc"} <= results["scenes"]["metrics"].keys()
    scored = json.loads((tmp_path / "predictions" / "scenes_story" / "eval.json").read_text())
    assert scored["rouge"] == 85.71
    assert len(json.loads((tmp_path / "predictions" / "scenes_story" / "pred.json").read_text())) == 2
