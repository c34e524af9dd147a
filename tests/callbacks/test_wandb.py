"""The offline W&B run is read back: what was promised to be logged was logged."""

import json

import wandb
from PIL import Image

from tests.callbacks.logged import csv_rows, wandb_config, wandb_history
from triscope.callbacks.charts import chart_name
from triscope.cli import main
from triscope.version import CODE_FILE, code_version

EVERY_STEP = {
    "train/loss",
    "learning/gradient_norm",
    "speed/rows_per_second",
    "speed/images_per_second",
    "speed/tokens_per_second",
    "speed/data_wait_share",
    "speed/peak_memory_gib",
    "data/dropped_samples",
}


def test_losses_speed_and_health_are_logged_at_every_step(run_folder):
    steps = [row for row in wandb_history(run_folder) if "train/loss" in row]
    assert [row["trainer/global_step"] for row in steps] == [0, 1, 2, 3]
    assert all(row.keys() >= EVERY_STEP for row in steps)
    tasks = {name for row in steps for name in row if name.startswith("train/loss_")}
    assert tasks == {"train/loss_vqa", "train/loss_pointing"}


def test_the_learning_rate_of_every_group_is_logged(run_folder):
    history = wandb_history(run_folder)
    groups = {name for row in history for name in row if name.startswith("learning/rate")}
    assert len(groups) == 2 and all("adapter_region" in name and "decay" in name for name in groups)
    for name in groups:  # the warm-up of conf/recipe/on_scenes.yaml: 50 steps to 1e-3
        assert [round(row[name], 9) for row in history if name in row] == [2e-5, 4e-5, 6e-5, 8e-5]


def test_each_validation_is_logged_with_scores_and_pictures(run_folder):
    history = wandb_history(run_folder)
    validations = [row for row in history if "validation/loss" in row]
    assert len(validations) == 2
    assert all({"quality image vqa/acc", "quality region pointing/acc@0.5"} <= row.keys() for row in validations)
    (media,) = run_folder.glob("wandb/offline-run-*/files")
    for name in ("board", "routing"):
        logged = [row for row in history if any(key.startswith(f"pictures/{name}") for key in row)]
        assert len(logged) == 2, name
        pictures = sorted(media.glob(f"media/images/pictures/{name}_*.png"))
        assert len(pictures) == 2
        on_disk = sorted((run_folder / "pictures" / name).glob("*.png"))
        assert [file.name for file in on_disk] == ["step_000002.png", "step_000004.png"]
        assert Image.open(pictures[0]).size == Image.open(on_disk[0]).size


def test_what_the_adapters_weigh_is_a_curve(run_folder):
    weighed = [row for row in wandb_history(run_folder) if any(name.startswith("routing/") and "rows" in name for name in row)]
    assert [row["trainer/global_step"] for row in weighed] == [1, 3]
    levels = ("region", "image")
    assert all(row.keys() >= {f"routing/{level} rows, {name} adapter" for level in levels for name in levels} for row in weighed)
    assert all(row["routing/image rows, image adapter"] > 0.5 > row["routing/image rows, region adapter"] for row in weighed)


def test_the_csv_file_says_the_same(run_folder):
    def losses(rows: list[dict]) -> list[float]:
        return [row["train/loss"] for row in rows if "train/loss" in row]

    assert losses(csv_rows(run_folder)) == losses(wandb_history(run_folder))


def test_charts_are_grouped_by_what_stands_before_the_first_slash(run_folder):
    groups = {name.partition("/")[0] for row in wandb_history(run_folder) for name in row if "/" in name}
    quality = {"quality image vqa", "quality region pointing"}
    watched = {"learning", "train", "validation", "data", "speed", "routing", "pictures", "parts", "answers", "trainer"}
    assert groups == watched | quality
    assert chart_name("validation/mine/image/yes_no_acc") == "quality mine image yes_no/acc"
    assert chart_name("validation/loss_vqa") == "validation/loss_vqa"


def test_a_run_is_finished_so_that_the_next_one_is_another(run_folder):
    assert wandb.run is None


def table(folder, name: str) -> dict:
    """A logged table, the last of its name."""
    (media,) = folder.glob("wandb/offline-run-*/files")
    files = sorted(media.glob(f"media/table/{name}_*.table.json"), key=lambda file: int(file.name.split("_")[1]))
    return json.loads(files[-1].read_text())


def test_parts_and_data_are_tables(run_folder):
    parts, sets = table(run_folder, "parts/table"), table(run_folder, "data/sets")
    assert parts["columns"][:2] == ["part", "state"]
    assert {row[0] for row in parts["data"] if row[1] == "trained"} >= {"qformer", "aggregator", "router"}
    by_split = {(row[0], row[2], row[4]) for row in sets["data"]}
    assert ("validation", 4, 8) in by_split and all(len(row[-1]) == 64 for row in sets["data"])


def test_the_answers_of_a_validation_can_be_searched(run_folder):
    answers = table(run_folder, "answers/validation")
    assert answers["columns"] == ["set", "task", "level", "question", "said", "true", "is the reference", "key"]
    assert {row[1] for row in answers["data"]} == {"vqa", "pointing"} and len(answers["data"]) == 8
    assert all(row[6] == (row[4] == row[5]) for row in answers["data"])


def test_the_answers_and_the_scores_of_a_test_are_tables(run_folder):
    last = run_folder / "checkpoints" / "last.ckpt"
    main(["test", "-c", str(run_folder / "config.yaml"), "--ckpt_path", str(last), "--run.folder", str(run_folder)])
    answers = table(run_folder / "test", "answers/test")
    assert {row[1] for row in answers["data"]} == {"vqa", "pointing"}
    written = [json.loads(line) for file in run_folder.glob("predictions/*.jsonl") for line in file.read_text().splitlines()]
    assert {row[7] for row in answers["data"]} <= {answer["key"] for answer in written}
    (of_set,) = json.loads((run_folder / "results.json").read_text()).values()
    scores = table(run_folder / "test", "scores/test")
    assert {row[1]: row[2] for row in scores["data"]} == of_set["metrics"]
    (vqa,) = (dict(zip(scores["columns"], row, strict=True)) for row in scores["data"] if row[1] == "image/vqa_acc")
    assert [vqa["low"], vqa["high"]] == of_set["intervals"]["image/vqa_acc"]
    assert vqa["blind"] == of_set["controls"]["blind"]["image/vqa_acc"] and vqa["learned"] in ("yes", "no")


def test_configuration_and_code_version_are_kept(run_folder):
    kept = wandb_config(run_folder)
    assert kept["code"] == json.loads((run_folder / CODE_FILE).read_text()) == code_version()
    assert kept["configuration"]["trainer"]["max_steps"] == 4
