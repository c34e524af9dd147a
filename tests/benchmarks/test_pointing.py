import json
from dataclasses import replace

from benchmarks.pointing import arms, main
from tests.data.tiny import ask, sample, write_shards
from tests.tiny_model import IMAGE_SIZE, prepare, write_model_file
from triscope.data.boxes import Box, BoxSpace
from triscope.data.sample import Level


def test_every_arm_is_trained_and_tested_from_one_naming(tmp_path, capsys):
    base = prepare(tmp_path / "base")
    box = Box(4, 3, 20, 24, BoxSpace.PIXELS)
    asked = [
        ask(("What is <region:1>?", "the dog"), task="recognition", level=Level.REGION),
        ask(("Where is the dog?", "<region:1>"), task="pointing", level=Level.REGION),
    ]
    shown = {"objects": [{"name": "dog", "box": [0.1, 0.1, 0.5, 0.8]}]}
    for split in ("train", "val", "test"):
        samples = [replace(sample(f"{split}{number}", asked, boxes=[box]), extra=shown) for number in range(4)]
        write_shards(tmp_path / "data" / split, samples)
    main(
        [
            *("--out", str(tmp_path / "out"), "--model", write_model_file(base), "--data", str(tmp_path / "data")),
            *("--steps", "2", "--naming_steps", "2", "--data.samples_per_batch", "2", "--seeds", "0"),
            *("--data.image_size", str(IMAGE_SIZE), "--data.workers", "0", "--model.init_args.generation.max_new_tokens", "3"),
        ]
    )
    names = [arm.name for arm in arms(())]
    assert f"| score | {' | '.join(names)} |" in capsys.readouterr().out
    scores = json.loads((tmp_path / "out" / "arms.json").read_text())["scores"]
    assert set(scores["scenes: region/pointing_acc@0.5"]) == set(names)
    assert "region/recognition_acc" in (tmp_path / "out" / "named_lora-0" / "results.json").read_text()
    config = (tmp_path / "out" / "plain-0" / "config.yaml").read_text()
    assert "warm_start: null" in config
