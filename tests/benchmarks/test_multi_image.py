"""The comparison of aligned with independent extraction, and the heat map of its layers, run from albums to table and picture."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from benchmarks.multi_image import TASKS, all_depths, main
from tests.conftest import REPOSITORY
from tests.data.tiny import ask, sample, write_shards
from tests.tiny_model import IMAGE_SIZE, prepare, write_model_file
from triscope.checkpoints.slices import read_slice


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of a short run over tiny albums."""
    monkeypatch.chdir(REPOSITORY)
    base = prepare(tmp_path / "base")
    asked = [ask(("<image:1> <image:2> What is this?", "the dog"), task=task) for task in TASKS]
    shown = {"objects": [{"image": number, "name": "dog", "box": [0.1, 0.1, 0.5, 0.8]} for number in range(2)]}
    for split in ("train", "val", "test"):
        samples = [replace(sample(f"{split}{number}", asked, images=2), extra=shown) for number in range(2)]
        write_shards(tmp_path / "data" / split, samples)
    return [
        *("--out", str(tmp_path / "out"), "--model", write_model_file(base, "sam"), "--data", str(tmp_path / "data")),
        *("--steps", "1", "--naming_steps", "1", "--seeds", "0"),
        *("--data.image_size", str(IMAGE_SIZE), "--data.samples_per_batch", "2"),
        *("--data.workers", "0", "--model.init_args.generation.max_new_tokens", "2"),
        *("--trainer.precision", "32-true", "--trainer.plugins", "null"),
    ]


def test_the_arms_differ_in_the_alignment_alone(command, tmp_path, capsys):
    main([*command, "--json"])
    numbers = json.loads(capsys.readouterr().out[-len((tmp_path / "out" / "arms.json").read_text()) - 1 :])
    assert list(numbers["arms"]) == ["aligned", "independent"]
    assert "scenes: image/shared_element_acc" in numbers["scores"]
    aligned, independent = (set(read_slice(tmp_path / "out" / f"{arm}-0")) for arm in numbers["arms"])
    assert independent < aligned and all(".alignment." in name for name in aligned - independent)


def test_a_heat_map_has_a_field_for_every_l_and_k(command, tmp_path):
    main([*command, "--heat_map"])
    folder = tmp_path / "out" / "heat_map"
    model = yaml.safe_load((folder / "l1_k2.yaml").read_text())
    assert all_depths(model) == [(1, 1), (1, 2), (2, 2)]
    assert list(json.loads((folder / "arms.json").read_text())["arms"]) == ["l1_k1", "l1_k2", "l2_k2"]
    assert "<svg" in (folder / "heat_map.svg").read_text()
    assert (folder / "heat_map.png").stat().st_size > 1000
