import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from triscope.components.language import LanguageModel
from triscope.components.lora import MARK, LoraOptions, merge_lora
from triscope.model import VisualLanguageModel

SIZES = {"vocab_size": 40, "pad_token_id": 0, "eos_token_id": 2}
LLAMA = LlamaConfig(
    **SIZES, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, initializer_range=0.2
)
T5 = T5Config(
    **SIZES, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0, feed_forward_proj="gated-gelu"
)


@pytest.fixture(scope="module", params=["llama", "t5"])
def folder(request, tmp_path_factory) -> str:
    """A language model with weights."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(LLAMA) if request.param == "llama" else T5ForConditionalGeneration(T5)
    path = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(path)
    return str(path)


def logits(language: LanguageModel) -> torch.Tensor:
    """Of fixed rows whose last three tokens are supervised."""
    ids_BT = torch.arange(5, 21).view(2, 8)
    labels_BT = torch.where(torch.arange(8) < 5, -100, ids_BT)
    with torch.no_grad():
        return language.eval()(language.embed(ids_BT), torch.ones_like(ids_BT).bool(), labels_BT, torch.tensor([0, 1])).logits_MV


def adapted(folder: str, **options: object) -> LanguageModel:
    """With adaptations that do something."""
    torch.manual_seed(1)
    language = LanguageModel(folder, adapter_bottleneck=4, lora=LoraOptions(rank=3), **options)
    for name, parameter in language.named_parameters():
        if MARK in name:
            nn.init.normal_(parameter, std=0.2)
    return language


def test_a_fresh_adaptation_changes_nothing_and_is_all_that_trains_but_for_the_adapters(folder):
    plain, fresh = (
        LanguageModel(folder, adapter_bottleneck=4),
        LanguageModel(folder, adapter_bottleneck=4, lora=LoraOptions(rank=3)),
    )
    assert torch.equal(logits(plain), logits(fresh))
    trained = {VisualLanguageModel.part_of(f"language.{name}") for name, each in fresh.named_parameters() if each.requires_grad}
    assert trained == {"lora", "adapter_region", "adapter_image", "router"}


def test_every_linear_but_the_head_is_adapted_unless_some_are_named(folder):
    everywhere = LanguageModel(folder, lora=LoraOptions())
    linears = [name for name, part in everywhere.model.named_modules() if type(part) is nn.Linear and ".base_layer" in name]
    assert linears and not any("lm_head" in name or "mixture" in name for name in linears)
    one = linears[0].split(".")[-2]
    named = LanguageModel(folder, lora=LoraOptions(modules=[one]))
    assert {name.split(".")[-4] for name, _ in named.model.named_parameters() if MARK in name} == {one}
    with pytest.raises(ValueError, match=r"lora\.modules: found \['nowhere'\]"):
        LanguageModel(folder, lora=LoraOptions(modules=["nowhere"]))


def test_folded_in_it_gives_the_same_logits_without_a_trace(folder):
    language = adapted(folder)
    before = logits(language)
    assert not torch.allclose(before, logits(LanguageModel(folder, adapter_bottleneck=4)), atol=1e-2)
    assert merge_lora(language.model) > 0
    torch.testing.assert_close(logits(language), before, atol=1e-4, rtol=1e-4)
    assert not any(MARK in name or "base_layer" in name for name in language.state_dict())


def test_a_base_in_4_bits_learns_and_is_not_folded_into(folder):
    language = adapted(folder, dtype="nf4")
    ids_BT = torch.arange(5, 21).view(2, 8)
    labels_BT = torch.where(torch.arange(8) < 5, -100, ids_BT)
    read = language(language.embed(ids_BT), torch.ones_like(ids_BT).bool(), labels_BT, torch.tensor([0, 1]))
    nn.functional.cross_entropy(read.logits_MV.float(), read.targets_M).backward()
    adaptations = {name: each for name, each in language.named_parameters() if MARK in name}
    assert all(each.dtype == torch.float32 and each.grad is not None and each.grad.any() for each in adaptations.values())
    with pytest.raises(ValueError, match="in 4 bits; expected bfloat16 or float32"):
        merge_lora(language.model)


def test_it_is_built_on_the_meta_device_too(folder):
    with torch.device("meta"):
        assert any(MARK in name for name, _ in LanguageModel(folder, lora=LoraOptions()).named_parameters())
