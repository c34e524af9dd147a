"""The README's section on one's own data, typed as it stands, on real photographs: files become shards, and three stages train.

The commands are the README's. Only what they train is made small: the model file that they name is replaced by one of the same
parts at tiny sizes, and two steps are taken.
"""

import contextlib
import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from data_pipelines.__main__ import main as data_pipelines
from data_pipelines.vocabulary import texts_of, write_untrained_language
from tests.conftest import REPOSITORY, shared
from tests.documents import blocks, commands, section
from triscope.checkpoints.slices import read_slice
from triscope.cli import main as triscope
from triscope.model import VisualLanguageModel

STEPS, IMAGE_SIZE, VOCABULARY = 2, 28, 320
TRAINED, KEPT_BACK = 6, 2  # pictures
SHORT = [
    *("--trainer.max_steps", str(STEPS), "--trainer.val_check_interval", str(STEPS), "--trainer.log_every_n_steps", "1"),
    *("--trainer.precision", "32-true", "--trainer.plugins", "null", "--run.wandb", "disabled"),
    *("--data.image_size", str(IMAGE_SIZE), "--data.workers", "0"),
    *("--data.samples_per_batch", "2", "--model.init_args.generation.max_new_tokens", "3"),
    *("--model.init_args.warmup_steps", "0", "--model.init_args.minimum_learning_rate", "0"),
]
LEARNING_RATE = {"lion_1_image": 1e-2, "lion_2_region": 1e-2, "lion_3_mixture": 1e-9}  # the last one shows what it took over
STAGES = {
    "lion_1_image": {"qformer", "adapter_image", "soft_prompt"},
    "lion_2_region": {"aggregator", "adapter_region", "soft_prompt"},
    "lion_3_mixture": {"qformer", "aggregator", "adapter_image", "adapter_region", "router", "soft_prompt"},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder like the repository's, in which all commands of the section have been run."""
    folder = tmp_path_factory.mktemp("home")
    write_own_files(shared("coco_sample"), folder / "mine")
    shutil.copytree(REPOSITORY / "conf", folder / "conf")
    text = section(REPOSITORY / "README.md", "Your own data")
    (own,) = blocks(text, "yaml")
    (folder / own.partition("\n")[0].removeprefix("# ")).write_text(own)
    with contextlib.chdir(folder):
        for words in commands(text):
            if words[1] == "fit":
                make_tiny(Path(yaml.safe_load(own)["model"]["init_args"]["model"]))
            run(words)
    return folder


def write_own_files(sample: Path, folder: Path) -> None:
    """What the README says a person has: photos, and annotations of those to train on and of those kept back."""
    folder.mkdir()
    (folder / "photos").symlink_to(sample / "images" / "train2017")
    captions = json.loads((sample / "annotations" / "captions.json").read_text())
    boxes = json.loads((sample / "annotations" / "instances.json").read_text())
    with_boxes = {annotation["image_id"] for annotation in boxes["annotations"]}
    chosen = [image["id"] for image in captions["images"] if image["id"] in with_boxes][: TRAINED + KEPT_BACK]
    for name, content in (("captions", captions), ("objects", boxes)):
        for split, pictures in (("train", chosen[:TRAINED]), ("val", chosen[TRAINED:])):
            annotations = [annotation for annotation in content["annotations"] if annotation["image_id"] in pictures]
            (folder / f"{name}_{split}.json").write_text(json.dumps({**content, "annotations": annotations}))


def make_tiny(file: Path) -> None:
    """Give every part of a model file a tiny size; its language model has only the words of the data."""
    if Path("language").exists():
        return
    texts = [text for name in ("captions", "objects") for text in texts_of(f"data/mine/{name}/train")]
    write_untrained_language(texts, "language", VOCABULARY, width=32, layers=2, heads=4, feed_forward_width=48)
    model = yaml.safe_load(file.read_text())
    parts = model["init_args"]
    parts["language"]["init_args"].update(path=str(Path("language").resolve()), dtype="float32", adapter_bottleneck=4)
    tower = {"embed_dim": 32, "depth": 3, "num_heads": 2}
    parts["vision"]["init_args"].update(tower_options=tower, weights=None, taps=[2, 1, 0], image_size=IMAGE_SIZE)
    parts["vision"]["init_args"].update(dtype="float32", cache_folder=None)
    parts["bridges"]["aggregator"]["init_args"].update(heads=2, feed_forward_width=16, projector_width=24)
    parts["bridges"]["qformer"]["init_args"].update(queries=3, layers=2, hidden_width=16, heads=2, feed_forward_width=24)
    parts["bridges"]["qformer"]["init_args"].update(vocabulary_size=VOCABULARY)
    file.write_text(yaml.safe_dump(model))


def run(words: list[str]) -> None:
    """A command in this process."""
    if words[:3] == ["python", "-m", "data_pipelines"]:
        one_process = ["--workers", "1"] if words[3] in ("convert", "lint") else []
        assert data_pipelines([*words[3:], *one_process]) == 0
    else:
        assert words[0] == "triscope"
        triscope([*words[1:], *(short(Path(words[3]).stem) if words[1] == "fit" else [])])


def short(recipe: str) -> list[str]:
    """What makes a fit short."""
    return [*SHORT, "--model.init_args.learning_rate", str(LEARNING_RATE[recipe])]


def metrics(home: Path, recipe: str) -> list[dict[str, str]]:
    """The lines of a run's metrics.csv."""
    return list(csv.DictReader((home / "runs" / recipe / "metrics.csv").open()))


def test_there_is_a_page_to_look_at_before_training_and_one_after(home):
    assert (home / "mine/preview.html").stat().st_size > 10_000
    report = (home / "mine/report.html").read_text()
    assert all(recipe in report for recipe in STAGES)


@pytest.mark.parametrize(("recipe", "parts"), STAGES.items(), ids=STAGES)
def test_a_stage_leaves_its_parts_the_table_and_the_losses(home, recipe, parts):
    state = read_slice(home / "runs" / recipe)
    assert {VisualLanguageModel.part_of(name) for name in state} == parts
    table = (home / "runs" / recipe / "parts.txt").read_text()
    assert {line.split()[0] for line in table.splitlines() if "| trained" in line} == parts
    losses = [float(line["train/loss"]) for line in metrics(home, recipe) if line["train/loss"]]
    assert len(losses) == STEPS and all(0 < loss < 20 for loss in losses)


@pytest.mark.parametrize(
    ("recipe", "tasks"),
    [("lion_1_image", {"caption"}), ("lion_2_region", {"pointing", "recognition"})],
    ids=["image level", "region level"],
)
def test_a_stage_learns_the_tasks_of_its_level(home, recipe, tasks):
    columns = metrics(home, recipe)[0]
    assert {name.removeprefix("train/loss_") for name in columns if name.startswith("train/loss_")} <= tasks
    assert {name.removeprefix("validation/loss_") for name in columns if name.startswith("validation/loss_")} == tasks


def test_the_last_stage_took_over_the_parts_of_the_first_two(home):
    image, region, mixture = (read_slice(home / "runs" / recipe) for recipe in STAGES)
    taken = {"qformer": image, "adapter_image": image, "soft_prompt": image, "aggregator": region, "adapter_region": region}
    for part, source in taken.items():
        names = [name for name in mixture if VisualLanguageModel.part_of(name) == part]
        assert names
        for name in names:
            torch.testing.assert_close(mixture[name], source[name], rtol=0, atol=1e-6)
    table = (home / "runs/lion_3_mixture/parts.txt").read_text()
    origin = {line.split()[0]: line.rpartition("|")[2].strip() for line in table.splitlines() if "| trained" in line}
    assert origin["qformer"] == "runs/lion_1_image" and origin["aggregator"] == "runs/lion_2_region"


def test_the_test_writes_scores_with_controls_and_every_answer(home):
    run_folder = home / "runs/lion_3_mixture"
    results = json.loads((run_folder / "results.json").read_text())
    assert results.keys() == {"captions", "objects"}
    assert "image/caption_cider" in results["captions"]["metrics"]
    assert {"region/recognition_acc", "region/pointing_acc@0.5"} <= results["objects"]["metrics"].keys()
    assert results["objects"]["controls"].keys() == {"blind", "shuffled"}
    answers = (run_folder / "predictions/captions.jsonl").read_text().splitlines()
    assert len(answers) == KEPT_BACK
