"""`triscope test --data conf/data/eval_*.yaml`: published files become shards, and a checkpoint is measured on what is there."""

import json
from pathlib import Path

import pytest

from data_pipelines.__main__ import main as data_pipelines
from tests.conftest import REPOSITORY
from tests.data_pipelines.sources.published import lines, photo, written
from tests.tiny_model import STYLE, fit_arguments, prepare, write_tiny_shards
from triscope.cli import main
from triscope.data.folder import sha256_of
from triscope.evaluation.benchmarks import benchmark
from triscope.evaluation.predictions import read_predictions

EVAL_IMAGE, EVAL_REGION, EVAL_IMAGES = (
    REPOSITORY / "conf" / "data" / f"eval_{name}.yaml" for name in ("image", "region", "images")
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Where commands are typed: a run of a few steps with its checkpoint, and published files of some benchmarks."""
    folder = prepare(tmp_path_factory.mktemp("place"))
    main(fit_arguments(folder, write_tiny_shards(folder / "shards"), folder / "run", "--run.wandb", "disabled"))
    for number in range(3):
        photo(folder / "photos" / f"{number:012d}.jpg", color=("gray", "red", "blue")[number])
    photo(folder / "photos" / "VisualDialog_val2018_000000000001.jpg")
    statements = [
        {"image": f"{number:012d}.jpg", "caption": f"The dog is left of the cat {number}", "label": number % 2}
        for number in range(3)
    ]
    lines(folder / "test.jsonl", statements)
    chosen = {"split": "val", "image_id": 1, "question_id": "q", "question": "What is this?", "choices": ["dog", "the cat"]}
    written(folder / "aokvqa.json", [chosen | {"correct_choice_idx": 1, "direct_answers": ["cat"] * 10}])
    rounds = [{"question": 0, "answer": 1, "gt_index": 2, "answer_options": [0, 2, 1]}]
    dialogue = {"image_id": 1, "caption": "a dog and a cat", "dialog": rounds}
    content = {"questions": ["is it the dog"], "answers": ["no", "yes", "the dog and the cat"], "dialogs": [dialogue]}
    written(folder / "visdial.json", {"version": "1.0", "split": "val2018", "data": content})
    written(folder / "dense.json", [{"image_id": 1, "round_id": 1, "gt_relevance": [0.0, 0.4, 1.0]}])
    for source, files, shards in (
        ("vsr", ["--annotations", folder / "test.jsonl"], "vsr/test"),
        ("a_okvqa", ["--annotations", folder / "aokvqa.json"], "a_okvqa/val"),
        ("visdial", ["--annotations", folder / "visdial.json", "--relevance", folder / "dense.json"], "visdial/val"),
    ):
        images = ["--images", folder / "photos", "--workers", "1", "--out", folder / "data" / shards]
        assert data_pipelines(["convert", source, *map(str, (*files, *images))]) == 0
    return folder


def evaluate(place: Path, data: Path, *more: str) -> list[str]:
    run = place / "run"
    return [
        *("test", "-c", str(run / "config.yaml"), "--data", str(data)),
        *("--ckpt_path", str(run / "checkpoints" / "last.ckpt"), *more),
    ]


@pytest.fixture(scope="module")
def tested(place) -> Path:
    """The run's folder, after the test of what is there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        main(evaluate(place, EVAL_IMAGE, "--data.skip_missing", "true"))
    return place / "run"


def test_a_result_says_how_its_benchmark_was_asked_answered_and_read(tested):
    results = json.loads((tested / "results.json").read_text())
    assert results.keys() == {"vsr", "a_okvqa_direct", "a_okvqa_choice", "visdial"}
    told = results["vsr"]["benchmark"]
    style = told.pop("prompt_style")
    assert told == {**benchmark("vsr").described(), "split": "test", "shards": "data/vsr/test"}
    assert (style["turn"], style["max_prompt_tokens"]) == (STYLE.turn, 2048)  # of the run, and of the data file
    assert results["a_okvqa_direct"]["benchmark"]["decoding"]["length_penalty"] == -1.0
    checkpoint = tested / "checkpoints" / "last.ckpt"
    assert results["vsr"]["weights"] == {"checkpoint": str(checkpoint), "sha256": sha256_of(checkpoint), "warm_start": {}}
    assert results["vsr"]["items"] == {"image/statement_acc": 3}
    assert {"image/dialogue_mrr", "image/dialogue_recall@10", "image/dialogue_ndcg"} <= set(results["visdial"]["metrics"])
    # The other task of the same shards is not asked.
    assert set(results["a_okvqa_direct"]["metrics"]) == {"image/direct_answer_acc"}


def test_predictions_hold_the_words_of_the_benchmark_and_its_version(tested):
    for prediction in read_predictions(tested / "predictions" / "vsr.jsonl"):
        assert prediction.row.prompt.startswith('Is this true of the image? "The dog is left of the cat')
        assert prediction.benchmark == "vsr 1"
        assert prediction.text in ("yes", "no") and len(prediction.log_likelihoods) == 2
    (chosen,) = read_predictions(tested / "predictions" / "a_okvqa_choice.jsonl")
    assert chosen.row.prompt == "What is this? Choose from: (A) dog (B) the cat."
    (free,) = read_predictions(tested / "predictions" / "a_okvqa_direct.jsonl")
    assert free.text == free.written.lower().rstrip(".").strip() and free.log_likelihoods == ()


def test_shards_that_are_missing_are_told_with_the_commands_that_make_them(place, monkeypatch):
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit) as end:
        main(evaluate(place, EVAL_IMAGE))
    message = str(end.value.code)
    assert "data.test: found no shards for flickr30k, coco, textcaps" in message and "vsr," not in message
    command = "convert pope --annotations coco_pope_popular.json --images val2014 --out data/pope/popular"
    assert f"\n  python -m data_pipelines {command}\n" in message and "--data.skip_missing true" in message


@pytest.mark.parametrize(("data", "first"), [(EVAL_REGION, "refcoco_val"), (EVAL_IMAGES, "aesop")], ids=["region", "images"])
def test_with_nothing_there_there_is_nothing_to_skip(place, monkeypatch, data, first):
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit) as end:
        main(evaluate(place, data, "--data.skip_missing", "true"))
    assert f"no shards for {first}, " in str(end.value.code)


def test_what_is_skipped_is_named(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    one_there = json.dumps(
        {
            "here": {"shards": "data/vsr/test", "benchmark": "vsr"},
            "gone": {"shards": "data/nowhere", "benchmark": "gqa"},
        }
    )
    main(evaluate(place, EVAL_IMAGE, "--data.test", one_there, "--data.skip_missing", "true", "--run.folder", "other"))
    assert "Left out, as their shards are not there: gone" in capsys.readouterr().out
    assert json.loads(Path("other/results.json").read_text()).keys() == {"here"}


def test_a_benchmark_of_a_task_that_the_shards_do_not_hold_is_refused(place, monkeypatch):
    monkeypatch.chdir(place)
    other = json.dumps({"vsr": {"shards": "data/vsr/test", "benchmark": "gqa"}})
    with pytest.raises(SystemExit) as end:
        main(evaluate(place, EVAL_IMAGE, "--data.test", other, "--run.folder", "third"))
    assert "found tasks statement; expected exact_question, which the benchmark asks" in str(end.value.code)
