"""What lies under weights/: the released parts answer whoever types the command, and all of it stays small."""

import os
import re
import subprocess
import sys

import pytest
from PIL import Image

from data_pipelines.scenes.samples import scene_samples
from tests.conftest import REPOSITORY

MOST_BYTES = 20_000_000


def test_the_released_parts_name_a_thing_of_a_scene_and_point_into_it(tmp_path):
    ((scene, (picture,)),) = scene_samples(seed=7, split="test", start=1, count=1)
    (tmp_path / "scene.jpg").write_bytes(picture)
    thing, *_ = names = [thing["name"] for thing in scene.extra["objects"]]
    asked = ["--question", "Write a short caption.", "--question", f"Where is the {thing}?"]
    command = [sys.executable, "-m", "triscope.cli", "predict", "--picture", str(tmp_path / "scene.jpg"), *asked]
    command += ["--draw", str(tmp_path / "drawn.png")]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=one_thread, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), "nothing stands beside the answers"
    told, caption, place = done.stdout.splitlines()
    assert "scene.jpg: 224x224, " in told
    assert any(name in caption.partition(" -> ")[2] for name in names), caption
    said = re.fullmatch(rf"Where is the {thing}\? -> \[\w+,\w+\], box (\d+),(\d+),(\d+),(\d+) \(pixels of 224x224\)", place)
    assert said is not None, place
    x1, y1, x2, y2 = map(int, said.groups())
    assert 0 <= x1 < x2 <= 224 and 0 <= y1 < y2 <= 224
    assert Image.open(tmp_path / "drawn.png").getpixel((x1, y1)) == (255, 23, 68)


def test_all_weights_of_the_repository_are_small():
    listed = subprocess.run(["git", "ls-files", "-z", "weights"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git, or no clone: which files belong to the repository is not known")
    sizes = {name: (REPOSITORY / name).stat().st_size for name in listed.stdout.split("\0") if name}
    assert "weights/lion_micro/parts.safetensors" in sizes and sum(sizes.values()) <= MOST_BYTES, sizes
