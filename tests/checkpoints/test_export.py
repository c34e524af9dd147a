import json
from pathlib import Path

import pytest
import torch
import yaml

from tests.data.tiny import ask, sample, write_shards
from tests.tiny_model import fit_arguments, prepare, tiny_model, write_tiny_shards
from triscope.checkpoints.export import export_language
from triscope.checkpoints.slices import MANIFEST_FILE, SLICE_FILE, read_slice, warm_start
from triscope.cli import main
from triscope.components.language import LanguageModel
from triscope.data.errors import ConfigurationError


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("base"))
    write_tiny_shards(folder / "shards")
    return folder


@pytest.fixture(scope="module")
def run(base) -> Path:
    """A run of LION's stage 3 that was trained and tested."""
    main(fit_arguments(base, str(base / "shards"), base / "run", "--run.wandb", "disabled"))
    run = base / "run"
    main(["test", "-c", str(run / "config.yaml"), "--ckpt_path", str(run / "checkpoints" / "last.ckpt")])
    return run


@pytest.fixture(scope="module")
def exported(run, base) -> Path:
    main(["export", str(run), "--out", str(base / "slice"), "--dtype", "float32"])
    return base / "slice"


def test_a_slice_has_the_trained_parts_as_they_are(run, exported):
    trained, written = read_slice(run), read_slice(exported)
    assert trained.keys() == written.keys()
    assert all(torch.equal(trained[name], written[name]) for name in trained)


def test_a_slice_warms_another_model_up(exported, base):
    model = tiny_model(base)
    warm_start(model, exported, ["qformer", "aggregator", "router"])
    state = model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in read_slice(exported).items() if name.startswith("bridges"))


def test_the_manifest_says_what_was_trained_on_what(exported, base):
    manifest = json.loads((exported / MANIFEST_FILE).read_text())
    assert {"qformer", "aggregator", "adapter_image", "adapter_region", "router"} <= set(manifest["parts"])
    assert manifest["stage"].endswith("MixtureStage")
    assert manifest["steps"] == 4
    assert list(manifest["data"]) == [str(base / "shards")]


def test_the_card_tells_every_score_with_its_controls(exported):
    card = (exported / "README.md").read_text()
    results = json.loads((exported / "results.json").read_text())
    assert all(name in card for result in results.values() for name in result["metrics"])
    assert "blind" in card and "shuffled" in card and "frozen" in card


def test_bfloat16_halves_a_slice(run, exported, tmp_path):
    main(["export", str(run), "--out", str(tmp_path / "half")])
    assert (tmp_path / "half" / SLICE_FILE).stat().st_size < 0.6 * (exported / SLICE_FILE).stat().st_size


def test_nothing_is_written_over(run, exported):
    with pytest.raises(SystemExit, match="a folder with files"):
        main(["export", str(run), "--out", str(exported)])


def test_a_run_without_a_trained_language_model_has_none_to_export(run, tmp_path):
    with pytest.raises(ConfigurationError, match="LanguageStage"):
        export_language(run, tmp_path / "language")
    assert not (tmp_path / "language").exists()


def test_an_exported_language_model_is_the_one_that_was_trained(base, tmp_path):
    write_shards(tmp_path / "texts", [sample(f"t{number}", [ask(("What is this?", "dog"))], images=0) for number in range(4)])
    arguments = fit_arguments(base, str(tmp_path / "texts"), tmp_path / "run", "--run.wandb", "disabled")
    model = {"init_args": {"language": {"init_args": {"adapter_bottleneck": None}}}}
    stage = {"model": {"class_path": "triscope.stages.LanguageStage", "init_args": {"model": model}}}
    (tmp_path / "stage.yaml").write_text(yaml.safe_dump(stage))
    main([*arguments, "-c", str(tmp_path / "stage.yaml")])
    trained = read_slice(tmp_path / "run")
    folder = export_language(tmp_path / "run", tmp_path / "language", torch.float32)
    loaded = LanguageModel(str(folder), adapter_bottleneck=None).state_dict()
    assert all(torch.equal(loaded[name.removeprefix("language.")], tensor) for name, tensor in trained.items())
    assert not LanguageModel(str(folder), adapter_bottleneck=None).random_weights
