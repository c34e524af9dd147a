import shutil

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.tiny_model import prepare, write_model_file
from triscope.cli import main


@pytest.fixture
def conf(tmp_path):
    """Recipes over a tiny model, in a file and inline; one over a language model that is nowhere; a file to be laid over them."""
    for folder in ("model", "recipe"):
        (tmp_path / "conf" / folder).mkdir(parents=True)
    shutil.copy(write_model_file(prepare(tmp_path)), tmp_path / "conf" / "model" / "tiny.yaml")
    text = (REPOSITORY / "conf" / "model" / "lion_4b.yaml").read_text()
    (tmp_path / "conf" / "model" / "big.yaml").write_text(text.replace("google/flan-t5-xl", "nobody/has-this-model"))
    for name in ("tiny", "big"):
        stage = {"class_path": "triscope.stages.MixtureStage", "init_args": {"model": f"../model/{name}.yaml"}}
        (tmp_path / "conf" / "recipe" / f"{name}.yaml").write_text(yaml.safe_dump({"model": stage}))
    inline = yaml.safe_load((tmp_path / "conf" / "model" / "tiny.yaml").read_text())
    stage = {"class_path": "triscope.stages.MixtureStage", "init_args": {"model": inline}}
    (tmp_path / "conf" / "recipe" / "inline.yaml").write_text(yaml.safe_dump({"model": stage}))
    (tmp_path / "conf" / "recipe" / "over.yaml").write_text("trainer: {devices: 1}\n")
    return tmp_path / "conf"


def test_the_doctor_tells_versions_machine_sizes_and_what_is_missing(conf, capsys):
    main(["doctor", "--conf", str(conf)])
    told = capsys.readouterr().out
    assert "triscope " in told and "torch " in told and "CPU cores" in told
    tiny = next(line for line in told.splitlines() if line.startswith("  tiny"))
    assert "GiB, " in tiny and "fits here: as it is, in 4 bits" in tiny
    assert "cannot be built here: nobody/has-this-model is not on this machine" in told
    sizes = [line.split("GiB")[0].split()[-1] for line in told.splitlines() if line.startswith(("  tiny", "  inline"))]
    assert len(sizes) == 2 and sizes[0] == sizes[1], "a recipe may hold its model as well as name its file"
    assert "  over" not in told
    assert "nobody/has-this-model: hf download nobody/has-this-model" in told
    assert "weights/eva_vit_g/vision.safetensors: the vision tower's weights" in told
