"""The whole path in 4 bits, on the CPU: quantise, train, save, resume, validate, export."""

import math
from pathlib import Path

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from safetensors.torch import load_file
from transformers import AutoConfig, T5Config, T5ForConditionalGeneration

from tests.resume.test_resume import Losses
from tests.tiny_model import awake, prepare, tiny_data, tiny_model, tiny_trainer, write_tiny_shards
from triscope.app.step_memory import LiveBytes
from triscope.checkpoints.slices import read_slice, write_slice
from triscope.components.language import LanguageModel
from triscope.components.lora import LoraOptions
from triscope.components.packing import is_packed
from triscope.data.errors import ConfigurationError
from triscope.stages import LanguageStage, MixtureStage

both_kinds = pytest.mark.parametrize("kind", ["llama", "t5"])


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Frozen bases of both kinds, and shards beside them."""
    folder = prepare(tmp_path_factory.mktemp("base"))
    prepare(folder, "t5")
    write_tiny_shards(folder / "shards", count=4)
    return folder


def stage_of(base: Path, kind: str, seed: int = 1, dtype: str = "nf4") -> MixtureStage:
    return MixtureStage(lambda: awake(tiny_model(base, kind, dtype=dtype), seed), learning_rate=0.01, warmup_steps=0)


@both_kinds
def test_a_run_in_4_bits_trains_saves_resumes_validates_and_exports(base, tmp_path, kind):
    data = lambda: tiny_data(str(base / "shards"))  # noqa: E731
    straight, first, rest = Losses(), Losses(stop_after=2), Losses()
    whole = stage_of(base, kind)
    trainer = tiny_trainer(tmp_path, max_steps=4, callbacks=[straight], limit_val_batches=1.0)
    trainer.fit(whole, data())
    frozen = {name: each for name, each in whole.model.named_parameters() if not each.requires_grad}
    assert sum(each.dtype == torch.uint8 for each in frozen.values()) > 10

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        tiny_trainer(tmp_path, max_steps=4, callbacks=[first]).fit(stage_of(base, kind), data())
        raise KeyboardInterrupt  # which Lightning may have taken for a graceful end
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert kept.keys() == {f"model.{name}" for name, _ in whole.trained_parameters()}
    resumed = stage_of(base, kind, seed=2)
    tiny_trainer(tmp_path, max_steps=4, callbacks=[rest]).fit(
        resumed, data(), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    assert first.losses + rest.losses == straight.losses
    for name, parameter in whole.trained_parameters():
        assert torch.equal(parameter, resumed.model.get_parameter(name))

    (scores,) = trainer.validate(whole, data(), verbose=False)
    assert math.isfinite(scores["validation/loss"])
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    exported = load_file(write_slice(read_slice(tmp_path / "end.ckpt"), tmp_path / "slice", {}) / "parts.safetensors")
    assert exported.keys() == {name for name, _ in whole.trained_parameters()}


@both_kinds
def test_the_loss_in_4_bits_is_near_that_of_the_whole_weights(base, tmp_path, kind):
    losses = []
    for dtype in ("float32", "nf4"):
        recorder = Losses()
        trainer = tiny_trainer(tmp_path, max_steps=1, callbacks=[recorder])
        trainer.fit(stage_of(base, kind, dtype=dtype), tiny_data(str(base / "shards")))
        losses += recorder.losses
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_every_matrix_of_t5_is_packed_but_the_head(base, tmp_path):
    # As wide as a block: bitsandbytes reads other matrices less exactly on some CPUs.
    config = T5Config.from_pretrained(base / "t5", d_ff=64)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    model = LanguageModel(str(tmp_path), dtype="nf4", adapter_bottleneck=None).model
    outputs = [module for name, module in model.named_modules() if name.endswith(".wo") and is_packed(module.weight)]
    assert len(outputs) == 4
    whole = [name for name, module in model.named_modules() if type(module) is torch.nn.Linear]
    assert whole == ["lm_head"]
    read = LanguageModel(str(tmp_path), dtype="bfloat16", adapter_bottleneck=None).model.encoder.block[0].layer[1]
    x = torch.randn(5, 64, dtype=torch.bfloat16)
    exact, given = read.DenseReluDense.wo(x), outputs[0](x)
    assert given.dtype == torch.bfloat16
    assert (given - exact).norm() < 0.2 * exact.norm()


@both_kinds
def test_random_weights_that_are_asked_for_are_packed_as_read_ones_are(base, kind):
    read, random = (LanguageModel(str(base / kind), dtype="nf4", random_weights=asked) for asked in (False, True))
    held = [{name: (each.dtype, each.shape) for name, each in model.named_parameters()} for model in (read, random)]
    assert held[0] == held[1]
    assert [type(module) for module in read.modules()] == [type(module) for module in random.modules()]


@both_kinds
def test_random_weights_in_4_bits_are_spread_as_whole_ones_are(base, kind):
    # As wide as a block: bitsandbytes reads other matrices less exactly on some CPUs.
    llama = {"hidden_size": 64, "head_dim": 16, "intermediate_size": 64}
    sizes = {"llama": llama, "t5": {"d_model": 64, "d_kv": 16, "d_ff": 64}}[kind]
    torch.manual_seed(0)
    options = {"random_weights": True, "config_overrides": sizes, "adapter_bottleneck": None}
    random, whole = (LanguageModel(str(base / kind), dtype=dtype, **options).model for dtype in ("nf4", "bfloat16"))
    for name, parameter in random.named_parameters():
        given = dequantize_4bit(parameter.view(torch.uint8), parameter.quant_state) if is_packed(parameter) else parameter
        assert float(given.float().std()) == pytest.approx(float(whole.get_parameter(name).float().std()), rel=0.25), name
    for name, buffer in whole.named_buffers():
        assert torch.equal(random.get_buffer(name), buffer)


@both_kinds
def test_a_random_model_in_4_bits_trains(base, kind):
    model = LanguageModel(str(base / kind), dtype="nf4", random_weights=True, lora=LoraOptions(rank=2))
    embeddings_BTD, labels_BT = torch.randn(2, 6, model.width), torch.full((2, 6), -100)
    labels_BT[:, 4:] = 3
    levels_B, valid_BT = torch.tensor([0, 1]), torch.ones(2, 6, dtype=torch.bool)
    model(embeddings_BTD.bfloat16(), valid_BT, labels_BT, levels_B).logits_MV.float().square().mean().backward()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert trained and all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in trained)


@both_kinds
def test_a_random_model_in_4_bits_never_stands_whole_in_bfloat16(base, tmp_path, kind):
    layers = {"llama": {"num_hidden_layers": 16}, "t5": {"num_layers": 8, "num_decoder_layers": 8}}[kind]
    AutoConfig.from_pretrained(base / kind, **layers).save_pretrained(tmp_path)
    with Held() as held:
        model = LanguageModel(str(tmp_path), dtype="nf4", random_weights=True, adapter_bottleneck=None)
    whole = sum(2 * parameter.numel() for parameter in LanguageModel(str(tmp_path), dtype="bfloat16").model.parameters())
    assert held.peak < held.live + whole / 8
    assert sum(parameter.numel() * parameter.element_size() for parameter in model.parameters()) <= held.live < whole / 2


class Held(LiveBytes):
    """Counts the bytes of tensors with content alone."""

    def _add(self, storage: torch.UntypedStorage) -> None:
        if storage.device.type != "meta":
            super()._add(storage)


def test_a_language_model_that_trains_cannot_be_in_4_bits_but_a_lora_beside_it_can_train(base):
    told = "found nf4 in a stage that trains the language model; expected no 4 bits. Give it a LoRA"
    with pytest.raises(ConfigurationError, match=told):
        LanguageStage(lambda: tiny_model(base, dtype="nf4", soft_prompt=False)).configure_model()
    stage = LanguageStage(lambda: tiny_model(base, dtype="nf4", soft_prompt=False, lora=LoraOptions(rank=2)))
    stage.configure_model()
    assert {stage.model.part_of(name) for name, _ in stage.trained_parameters()} == {"lora"}
