import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from tests.callbacks.logged import csv_rows
from tests.tiny_model import fit_arguments, prepare, write_tiny_shards
from triscope.app.answerer import Answerer
from triscope.cli import main
from triscope.data.sample import Level


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """The frozen base of a tiny model, and shards beside it."""
    folder = prepare(tmp_path_factory.mktemp("base"))
    write_tiny_shards(folder / "shards", count=5)
    return folder


@pytest.fixture(scope="module")
def run_folder(base) -> Path:
    """A finished run of 4 steps with a checkpoint after the second."""
    run = base / "run"
    keep = ("--checkpoint.every_n_train_steps", "2", "--checkpoint.save_top_k", "-1", "--run.wandb", "disabled")
    main(fit_arguments(base, str(base / "shards"), run, *keep))
    return run


def losses(folder: Path) -> list[float]:
    return [row["train/loss"] for row in csv_rows(folder) if "train/loss" in row]


def refused(arguments: list[str]) -> str:
    """What a command that ends with an error says as its last words."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code not in (0, None)
    return str(end.value.code)


# Where parts come from --------------------------------------------------------------------------------------------------


def test_a_checkpoint_that_holds_the_warm_started_parts_is_tested_and_talked_to_without_their_source(base, run_folder, tmp_path):
    """The first run of a chain can be thrown away, though the second one's configuration still names it."""
    started, second = tmp_path / "started", tmp_path / "second"
    shutil.copytree(run_folder, started)
    warm_start = json.dumps([{"checkpoint": str(started), "parts": ["qformer", "adapter_image"]}])
    more = ("--run.wandb", "disabled", "--model.init_args.warm_start", warm_start)
    main(fit_arguments(base, str(base / "shards"), second, *more))
    model = ["-c", str(second / "config.yaml"), "--ckpt_path", str(second / "checkpoints" / "last.ckpt")]
    main(["test", *model, "--data.controls", "false"])
    before = json.loads((second / "results.json").read_text())["tiny"]
    shutil.rmtree(started)
    main(["test", *model, "--data.controls", "false"])
    assert json.loads((second / "results.json").read_text())["tiny"] == before
    assert before["weights"]["warm_start"] == {}
    assert Answerer.open(model).stage.origin["qformer"] == str(second / "checkpoints" / "last.ckpt")
    assert "checkpoint" in refused(["test", *model[:2], "--data.controls", "false"])  # nothing else holds them


# Nothing half-written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (("--data.train", '{"nowhere": 1}'), "nowhere"),
        (("--model.init_args.warm_start", '[{"checkpoint": "nowhere.ckpt", "parts": ["qformer"]}]'), r"nowhere\.ckpt"),
        (("--data.prompt_style.max_prompt_tokens", "1"), r"found .*none of the 5 samples can be used.*max_prompt_tokens"),
        (("--model.init_args.model.init_args.vision.init_args.cache_folder", "None"), "found None; expected null"),
    ],
    ids=["missing shards", "missing checkpoint", "prompts that are too long", "None, which would be a folder's name"],
)
def test_a_fit_that_cannot_start_leaves_nothing_behind(base, tmp_path, mistake, told):
    arguments = fit_arguments(base, str(base / "shards"), tmp_path / "run")
    assert re.search(told, refused([*arguments, *mistake]))
    assert not (tmp_path / "run").exists()
    main(arguments)
    assert (tmp_path / "run" / "config.yaml").exists()


# Help -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]], ids=str)
def test_help_shows_a_command_line_for_everything_that_can_be_done(arguments, capsys):
    main(arguments)
    text = capsys.readouterr().out
    for command in ("fit", "validate", "test", "predict", "compare", "demo", "report", "import", "export"):
        assert f"  triscope {command} " in text
    assert "-c conf/recipe/lion_2_region.yaml" in text and "(resume)" in text


def test_every_command_of_the_help_exists(capsys):
    main([])
    commands = {line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("  triscope ")}
    for command in commands:
        with pytest.raises(SystemExit) as end:
            main([command, "--help"])
        assert end.value.code in (0, None), command
        assert "usage" in capsys.readouterr().out.lower(), command


@pytest.mark.parametrize("key", ["vision.init_args.cache_folder", "language.init_args.lora", "question_tokenizer"])
def test_null_reaches_a_part_of_a_part(key, capsys):
    recipe = ["-c", "conf/recipe/lion_joint.yaml", "--model.init_args.model", "conf/model/lion_micro.yaml"]
    with pytest.raises(SystemExit):
        main(["fit", *recipe, f"--model.init_args.model.init_args.{key}", "null", "--print_config"])
    printed = capsys.readouterr().out
    assert f" {key.rpartition('.')[2]}: null\n" in printed and "None" not in printed


@pytest.mark.parametrize("told", [["--picture", "a.jpg"], ["--picture=a.jpg"], ["--question", "What?"], ["--question=What?"]])
def test_a_picture_or_a_question_asks_for_the_help_of_questions(told, capsys):
    with pytest.raises(SystemExit):
        main(["predict", *told, "--help"])
    assert "asked about every picture" in capsys.readouterr().out


@pytest.mark.parametrize(("command", "options"), [("predict", ("--picture", "--question")), ("fit", ("--plan",))])
def test_the_help_of_a_command_names_what_it_does_beside_lightning(command, options, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    help_text = capsys.readouterr().out
    assert all(f"{option} " in help_text for option in options)


def test_a_report_that_cannot_be_written_is_told_without_a_stack_trace(run_folder, tmp_path):
    (tmp_path / "file").touch()
    message = refused(["report", str(run_folder), "--out", str(tmp_path / "file" / "report.html")])
    assert f"triscope report: {tmp_path}/file" in message and "Errno" not in message


def test_an_unknown_command_is_named(capsys):
    assert "unknown command 'train'" in refused(["train"])
    assert "triscope fit" in capsys.readouterr().out


# What bad input gets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mistake", "told", "remedy"),
    [
        (("max_steps", "-5"), "`max_steps` must be a non-negative integer", "Correct the trainer's arguments."),
        (("accelerator", "abacus"), "You selected an invalid accelerator name", "`triscope doctor` tells what is here."),
        (("strategy", "abacus"), "You selected an invalid strategy name", "Correct the trainer's arguments."),
        (("overfit_batches", "-1"), "You have passed invalid value -1", "Correct the trainer's arguments."),
    ],
    ids=lambda told: told[0] if isinstance(told, tuple) else "",
)
def test_what_the_trainer_refuses_is_told_without_a_stack_trace_and_leaves_nothing_behind(base, tmp_path, mistake, told, remedy):
    key, value = mistake
    message = refused(fit_arguments(base, str(base / "shards"), tmp_path / "runs" / "mine", f"--trainer.{key}", value))
    assert message.startswith(f"triscope fit: trainer: found {told}") and message.endswith(remedy)
    assert not (tmp_path / "runs").exists()


def test_a_run_whose_folder_cannot_be_made_is_refused(base, tmp_path):
    (tmp_path / "file").touch()
    message = refused(fit_arguments(base, str(base / "shards"), tmp_path / "file" / "run"))
    assert f"run.folder {tmp_path}/file/run: found" in message and "choose another --run.folder" in message.lower()


def test_a_checkpoint_that_is_not_there_is_told_before_a_model_is_built(run_folder, tmp_path):
    nowhere, run = tmp_path / "nowhere.ckpt", tmp_path / "run"
    message = refused(["test", "-c", str(run_folder / "config.yaml"), "--ckpt_path", str(nowhere), "--run.folder", str(run)])
    assert f"checkpoint {nowhere}: found no such file" in message and not run.exists()


def test_a_folder_that_holds_a_run_is_not_written_over(base, run_folder):
    before = {file: file.stat().st_mtime_ns for file in run_folder.rglob("*") if file.is_file()}
    message = refused(fit_arguments(base, str(base / "shards"), run_folder))
    assert f"triscope fit: run.folder {run_folder}: found a run" in message
    assert f"--ckpt_path {run_folder}/checkpoints/last.ckpt" in message
    assert {file: file.stat().st_mtime_ns for file in run_folder.rglob("*") if file.is_file()} == before


def test_a_folder_whose_run_stopped_before_its_first_checkpoint_is_told_to_be_removed(base, tmp_path):
    (tmp_path / "config.yaml").touch()
    message = refused(fit_arguments(base, str(base / "shards"), tmp_path))
    assert "choose another --run.folder, or remove that one: it has no checkpoint to go on from" in message.lower()


def test_data_of_the_wrong_level_ends_with_a_message_and_no_stack_trace(base, tmp_path):
    shards = write_tiny_shards(tmp_path / "shards", levels=[Level.REGION])
    image_stage = ("--model.class_path", "triscope.stages.ImageLevelStage", "--run.wandb", "disabled")
    message = refused(fit_arguments(base, shards, tmp_path / "run", *image_stage))
    assert message.startswith("triscope fit: ") and shards in message and "image" in message
    assert not (tmp_path / "run").exists()


def test_a_test_that_cannot_start_leaves_the_run_as_it_was(base, run_folder):
    before = sorted(run_folder.rglob("*"))
    tested = ["test", "-c", str(run_folder / "config.yaml"), "--ckpt_path", str(run_folder / "checkpoints" / "last.ckpt")]
    for wandb in ("disabled", "offline"):
        assert "nowhere" in refused([*tested, "--run.wandb", wandb, "--data.test", '{"x": "nowhere"}'])
        assert sorted(run_folder.rglob("*")) == before


def test_a_checkpoint_that_would_run_a_program_is_not_opened(base, run_folder, tmp_path):
    class Stranger:
        def __reduce__(self):
            return (Path(tmp_path / "owned").touch, ())

    checkpoint = torch.load(run_folder / "checkpoints" / "last.ckpt", weights_only=True)
    torch.save(checkpoint | {"stranger": Stranger()}, tmp_path / "strange.ckpt")
    evaluate = ["validate", "-c", str(run_folder / "config.yaml"), "--ckpt_path", str(tmp_path / "strange.ckpt")]
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        main(evaluate)
    assert not (tmp_path / "owned").exists()


# A run's life ---------------------------------------------------------------------------------------------------------


def test_resuming_goes_on_with_the_same_losses_behind_what_was_written(base, run_folder, tmp_path):
    (after_two,) = run_folder.glob("checkpoints/*step=2.ckpt")
    straight = losses(run_folder)
    assert len(straight) == 4
    resume = ("--ckpt_path", str(after_two), "--run.wandb", "disabled")
    run = tmp_path / "run"
    run.mkdir()
    written = (run_folder / "metrics.csv").read_text()
    (run / "metrics.csv").write_text(written)
    main(fit_arguments(base, str(base / "shards"), run, *resume))
    assert losses(run) == straight + straight[2:]


@pytest.mark.parametrize(
    "option", [("enable_progress_bar", "false"), ("callbacks", "lightning.pytorch.callbacks.RichProgressBar")]
)
def test_no_bar_of_ours_is_drawn_where_none_or_another_is_asked_for(base, tmp_path, capsys, option):
    key, value = option
    more = ("--run.wandb", "disabled", f"--trainer.{key}", value)
    main(fit_arguments(base, str(base / "shards"), tmp_path / "run", *more))
    assert len(losses(tmp_path / "run")) == 4
    told = capsys.readouterr()
    assert "Training: " not in told.out + told.err


def test_a_run_is_tested_from_its_own_configuration_and_its_curves_are_left_alone(run_folder, capsys):
    curves = (run_folder / "metrics.csv").read_text()
    main(["test", "-c", str(run_folder / "config.yaml"), "--ckpt_path", str(run_folder / "checkpoints" / "last.ckpt")])
    assert (run_folder / "metrics.csv").read_text() == curves
    assert (run_folder / "results.json").is_file()
    assert "image/vqa_acc" in capsys.readouterr().out
