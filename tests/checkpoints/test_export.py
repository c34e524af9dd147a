import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from tests.data.tiny import ask, jpeg, sample, write_shards
from tests.tiny_model import fit_arguments, prepare, tiny_model, write_model_file, write_tiny_shards
from triscope.checkpoints import export as exporting
from triscope.checkpoints.export import export
from triscope.checkpoints.folder import build_stage, load_model
from triscope.checkpoints.run import Run
from triscope.checkpoints.same_logits import logits_on_probe
from triscope.checkpoints.slices import MANIFEST_FILE, SLICE_FILE, read_slice, warm_start
from triscope.checkpoints.tensor_files import TensorSource
from triscope.cli import main
from triscope.components.language import LanguageModel
from triscope.data.errors import ConfigurationError
from triscope.data.shards import ShardSet


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("base"))
    prepare(folder, "t5")
    write_tiny_shards(folder / "shards")
    return folder


@pytest.fixture(scope="module")
def run(base) -> Path:
    """A run of LION's stage 3 that was trained and tested."""
    run = base / "run"
    main(fit_arguments(base, str(base / "shards"), run, "--run.wandb", "disabled"))
    main(["test", "-c", str(run / "config.yaml"), "--ckpt_path", str(run / "checkpoints" / "last.ckpt")])
    return run


def run_like(run: Path, name: str, **language: object) -> Path:
    """A run with another language model, whose trained parts do something, whatever a few steps would have made of them."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["model"]["init_args"]["model"]["init_args"]["language"]["init_args"] |= language
    return written_run(config, run.parent / name)


def written_run(config: dict, folder: Path) -> Path:
    """A run's folder with a configuration and random trained parts."""
    stage = build_stage(config["model"])
    stage.configure_model()
    torch.manual_seed(0)
    state = {}
    for key, parameter in stage.trained_parameters():
        state[f"model.{key}"] = nn.init.normal_(parameter.detach(), std=0.05 if ".lora_" in key else 0.2)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    torch.save({"state_dict": state}, folder / "checkpoints" / "last.ckpt")
    return folder


@pytest.fixture(scope="module")
def over_t5(run, base) -> Path:
    return run_like(run, "over_t5", path=str(base / "t5"))


# A slice --------------------------------------------------------------------------------------------------------------


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


def test_the_manifest_tells_the_data_as_it_was_when_the_run_began(run, base):
    shards, elsewhere = base / "shards", base / "elsewhere"
    read = ShardSet.open(shards).fingerprint
    shards.rename(elsewhere)
    try:
        assert Run.open(run).manifest()["data"] == {str(shards): read}
    finally:
        elsewhere.rename(shards)


def test_the_card_tells_recipe_data_licences_and_every_score_with_its_controls(exported, base):
    card = (exported / "README.md").read_text()
    results = json.loads((exported / "results.json").read_text())
    manifest = json.loads((exported / MANIFEST_FILE).read_text())
    assert all(name in card for result in results.values() for name in result["metrics"])
    assert "blind" in card and "shuffled" in card and "frozen" in card
    assert "learning_rate: 0.001" in card and "max_steps: 4" in card
    assert f"`{base / 'shards'}`: {manifest['data'][str(base / 'shards')]}" in card
    assert f"`{base / 'llama'}`, frozen: LLaMA" in card or f"`{base / 'llama'}`, frozen: Meta" in card


def test_bfloat16_halves_a_slice(run, exported, tmp_path):
    main(["export", str(run), "--out", str(tmp_path / "half")])
    assert (tmp_path / "half" / SLICE_FILE).stat().st_size < 0.6 * (exported / SLICE_FILE).stat().st_size


def test_nothing_is_written_over(run, exported):
    with pytest.raises(SystemExit, match="a folder with files"):
        main(["export", str(run), "--out", str(exported)])


# What is read back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["slice", "model", "lion"])
def test_a_file_that_gives_other_logits_is_not_kept(form, over_t5, tmp_path, monkeypatch):
    written = exporting.FORMS[form].write

    def spoilt(run, model, folder, dtype):
        told = written(run, model, folder, dtype)
        file = folder / (exporting.LION_LAYOUT.file if form == "lion" else SLICE_FILE)
        state = {name: TensorSource.open(file).read(name) for name in TensorSource.open(file).layout}
        name = next(name for name in state if "query_tokens" in name or "queries_Qh" in name)
        state[name] = state[name].roll(1, dims=-1)  # a shift of all alike would be lost in the norm
        torch.save({"model": state}, file) if form == "lion" else save_file(state, file)
        return told

    monkeypatch.setitem(exporting.FORMS, form, exporting.Form(spoilt, exporting.FORMS[form].read))
    with pytest.raises(ConfigurationError, match=r"logits that differ by .* of their spread when read back"):
        export(over_t5, tmp_path / "out", form)
    assert not list(tmp_path.iterdir())


# The whole model ------------------------------------------------------------------------------------------------------


def test_a_model_folder_is_the_run_s_model_wherever_it_is_moved(run, base, tmp_path, capsys):
    main(["export", str(run), "--out", str(tmp_path / "model"), "--to", "model", "--dtype", "float32"])
    assert "a ReLU between two matrices cannot be folded" in capsys.readouterr().out
    (tmp_path / "model").rename(tmp_path / "moved")
    expected = logits_on_probe(Run.open(run).restore())
    assert torch.equal(logits_on_probe(load_model(tmp_path / "moved")), expected)
    recipe = (tmp_path / "moved" / "recipe.yaml").read_text()
    assert str(base) not in recipe and str(tmp_path) not in recipe


def test_predict_asks_a_model_folder(run, tmp_path, capsys):
    main(["export", str(run), "--out", str(tmp_path / "model"), "--to", "model"])
    (tmp_path / "photo.jpg").write_bytes(jpeg())
    asked = ["--picture", str(tmp_path / "photo.jpg"), "--question", "What is this?"]
    main(["predict", "-c", str(tmp_path / "model"), *asked])
    assert "What is this? -> " in capsys.readouterr().out


# LoRA -----------------------------------------------------------------------------------------------------------------


def test_a_lora_lies_in_the_slice_and_starts_another_stage(run, tmp_path):
    with_lora = run_like(run, "with_lora", lora={"rank": 3})
    export(with_lora, tmp_path / "slice", "slice", torch.float32)
    assert "lora" in json.loads((tmp_path / "slice" / MANIFEST_FILE).read_text())["parts"]
    stage = Run.open(with_lora)
    model = stage.restore({name: tensor for name, tensor in stage.trained.items() if ".lora_" not in name})
    before = logits_on_probe(model)
    warm_start(model, tmp_path / "slice", ["lora"])
    assert not torch.allclose(logits_on_probe(model), before, atol=1e-3)
    assert torch.equal(logits_on_probe(model), logits_on_probe(stage.restore()))


@pytest.mark.parametrize(
    ("kind", "dtype", "matrices"),
    [("llama", "float32", 14), ("llama", "bfloat16", 14), ("llama", "nf4", 14), ("t5", "float32", 36), ("t5", "nf4", 36)],
)
def test_a_lora_is_folded_into_the_language_model_of_a_model_folder(kind, dtype, matrices, run, base, tmp_path):
    adapted = run_like(run, f"lora_{kind}_{dtype}", path=str(base / kind), lora={"rank": 3}, dtype=dtype)
    notes = export(adapted, tmp_path / "model", "model", torch.float32)
    assert any(note.startswith(f"LoRA: folded into {matrices} matrices") for note in notes)
    weights = load_file(tmp_path / "model" / "language" / "model.safetensors")
    plain = load_file(base / kind / "model.safetensors")
    assert weights.keys() == plain.keys()
    changes = {name: (weights[name].float() - value).norm() / value.norm() for name, value in plain.items()}
    assert sum(change > 0.05 for change in changes.values()) == matrices, "more than rounding"
    assert not any(".lora_" in name for name in read_slice(tmp_path / "model"))


# The language model ---------------------------------------------------------------------------------------------------


def test_a_run_without_a_trained_language_model_has_none_to_export(run, tmp_path):
    with pytest.raises(ConfigurationError, match="LanguageStage"):
        export(run, tmp_path / "language", "language")
    assert not (tmp_path / "language").exists()


def fit_language(base: Path, folder: Path, *more: str, **init_args: object) -> Path:
    """Train the tiny language model on a few texts.

    Returns:
        The run's folder.
    """
    texts = str(folder / "texts")
    if not Path(texts).exists():
        write_shards(folder / "texts", [sample(f"t{number}", [ask(("What is this?", "dog"))], images=0) for number in range(4)])
    model = {"init_args": {"language": {"init_args": {"adapter_bottleneck": None}}}}
    stage = {"model": {"class_path": "triscope.stages.LanguageStage", "init_args": {"model": model, **init_args}}}
    (folder / "stage.yaml").write_text(yaml.safe_dump(stage))
    run = folder / f"run{len(list(folder.glob('run*')))}"
    main([*fit_arguments(base, texts, run, "--run.wandb", "disabled"), "-c", str(folder / "stage.yaml"), *more])
    return run


def exported_language(run: Path) -> dict[str, torch.Tensor]:
    """The weights that a run's export of its language model gives back."""
    export(run, run / "language", "language", torch.float32)
    loaded = LanguageModel(str(run / "language"), adapter_bottleneck=None)
    assert not loaded.random_weights
    return {f"language.{name}": tensor for name, tensor in loaded.state_dict().items()}


def test_an_exported_language_model_is_the_one_that_was_trained(base, tmp_path):
    run = fit_language(base, tmp_path)
    loaded = exported_language(run)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in read_slice(run).items())

    # A run that went on from this one exports what it has become, not where it began.
    on = fit_language(
        base, tmp_path, "--model.init_args.warm_start", json.dumps([{"checkpoint": str(run), "parts": ["language"]}])
    )
    loaded = exported_language(on)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in read_slice(on).items())


def test_an_exported_language_model_has_the_words_that_did_not_train(base, tmp_path):
    run = fit_language(base, tmp_path, words_train=False)
    loaded = exported_language(run)
    trained = read_slice(run)
    before = LanguageModel(str(base / "llama"), adapter_bottleneck=None).state_dict()
    words = {name for name in loaded if "embed_tokens" in name}
    assert words and not words & set(trained)
    assert all(torch.equal(loaded[name], before[name.removeprefix("language.")]) for name in words)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in trained.items())


# The authors' layouts -------------------------------------------------------------------------------------------------


def test_lion_s_authors_can_load_what_was_trained_and_it_comes_back_the_same(over_t5, base, tmp_path):
    export(over_t5, tmp_path / "theirs", "lion", torch.float32)
    state = torch.load(tmp_path / "theirs" / "lion.pth", weights_only=True)["model"]
    adapter = "t5_model.decoder.block.1.layer.2.adapter.adapters.0.down_proj.weight"
    assert {"query_tokens", "soft_prompt_hint", "Qformer.bert.embeddings.LayerNorm.bias", adapter} <= state.keys()
    assert state["query_tokens"].shape == (1, 3, 16)
    file = Path(write_model_file(base))
    file.write_text(file.read_text().replace(str(base / "llama"), str(base / "t5")))
    main(["import", "lion", str(tmp_path / "theirs" / "lion.pth"), "--out", str(tmp_path / "ours"), "--model", str(file)])
    ours, trained = read_slice(tmp_path / "ours"), read_slice(over_t5)
    assert ours.keys() == trained.keys()
    assert all(torch.equal(ours[name], trained[name]) for name in trained)


def test_lion_s_layout_needs_all_of_lion_over_t5(run, tmp_path):
    with pytest.raises(ConfigurationError, match=r"found language\.model\.\S+, which their layout has no name for"):
        export(run, tmp_path / "theirs", "lion")
    assert not list(tmp_path.iterdir())


def test_sam_s_authors_can_load_the_alignment(run, tmp_path):
    config = yaml.safe_load((run / "config.yaml").read_text())
    stage = config["model"]["init_args"]
    parts = stage["model"]["init_args"]
    alignment = {"read_layer": 1, "guide_layer": 2}
    parts["bridges"]["qformer"]["init_args"]["alignment"] = {
        "class_path": "triscope.components.alignment.SemanticAlignment",
        "init_args": alignment,
    }
    parts["bridges"].pop("aggregator")
    parts["language"]["init_args"]["adapter_bottleneck"] = parts["soft_prompt"] = None
    stage["warm_start"] = [{"checkpoint": str(run), "parts": ["qformer"]}]
    config["model"]["class_path"] = "triscope.stages.MultiImageStage"
    sam = written_run(config, tmp_path / "run")
    export(sam, tmp_path / "theirs", "sam", torch.float32)
    state = torch.load(tmp_path / "theirs" / "sam.pth", weights_only=True)["model"]
    links = {
        f"Qformer.bert.encoder.{link}.0.{kind}" for link in ("one_2_muliple", "multiple_2_one") for kind in ("weight", "bias")
    }
    assert state.keys() == links | {"attn.weight", "attn.bias"}
    trained = read_slice(sam)
    link = trained["bridges.qformer.alignment.into_context.weight"]
    assert torch.equal(state["Qformer.bert.encoder.one_2_muliple.0.weight"], link)
