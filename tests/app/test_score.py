"""`triscope score` finds in written answers what the test found."""

import json

import pytest

from tests.tiny_model import awake, prepare, tiny_data, tiny_model, tiny_trainer, write_tiny_shards
from triscope.app.score import main, prediction_files
from triscope.data.batch import Row
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Level
from triscope.evaluation import coco_tools
from triscope.evaluation.benchmarks import benchmark
from triscope.evaluation.predictions import Prediction, write_predictions
from triscope.evaluation.results import read_answers, write_results
from triscope.stages import MixtureStage


def test_the_scores_of_a_test_are_found_again_without_the_model(tmp_path, capsys):
    base, shards = prepare(tmp_path / "base"), write_tiny_shards(tmp_path / "shards")
    run, again = tmp_path / "run", tmp_path / "again"
    tiny_trainer(run).test(MixtureStage(lambda: awake(tiny_model(base))), tiny_data(shards))
    capsys.readouterr()
    main([str(run), "--out", str(again)])
    tested, found = (json.loads((folder / "results.json").read_text())["tiny"] for folder in (run, again))
    assert found == tested and found["weights"]["checkpoint"] is None
    assert found["controls"].keys() == {"blind", "shuffled"} and found["metrics"]
    assert "tiny, 8 answers" in capsys.readouterr().out


@pytest.fixture(autouse=True)
def without_java(monkeypatch):
    """METEOR takes ten seconds to start, and has tests of its own."""
    monkeypatch.setattr(coco_tools, "java_folder", lambda: None)


def caption(number: int, text: str) -> Prediction:
    fields = {"id": str(number), "source": "coco_captions"}
    return Prediction(Row(f"coco_captions-{number}:0", "caption", Level.IMAGE, "Describe.", ("a dog",), **fields), text)


def test_parts_of_a_set_are_put_together_and_files_for_submission_written(tmp_path, capsys):
    for part in (1, 2):
        write_results(tmp_path / str(part), {"captions": {"": [caption(part, "a dog")]}})
    main([str(tmp_path / "1"), str(tmp_path / "2" / "predictions" / "captions.jsonl"), "--out", str(tmp_path / "both")])
    assert json.loads((tmp_path / "both/results.json").read_text())["captions"]["items"]["image/caption_cider"] == 2
    captions = [{"image_id": number, "caption": "a dog"} for number in (1, 2)]
    assert json.loads((tmp_path / "both/submissions/captions/captions.json").read_text()) == captions


def test_weights_and_benchmark_stay_with_the_answers_that_they_belong_to(tmp_path, capsys):
    asked = {**benchmark("coco").described(), "split": "test"}
    told = {name: {"weights": {"sha256": name}, "benchmark": asked} for name in ("one", "other")}
    for name in ("one", "other"):
        write_results(tmp_path / name, {name: {"": [caption(1, "a dog")], "blind": [caption(1, "a cat")]}}, {name: told[name]})
    main([str(tmp_path / "one"), str(tmp_path / "other"), "--out", str(tmp_path / "both")])
    both = json.loads((tmp_path / "both/results.json").read_text())
    assert {name: {what: both[name][what] for what in told[name]} for name in told} == told
    assert capsys.readouterr().out.count("coco 1, split test") == 2


def test_nothing_is_told_of_answers_that_results_are_not_of(tmp_path):
    for part in (1, 2):
        write_results(
            tmp_path / str(part), {"captions": {"": [caption(part, "a dog")]}}, {"captions": {"weights": {"sha256": "a"}}}
        )
    write_predictions(tmp_path / "1/predictions/captions.jsonl", [caption(1, "written by another model")])
    main([str(tmp_path / "1"), "--out", str(tmp_path / "later")])
    main([str(tmp_path / "1"), str(tmp_path / "2"), "--out", str(tmp_path / "both")])
    for folder in ("later", "both"):
        assert "weights" not in json.loads((tmp_path / folder / "results.json").read_text())["captions"]


def test_without_out_nothing_is_written(tmp_path, capsys):
    write_results(tmp_path, {"captions": {"": [caption(1, "a dog")]}})
    before = sorted(tmp_path.rglob("*"))
    main([str(tmp_path / "predictions")])
    assert "image/caption_rouge_l" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_set_that_is_called_like_a_control_is_a_set(tmp_path):
    answers = {"": [caption(1, "a dog")], "blind": [caption(1, "a cat")], "without_1": [caption(1, "it")]}
    write_results(tmp_path, {"mine": answers, "people_blind": {"": [caption(1, "a man")]}})
    found = read_answers(prediction_files([tmp_path]))
    assert found == {"mine": answers, "people_blind": {"": [caption(1, "a man")]}}


def test_results_of_a_test_are_not_written_over(tmp_path):
    write_results(tmp_path, {"captions": {"": [caption(1, "a dog")]}})
    with pytest.raises(ConfigurationError, match="not written over"):
        main([str(tmp_path), "--out", str(tmp_path)])


@pytest.mark.parametrize(("path", "found"), [("gone.jsonl", "no file"), ("empty", "no predictions in it")])
def test_a_path_without_predictions_is_told(path, found, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=found):
        main([str(tmp_path / path)])
