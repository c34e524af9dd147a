import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from data_pipelines.vocabulary import write_untrained_language
from tests.tiny_model import awake, prepare, tiny_data, tiny_model, tiny_trainer, write_tiny_shards
from triscope.checkpoints.slices import MANIFEST_FILE, SLICE_FILE, read_slice, trained_state, warm_start, whole_parts, write_slice
from triscope.components.language import LanguageModel
from triscope.data.errors import ConfigurationError
from triscope.model import VisualLanguageModel
from triscope.stages import ImageLevelStage


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """The frozen base of a tiny model."""
    return prepare(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def trained(base) -> VisualLanguageModel:
    return awake(tiny_model(base))


@pytest.fixture
def slice_folder(trained, tmp_path) -> Path:
    return write_slice(trained_state(trained), tmp_path / "slice", {"recipe": "tiny"})


def test_a_slice_holds_what_trains_and_says_what_it_is(trained, slice_folder):
    state = read_slice(slice_folder)
    assert state.keys() == {name for name, parameter in trained.named_parameters() if parameter.requires_grad}
    torch.testing.assert_close(state, trained_state(trained), atol=0, rtol=0)
    manifest = json.loads((slice_folder / MANIFEST_FILE).read_text())
    parts = ["adapter_image", "adapter_region", "aggregator", "qformer", "router", "soft_prompt"]
    assert manifest["parts"] == parts and manifest["recipe"] == "tiny" and len(manifest["sha256"]) == 64
    assert {file.name for file in slice_folder.iterdir()} == {SLICE_FILE, MANIFEST_FILE}  # nothing half-written is left


def test_a_slice_can_be_kept_in_half_precision(trained, tmp_path):
    folder = write_slice(trained_state(trained), tmp_path, {}, dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in load_file(folder / SLICE_FILE).values()} == {torch.bfloat16}


def test_run_folder_checkpoint_slice_and_file_are_read_alike(base, tmp_path):
    stage = ImageLevelStage(lambda: awake(tiny_model(base)))
    trainer = tiny_trainer(tmp_path, max_steps=1)
    trainer.fit(stage, tiny_data(write_tiny_shards(tmp_path / "shards")))
    trainer.save_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    state = trained_state(stage.model)
    folder = write_slice(state, tmp_path / "slice", {})
    for path in (tmp_path, tmp_path / "checkpoints" / "last.ckpt", folder, folder / SLICE_FILE):
        torch.testing.assert_close(read_slice(path), state, atol=0, rtol=0)


def test_a_warm_start_takes_whole_parts_and_leaves_the_others(base, trained, slice_folder):
    model = tiny_model(base)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    warm_start(model, slice_folder, ["aggregator", "adapter_region"])
    for name, value in model.state_dict().items():
        source = trained.state_dict() if model.part_of(name) in ("aggregator", "adapter_region") else before
        assert torch.equal(value, source[name]), name


def refusal(model: VisualLanguageModel, path: Path, part: str) -> str:
    """The message of a warm start that changes nothing."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ConfigurationError) as error:
        warm_start(model, path, ["soft_prompt", part])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    return str(error.value)


def test_a_language_model_with_tied_embeddings_starts_from_its_own_checkpoint(tmp_path):
    folder = write_untrained_language(["What is it?"], tmp_path / "language", 300, width=16, layers=1, heads=2)
    model = VisualLanguageModel(language=lambda: LanguageModel(str(folder), adapter_bottleneck=None))
    model.requires_grad_(True)
    state = {name: tensor.clone() + 1 for name, tensor in trained_state(model).items()}
    warm_start(model, write_slice(state, tmp_path / "slice", {}), ["language"])
    embeddings = model.language.model.get_input_embeddings().weight
    assert embeddings is model.language.model.get_output_embeddings().weight
    assert torch.equal(embeddings, state["language.model.model.embed_tokens.weight"])


def test_a_part_is_whole_in_a_checkpoint_that_holds_every_tensor_of_it(base, trained, tmp_path):
    state = trained_state(trained)
    one_of_the_qformer = next(name for name in state if trained.part_of(name) == "qformer")
    adapters = {name: tensor for name, tensor in state.items() if trained.part_of(name) in ("qformer", "adapter_image")}
    save_file({name: tensor for name, tensor in adapters.items() if name != one_of_the_qformer}, tmp_path / "some.safetensors")
    assert whole_parts(tiny_model(base), tmp_path / "some.safetensors") == {"adapter_image"}
    save_file(adapters, tmp_path / "all.safetensors")
    assert whole_parts(tiny_model(base), tmp_path / "all.safetensors") == {"adapter_image", "qformer"}


def test_a_part_that_the_checkpoint_lacks_is_named_with_those_it_has(base, trained, tmp_path):
    state = {name: value for name, value in trained_state(trained).items() if trained.part_of(name) != "qformer"}
    folder = write_slice(state, tmp_path / "slice", {})
    message = refusal(tiny_model(base), folder, "qformer")
    assert f"checkpoint {folder}, part 'qformer'" in message and "'aggregator'" in message
    assert "name a checkpoint of the stage that trains this part" in message.lower()


def test_a_part_that_is_not_whole_is_refused_by_the_name_of_a_tensor(base, trained, tmp_path):
    state = trained_state(trained)
    del state["bridges.qformer.qformer.queries_Qh"]
    message = refusal(tiny_model(base), write_slice(state, tmp_path, {}), "qformer")
    assert "without 1 of the" in message and "bridges.qformer.qformer.queries_Qh" in message


def test_a_part_that_the_model_lacks_is_refused(base, slice_folder):
    message = refusal(tiny_model(base, bridges=("qformer",)), slice_folder, "aggregator")
    assert "part 'aggregator': found a model of the parts adapter_image, adapter_region, language, qformer, router" in message
    assert message.endswith("Leave the part out of warm_start, or add it to the model.")


def test_a_part_that_is_misspelt_is_told_with_the_one_that_is_meant(base, slice_folder):
    message = refusal(tiny_model(base), slice_folder, "agregator")
    assert "part 'agregator': found a model of the parts" in message and message.endswith("Did you mean aggregator.")


def test_a_tensor_of_another_shape_is_refused_with_both_shapes(base, slice_folder):
    state = load_file(slice_folder / SLICE_FILE)
    state["bridges.qformer.qformer.queries_Qh"] = torch.zeros(5, 7)
    save_file(state, slice_folder / SLICE_FILE)
    message = refusal(tiny_model(base), slice_folder, "qformer")
    assert "queries_Qh of shape (5, 7)" in message and "(3, 16) here" in message


def test_a_path_where_nothing_is_says_where_it_looked(base, tmp_path):
    message = refusal(tiny_model(base), tmp_path / "nowhere", "qformer")
    assert f"checkpoint {tmp_path / 'nowhere'}: found no such file, slice or run" in message
    assert "last.ckpt" in message and SLICE_FILE in message


def test_a_folder_of_something_else_is_not_named_among_what_was_expected(base, tmp_path):
    message = refusal(tiny_model(base), tmp_path, "qformer")
    assert f"found a folder with neither a slice nor a run; expected one of {tmp_path / SLICE_FILE}, " in message


def test_nothing_but_tensors_is_unpickled(tmp_path):
    class Stranger:
        def __reduce__(self):
            return (Path(tmp_path / "owned").touch, ())

    torch.save({"state_dict": {"model.a": torch.zeros(1)}, "loops": Stranger()}, tmp_path / "strange.ckpt")
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        read_slice(tmp_path / "strange.ckpt")
    assert not (tmp_path / "owned").exists()
