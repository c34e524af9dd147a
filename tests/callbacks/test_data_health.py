import json
from types import SimpleNamespace

import pytest

from tests.callbacks.logged import csv_rows
from triscope.callbacks.data_health import DataHealth
from triscope.cli import main


def test_a_broken_picture_is_counted_and_named_once_with_the_reason(run_folder):
    (line,) = (run_folder / "dropped.txt").read_text().splitlines()
    assert line.startswith("rank 0, step ") and "broken" in line and "found" in line
    assert max(row.get("data/dropped_samples", 0) for row in csv_rows(run_folder)) == 1


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_what_an_evaluation_leaves_out_is_named_and_told(run_folder, tmp_path, caplog, command):
    key = "validation" if command == "validate" else command
    sets = json.dumps({"cut": str(run_folder.parent / "broken")})
    asked = ("--run.folder", str(tmp_path), "--run.wandb", "disabled", f"--data.{key}", sets)
    checkpoint = str(run_folder / "checkpoints" / "last.ckpt")
    main([command, "-c", str(run_folder / "config.yaml"), "--ckpt_path", checkpoint, *asked])
    (line,) = (tmp_path / "dropped.txt").read_text().splitlines()
    assert line.startswith("rank 0, ") and "broken" in line and "bytes that do not decode" in line
    assert sum("A sample is left out." in message for message in caplog.messages) == 1


def test_what_is_dropped_in_a_later_epoch_is_written_too_and_the_first_is_told_at_once(tmp_path, caplog):
    """The loader's list begins anew with each epoch, and may then be shorter than what was told."""
    health, logged = DataHealth(), {}
    stage = SimpleNamespace(log=lambda name, value, **_: logged.update({name: value}))
    for step, skipped in enumerate((["a: found x", "b: found y"], ["c: found z"]), start=1):
        loader = SimpleNamespace(skipped=skipped)
        trainer = SimpleNamespace(
            train_dataloader=loader, global_step=step, log_every_n_steps=1, default_root_dir=tmp_path, global_rank=0
        )
        health.on_train_batch_end(trainer, stage, None, None, 0)
    assert [line.split(": ", 1)[1] for line in (tmp_path / "dropped.txt").read_text().splitlines()] == [
        "a: found x",
        "b: found y",
        "c: found z",
    ]
    assert logged == {"data/dropped_samples": 1.0}
    (told,) = caplog.messages
    assert "a: found x" in told and str(tmp_path / "dropped.txt") in told
