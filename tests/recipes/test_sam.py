"""SAM's six test sets, from files in its authors' layout to the three files that their evaluation writes."""

import json
from pathlib import Path

import pytest

from data_pipelines.__main__ import main as pipelines
from tests.data_pipelines.sources.published import photo, written
from tests.tiny_model import fit_arguments, prepare
from triscope.cli import main

GROUP = ("group_caption", 5, "Name in one sentence what these pictures have in common.")
STORY = "Conclude the story with the last picture. "
SETS = {  # task, pictures of a sample, instruction
    "AESOP": ("story_end", 3, STORY + "{image#1}Caption#1: a dog. {image#2}Caption#2: a cat. {image#3}Caption#3:"),
    "VIST": ("story_end", 5, STORY + " ".join(f"{{image#{k}}}Caption#{k}: a dog." for k in range(1, 5)) + " {image#5}Caption#5:"),
    "DM800K": ("story_end", 3, "Write the caption of the last picture of this news story."),
    "Conceptual": GROUP,
    "Animal": GROUP,
    "Vehicle": GROUP,
}
SAMPLES = 3


def write_test_set(root: Path, name: str, pictures: int, instruction: str) -> list[dict]:
    """`ROOT/NAME/annotations.json` and the pictures that it names; its records."""
    records = []
    for number in range(SAMPLES):
        images = [f"images/{number}_{picture}.jpg" for picture in range(pictures)]
        for image in images:
            photo(root / name / image)
        output = f"The dog and the cat, {number}."
        records.append({"id": number, "img_list": images, "instruction": instruction, "output": output})
    written(root / name / "annotations.json", records)
    return records


@pytest.fixture(scope="module")
def tested(tmp_path_factory) -> tuple[Path, dict[str, list[dict]]]:
    """A run that was trained for a step and tested on all six sets, and the records of each."""
    base = prepare(tmp_path_factory.mktemp("base"))
    records, shards = {}, {}
    for name, (task, pictures, instruction) in SETS.items():
        records[name] = write_test_set(base / "data", name, pictures, instruction)
        shards[name] = str(base / "shards" / name)
        files = ["--annotations", str(base / "data" / name / "annotations.json"), "--images", str(base / "data" / name)]
        assert pipelines(["convert", "sam_test", *files, "--task", task, "--out", shards[name], "--workers", "1"]) == 0
    run = base / "run"
    more = ("--run.wandb", "disabled", "--trainer.max_steps", "1", "--model.init_args.warm_start", "null")
    long = ("--data.test", json.dumps(shards), "--data.prompt_style.max_prompt_tokens", "200")
    main(fit_arguments(base, shards["Animal"], run, *more, *long, recipe="sam_multi_image", system="sam"))
    main(["test", "-c", str(run / "config.yaml"), "--ckpt_path", str(run / "checkpoints" / "last.ckpt")])
    return run, records


@pytest.mark.parametrize("name", SETS)
def test_a_test_set_ends_in_the_three_files_of_the_authors(name, tested):
    run, records = tested
    folder = run / "predictions" / f"{name}_{SETS[name][0]}"
    said, scores, of_samples = (json.loads((folder / f"{file}.json").read_text()) for file in ("pred", "eval", "eval_score"))
    assert sorted(item["gt_response"] for item in said) == sorted(record["output"] for record in records[name])
    assert all(isinstance(item["pred_response"], str) for item in said)
    assert scores.keys() == {"rouge", "cider", "bleu4", "ptb_tokenizer"}
    assert [item["sample_id"] for item in of_samples] == [item["sample_id"] for item in said]
    assert scores["rouge"] == pytest.approx(sum(item["rouge"] for item in of_samples) / SAMPLES, abs=0.01)


def test_each_picture_s_worth_stands_beside_the_scores(tested):
    run, _ = tested
    results = json.loads((run / "results.json").read_text())
    assert results.keys() == SETS.keys()
    controls = {name: set(result["pictures"]) for name, result in results.items()}
    for name, (_, pictures, _) in SETS.items():
        assert controls[name] == {"reordered", "last_only", *(f"without_{number}" for number in range(1, pictures + 1))}
