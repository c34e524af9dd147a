import json
from dataclasses import replace

from benchmarks.region_tokens import ARMS, main
from tests.data.tiny import ask, sample, write_shards
from tests.tiny_model import IMAGE_SIZE, prepare, write_model_file
from triscope.data.boxes import Box, BoxSpace
from triscope.data.sample import Level


def test_every_arm_is_trained_and_tested_with_every_seed_and_nothing_is_done_twice(tmp_path, capsys):
    base = prepare(tmp_path / "base")
    box = Box(4, 3, 20, 24, BoxSpace.PIXELS)
    asked = [ask(("What is <region:1>?", "the dog"), task="recognition", level=Level.REGION)]
    shown = {"objects": [{"name": "dog", "box": [0.1, 0.1, 0.5, 0.8]}]}
    for split in ("train", "val", "test"):
        samples = [replace(sample(f"{split}{number}", asked, boxes=[box]), extra=shown) for number in range(4)]
        write_shards(tmp_path / "data" / split, samples)
    command = [
        *("--out", str(tmp_path / "out"), "--model", write_model_file(base, "pvit"), "--data", str(tmp_path / "data")),
        *("--steps", "2", "--naming_steps", "2", "--data.samples_per_batch", "2", "--seeds", "0", "1"),
        *("--data.image_size", str(IMAGE_SIZE), "--data.workers", "0", "--model.init_args.generation.max_new_tokens", "3"),
    ]
    main(command)
    table = (tmp_path / "out" / "arms.md").read_text()
    assert table in capsys.readouterr().out
    assert "| score | tokens | coordinates | both |" in table and "| scenes: region/recognition_acc |" in table

    numbers = json.loads((tmp_path / "out" / "arms.json").read_text())
    assert numbers["seeds"] == [0, 1] and list(numbers["arms"]) == [arm.name for arm in ARMS]
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("*-*/results.json")}
    assert len(written) == len(ARMS) * 2

    main(command)
    assert written == {file: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("*-*/results.json")}
    assert numbers == json.loads((tmp_path / "out" / "arms.json").read_text())
