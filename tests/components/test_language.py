import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from tests.ranks import on_ranks
from triscope.components.adapters import AdapterMixture
from triscope.components.language import IGNORED_LABEL, LanguageModel

REGION, IMAGE = 0, 1
LLAMA = LlamaConfig(
    vocab_size=61,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    initializer_range=0.2,
    eos_token_id=2,
    pad_token_id=0,
)
T5_SIZES = {"vocab_size": 61, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
T5_KIND = {"feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0, "initializer_factor": 0.5}
T5 = T5Config(**T5_SIZES, **T5_KIND, tie_word_embeddings=False)
TIED_T5 = T5Config(**T5_SIZES, **T5_KIND)
both_kinds = pytest.mark.parametrize("kind", ["llama", "t5"])


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Folders with tiny models of both kinds, weights as Hugging Face saves them."""
    torch.manual_seed(0)
    models = {
        "llama": LlamaForCausalLM(LLAMA),
        "t5": T5ForConditionalGeneration(T5),
        "t5_tied": T5ForConditionalGeneration(TIED_T5),
    }
    models["t5"].lm_head.weight = nn.Parameter(torch.randn(61, 64) * 0.3)
    root = tmp_path_factory.mktemp("models")
    for name, model in models.items():
        model.save_pretrained(root / name)
    said_untied = json.loads((root / "t5/config.json").read_text()) | {"tie_word_embeddings": False}
    (root / "t5/config.json").write_text(json.dumps(said_untied))  # as the hub's FlanT5 says
    return {name: root / name for name in models}


def plain(folder: Path) -> nn.Module:
    """The same model without adapters, as Hugging Face loads it."""
    kind = AutoModelForCausalLM if folder.name == "llama" else AutoModelForSeq2SeqLM
    return kind.from_pretrained(folder).eval()


def awake(language: LanguageModel) -> LanguageModel:
    """Adapters and routers random, so that they matter."""
    torch.manual_seed(1)
    for module in language.modules():
        if isinstance(module, AdapterMixture):
            for parameter in module.parameters():
                nn.init.normal_(parameter, std=0.3)
    return language


def batch(language: LanguageModel, lengths: tuple[int, ...] = (9, 6, 7), answer: int = 3) -> dict[str, Tensor]:
    """Right-padded rows of random ids; the last `answer` tokens of each are supervised."""
    ids_BT = torch.randint(3, 61, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(5))
    place_T = torch.arange(max(lengths))
    length_B1 = torch.tensor(lengths)[:, None]
    valid_BT = place_T < length_B1
    labels_BT = ids_BT.masked_fill(~valid_BT | (place_T < length_B1 - answer), IGNORED_LABEL)
    level_B = torch.tensor([IMAGE, REGION, IMAGE])[: len(lengths)]
    return {"embeddings_BTD": language.embed(ids_BT), "valid_BT": valid_BT, "labels_BT": labels_BT, "level_B": level_B}


def row(tensors: dict[str, Tensor], index: int) -> dict[str, Tensor]:
    """One row of a batch, without padding."""
    length = int(tensors["valid_BT"][index].sum())
    cut = {name: tensor[[index], :length] for name, tensor in tensors.items() if name != "level_B"}
    return cut | {"level_B": tensors["level_B"][[index]]}


def align_right(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same rows with their padding before them."""
    length_B = tensors["valid_BT"].sum(1)
    columns = tensors["valid_BT"].shape[1]
    moved = {
        name: torch.stack([row.roll(columns - int(length), 0) for row, length in zip(tensor, length_B, strict=True)])
        for name, tensor in tensors.items()
        if name != "level_B"
    }
    return moved | {"level_B": tensors["level_B"]}


def question_of(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `generate` is given: aligned at the end, without the answer."""
    asked = {name: tensor for name, tensor in align_right(tensors).items() if name != "labels_BT"}
    return {name: tensor[:, :-3] if name != "level_B" else tensor for name, tensor in asked.items()}


@both_kinds
def test_with_new_adapters_the_model_is_that_of_hugging_face(folders, kind):
    language, original = LanguageModel(str(folders[kind])).eval(), plain(folders[kind])
    tensors = batch(language, lengths=(9, 9))
    if kind == "t5":
        logits = original(
            inputs_embeds=tensors["embeddings_BTD"][:, :6], labels=tensors["labels_BT"][:, 6:].contiguous()
        ).logits.flatten(0, 1)
    else:
        logits = original(inputs_embeds=tensors["embeddings_BTD"]).logits[:, 5:8].flatten(0, 1)
    predictions = language(**tensors)
    torch.testing.assert_close(predictions.logits_MV, logits)
    assert predictions.targets_M.tolist() == tensors["labels_BT"][tensors["labels_BT"] >= 0].tolist()
    assert predictions.row_M.tolist() == [0, 0, 0, 1, 1, 1]


@both_kinds
@pytest.mark.parametrize("beams", [1, 3])
def test_with_new_adapters_hugging_face_writes_the_same_tokens(folders, kind, beams):
    language, original = LanguageModel(str(folders[kind])).eval(), plain(folders[kind])
    tensors = question_of(batch(language))
    options = {"max_new_tokens": 7, "repetition_penalty": 1.5, "length_penalty": 0.5}
    written = original.generate(
        inputs_embeds=tensors["embeddings_BTD"], attention_mask=tensors["valid_BT"].long(), num_beams=beams, **options
    )
    start_end_and_padding = {"t5": (0, 1), "llama": (2, 0)}[kind]
    expected = [[token for token in ids if token not in start_end_and_padding] for ids in written.tolist()]
    assert language.generate(**tensors, beams=beams, **options) == expected


@both_kinds
def test_a_row_is_predicted_as_if_it_were_alone(folders, kind):
    language = awake(LanguageModel(str(folders[kind]))).eval()
    tensors = batch(language)
    alone = [language(**row(tensors, index)).logits_MV for index in range(3)]
    torch.testing.assert_close(language(**tensors).logits_MV, torch.cat(alone), rtol=1e-4, atol=1e-4)


@both_kinds
@pytest.mark.parametrize("beams", [1, 4])
def test_a_row_is_continued_as_if_it_were_alone(folders, kind, beams):
    language = awake(LanguageModel(str(folders[kind]))).eval()
    tensors = question_of(batch(language))
    alone = [
        language.generate(
            tensors["embeddings_BTD"][[index]][:, tensors["valid_BT"][index]],
            tensors["valid_BT"][[index]][:, tensors["valid_BT"][index]],
            tensors["level_B"][[index]],
            max_new_tokens=6,
            beams=beams,
        )[0]
        for index in range(3)
    ]
    assert language.generate(**tensors, max_new_tokens=6, beams=beams) == alone
    other_levels = {**tensors, "level_B": 1 - tensors["level_B"]}
    assert language.generate(**other_levels, max_new_tokens=6, beams=beams) != alone


@both_kinds
def test_padding_may_be_on_either_side(folders, kind):
    language = awake(LanguageModel(str(folders[kind]))).eval()
    tensors = batch(language)
    right, left = language(**tensors), language(**align_right(tensors))
    torch.testing.assert_close(left.logits_MV, right.logits_MV, rtol=1e-4, atol=1e-4)
    assert torch.equal(left.targets_M, right.targets_M)


def test_positions_count_the_tokens_of_a_row_wherever_its_padding_is(folders):
    language = LanguageModel(str(folders["llama"]), unpadded=False)
    positions = []
    language.model.model.rotary_emb.register_forward_pre_hook(
        lambda module, inputs, options: positions.append(options["position_ids"]), with_kwargs=True
    )
    tensors = batch(language, lengths=(9, 6))
    language(**tensors), language(**align_right(tensors))
    assert positions[0][1, :6].tolist() == positions[1][1, 3:].tolist() == [0, 1, 2, 3, 4, 5]


def test_the_head_sees_supervised_tokens_only_and_gives_what_all_positions_would(folders):
    language = awake(LanguageModel(str(folders["llama"]))).eval()
    tensors = batch(language)
    seen = []
    language.model.lm_head.register_forward_hook(lambda head, inputs, output: seen.append(inputs[0].shape[0]))
    predictions = language(**tensors)
    assert seen == [9]
    language.route_rows(tensors["level_B"])
    everywhere = language.model(inputs_embeds=tensors["embeddings_BTD"], attention_mask=tensors["valid_BT"].long()).logits
    supervised = tensors["labels_BT"][:, 1:] != IGNORED_LABEL
    torch.testing.assert_close(predictions.logits_MV, everywhere[:, :-1][supervised])


@both_kinds
@pytest.mark.parametrize("unpadded", [True, False])
def test_logits_everywhere_are_the_same_where_there_is_a_label_and_so_are_gradients(folders, kind, unpadded):
    found, worked = [], []
    for at_labels in (True, False):
        language = awake(LanguageModel(str(folders[kind]), unpadded=unpadded, logits_at_labels=at_labels)).eval()
        tensors = batch(language)
        head = language.model.get_output_embeddings()
        head.register_forward_hook(lambda head, inputs, output: worked.append(output[..., 0].numel()))
        predictions = language(**tensors)
        predictions.logits_MV.square().mean().backward()
        gradients = [parameter.grad for parameter in language.parameters() if parameter.requires_grad]
        found.append((predictions._asdict(), gradients))
    torch.testing.assert_close(*found)
    everywhere = {"llama": 9 + 6 + 7 if unpadded else 3 * 9, "t5": 9}[kind]  # a decoder reads answers alone
    assert worked == [9, everywhere]


def test_a_causal_model_predicts_each_of_several_answers_and_skips_the_first_token_of_a_row(folders):
    language = LanguageModel(str(folders["llama"])).eval()
    tensors = batch(language, lengths=(9, 6))
    tensors["labels_BT"] = torch.full((2, 9), IGNORED_LABEL)
    tensors["labels_BT"][0, [0, 3, 8]] = torch.tensor([11, 12, 13])
    tensors["labels_BT"][1, [0, 2]] = torch.tensor([11, 14])
    for aligned in (tensors, align_right(tensors)):
        predictions = language(**aligned)
        assert predictions.targets_M.tolist() == [12, 13, 14]
        assert predictions.row_M.tolist() == [0, 0, 1]


def test_the_encoder_does_not_see_the_answer(folders):
    language = LanguageModel(str(folders["t5"])).eval()
    tensors = batch(language)
    answered = tensors["labels_BT"] != IGNORED_LABEL
    hidden = {**tensors, "embeddings_BTD": tensors["embeddings_BTD"].masked_fill(answered[..., None], 9.0)}
    assert torch.equal(language(**hidden).logits_MV, language(**tensors).logits_MV)


def test_a_seq2seq_row_that_goes_on_behind_its_answer_is_an_error(folders):
    language = LanguageModel(str(folders["t5"])).eval()
    tensors = batch(language)
    tensors["labels_BT"][1, 1] = 5
    with pytest.raises(ValueError, match="behind the supervised ones in row 1"):
        language(**tensors)


@both_kinds
def test_a_batch_without_supervised_tokens_gives_no_predictions_but_gradients(folders, kind):
    language = LanguageModel(str(folders[kind])).eval()
    tensors = batch(language)
    tensors["labels_BT"][:] = IGNORED_LABEL
    predictions = language(**tensors)
    assert predictions.logits_MV.shape == (0, 61)
    predictions.logits_MV.sum().backward()
    assert all(parameter.grad is not None for parameter in language.parameters() if parameter.requires_grad)


@both_kinds
def test_only_adapters_and_routers_train(folders, kind):
    language = awake(LanguageModel(str(folders[kind])))
    language(**batch(language)).logits_MV.square().sum().backward()
    trained = {name for name, parameter in language.named_parameters() if parameter.grad is not None and parameter.grad.any()}
    assert trained == {name for name, _ in language.named_parameters() if ".mixture." in name}
    assert trained == {name for name, parameter in language.named_parameters() if parameter.requires_grad}


@both_kinds
def test_activation_checkpointing_recomputes_with_the_same_levels(folders, kind):
    gradients = []
    for activation_checkpointing in (False, True):
        language = awake(LanguageModel(str(folders[kind]), activation_checkpointing=activation_checkpointing)).train()
        mixture = next(module for module in language.modules() if isinstance(module, AdapterMixture))
        runs = []
        mixture.register_forward_pre_hook(lambda mixture, inputs, to=runs: to.append(inputs))
        language(**batch(language)).logits_MV.square().mean().backward()
        assert len(runs) == (2 if activation_checkpointing else 1)
        gradients.append([parameter.grad for parameter in language.parameters() if parameter.requires_grad])
    torch.testing.assert_close(gradients[1], gradients[0])


def test_a_causal_row_that_ends_in_padding_is_not_continued(folders):
    language = LanguageModel(str(folders["llama"])).eval()
    tensors = {name: tensor for name, tensor in batch(language).items() if name != "labels_BT"}
    with pytest.raises(ValueError, match="padding at the end of row 1"):
        language.generate(**tensors)


@both_kinds
def test_a_model_keeps_the_adapters_of_its_stage(folders, kind):
    language = awake(LanguageModel(str(folders[kind]))).eval()
    language.keep_levels(["image"])
    of_one_level = LanguageModel(str(folders[kind]), levels=("image",)).eval()
    of_one_level.load_state_dict(language.state_dict())
    tensors = batch(language)
    assert torch.equal(of_one_level(**tensors).logits_MV, language(**tensors).logits_MV)


@both_kinds
def test_a_model_may_have_no_adapters(folders, kind):
    language = LanguageModel(str(folders[kind]), adapter_bottleneck=None)
    language.keep_levels(["image"])
    assert language.state_dict().keys() == {f"model.{name}" for name in plain(folders[kind]).state_dict()}


@both_kinds
def test_bfloat16_weights_leave_the_adapters_in_float32(folders, kind):
    language = awake(LanguageModel(str(folders[kind]), dtype="bfloat16")).eval()
    exact = awake(LanguageModel(str(folders[kind]))).eval()
    dtypes = {parameter.dtype for name, parameter in language.named_parameters() if ".mixture." not in name}
    assert dtypes == {torch.bfloat16}
    assert {parameter.dtype for parameter in language.parameters() if parameter.requires_grad} == {torch.float32}
    logits, expected = (model(**batch(model)).logits_MV.float() for model in (language, exact))
    assert (logits - expected).std() < 0.05 * expected.std()


@both_kinds
def test_weights_can_be_held_in_four_bits(folders, kind):
    language = awake(LanguageModel(str(folders[kind]), dtype="nf4")).eval()
    assert "Linear4bit" in {type(module).__name__ for module in language.modules()}
    predictions = language(**batch(language))
    predictions.logits_MV.float().sum().backward()
    assert predictions.logits_MV.isfinite().all()
    assert all(parameter.grad is not None for parameter in language.parameters() if parameter.requires_grad)


@both_kinds
def test_a_folder_without_weights_is_refused_in_four_bits(folders, kind, tmp_path):
    (tmp_path / "config.json").write_text((folders[kind] / "config.json").read_text())
    with pytest.raises(ValueError, match=r"weights are not read; .* or ask for `random_weights: true`"):
        LanguageModel(str(tmp_path), dtype="nf4")


def test_a_tied_t5_scales_its_head_and_an_untied_one_has_its_own(folders):
    tied, untied = LanguageModel(str(folders["t5_tied"])), LanguageModel(str(folders["t5"]))
    assert tied.model.lm_head.weight is tied.model.shared.weight
    assert untied.model.lm_head.weight is not untied.model.shared.weight
    for language, scale in ((tied, 64**-0.5), (untied, 1.0)):
        language.eval()
        states = []
        norm = language.model.decoder.final_layer_norm  # the last that happens to the states before the head
        norm.register_forward_hook(lambda norm, inputs, output, to=states: to.append(output))
        tensors = batch(language, lengths=(6,))
        logits = language(**tensors).logits_MV
        expected = states[0][0] @ language.model.lm_head.weight.T * scale
        torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("kind", ["llama", "t5", "t5_tied"])
def test_a_folder_with_a_configuration_alone_gives_random_weights(folders, kind, tmp_path):
    (tmp_path / "config.json").write_text((folders[kind] / "config.json").read_text())
    language = LanguageModel(str(tmp_path))
    assert language.random_weights and not LanguageModel(str(folders[kind])).random_weights
    assert LanguageModel(str(folders[kind]), random_weights=True).random_weights
    tied = language.model.get_output_embeddings().weight is language.model.get_input_embeddings().weight
    assert tied == (kind == "t5_tied")
    assert len(language(**batch(language)).targets_M) == 9


def test_fields_of_the_configuration_can_be_changed_and_misspelt_ones_are_an_error(folders):
    exact_gelu = LanguageModel(str(folders["t5"]), config_overrides={"dense_act_fn": "gelu"}).eval()
    tanh_gelu = LanguageModel(str(folders["t5"])).eval()
    logits, other = exact_gelu(**batch(exact_gelu)).logits_MV, tanh_gelu(**batch(tanh_gelu)).logits_MV
    assert not torch.equal(logits, other)
    torch.testing.assert_close(logits, other, rtol=0, atol=0.05)
    with pytest.raises(ValueError, match="'dense_act'; expected a field of T5Config"):
        LanguageModel(str(folders["t5"]), config_overrides={"dense_act": "gelu"})


def test_a_path_that_leads_to_no_model_is_told_with_the_folder_from_where_it_was_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=rf"no model at 'weights/mine' .*seen from {tmp_path}, or a name on the hub"):
        LanguageModel("weights/mine")


@pytest.mark.parametrize(
    ("width", "hidden", "heads", "of_adapters", "of_routers"),
    [(2048, 5120, 32, 96 * 264_257, 48 * 8_192), (4096, 10240, 64, 96 * 528_449, 48 * 16_384)],
    ids=["LION-4B", "LION-12B"],
)
def test_adapters_have_the_size_of_the_paper(tmp_path, width, hidden, heads, of_adapters, of_routers):
    flan_t5 = {
        "model_type": "t5",
        "vocab_size": 32128,
        "d_model": width,
        "d_ff": hidden,
        "num_heads": heads,
        "d_kv": 64,
        "num_layers": 24,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    }
    (tmp_path / "config.json").write_text(json.dumps(flan_t5))
    with torch.device("meta"):
        language = LanguageModel(str(tmp_path), dtype="bfloat16")
    sizes = {name: parameter.numel() for name, parameter in language.named_parameters()}
    assert sum(size for name, size in sizes.items() if ".mixture.adapters." in name) == of_adapters
    assert sum(size for name, size in sizes.items() if ".mixture.router." in name) == of_routers
    billions = sum(size for name, size in sizes.items() if ".mixture." not in name) / 1e9
    assert billions == pytest.approx({2048: 2.85, 4096: 11.1}[width], abs=0.05)


@pytest.mark.parametrize("beams", [1, 5])
@both_kinds
def test_a_penalty_of_repetition_counts_for_padded_rows_as_for_others(folders, kind, beams):
    language = awake(LanguageModel(str(folders[kind]))).eval()
    asked = batch(language, (6,))
    row, valid, level = asked["embeddings_BTD"], asked["valid_BT"], asked["level_B"]
    options = {"max_new_tokens": 8, "beams": beams, "repetition_penalty": 1.5}
    alone = language.generate(row, valid, level, **options)
    padded = language.generate(nn.functional.pad(row, (0, 0, 5, 0)), nn.functional.pad(valid, (5, 0)), level, **options)
    assert padded == alone
    assert len(set(alone[0])) > len(set(language.generate(row, valid, level, **(options | {"repetition_penalty": 1.0}))[0]))


@both_kinds
def test_the_layers_of_a_sharded_model_are_found_as_before(folders, tmp_path, kind):
    def found(rank: int) -> list[bool]:
        torch.distributed.init_process_group("gloo", rank=rank)
        language = LanguageModel(str(folders[kind]))
        layers = language.layers()
        for layer in layers:
            fully_shard(layer)
        return [layer is same for layer, same in zip(layers, language.layers(), strict=True)]

    assert on_ranks(1, tmp_path / "results", found) == [[True] * {"llama": 2, "t5": 4}[kind]]
