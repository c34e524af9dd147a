from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from tests.data.tiny import ask, sample
from tests.tiny_model import CAT, DOG, SAMPLES, STYLE, awake, batch_of, logits_by_row, prepare, tiny_model
from triscope.data.batch import Batch
from triscope.data.errors import ConfigurationError
from triscope.data.prompts import PromptStyle
from triscope.data.sample import Level
from triscope.model import VisualLanguageModel

both_kinds = pytest.mark.parametrize("kind", ["llama", "t5"])
PARTS = {"vision", "qformer", "aggregator", "soft_prompt", "language", "adapter_image", "adapter_region", "router"}
TRAINED = PARTS - {"vision", "language"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The frozen base of tiny models of both kinds."""
    path = tmp_path_factory.mktemp("base")
    for kind in ("llama", "t5"):
        prepare(path, kind)
    return path


def gradients(model: VisualLanguageModel, batch: Batch) -> dict[str, torch.Tensor]:
    predictions = model(batch)
    F.cross_entropy(predictions.logits_MV, predictions.targets_M).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_pictures_that_the_data_has_normalised_are_predicted_from_as_their_bytes_are(folder):
    model = awake(tiny_model(folder)).eval()
    batch = batch_of(model)
    normalise = model.normalisation().pixels
    floats = replace(batch, pixels_ICHW=torch.stack([normalise(pixels_CHW) for pixels_CHW in batch.pixels_ICHW]))
    assert floats.pixels_ICHW.dtype == torch.float32
    assert torch.equal(model(floats).logits_MV, model(batch).logits_MV)
    model.vision.is_cached = True
    with pytest.raises(ConfigurationError, match=r"data\.pixels_as_bytes: found false, with a cache_folder"):
        model.normalisation()


# Rows and images ------------------------------------------------------------------------------------------------------


@both_kinds
def test_a_batch_is_its_rows_run_alone(folder, kind):
    model = awake(tiny_model(folder, kind)).eval()
    together, alone = batch_of(model), [batch_of(model, [each]) for each in SAMPLES]
    assert {len(batch.pixels_ICHW) for batch in alone} == {0, 1, 2}  # of three images, two are shown
    expected = [logits for batch in alone for logits in logits_by_row(model(batch), len(batch))]
    found = logits_by_row(model(together), len(together))
    for logits, others in zip(found, expected, strict=True):
        torch.testing.assert_close(logits, others, atol=1e-4, rtol=1e-4)


@both_kinds
@pytest.mark.parametrize("beams", [1, 3])
def test_a_batch_is_answered_as_its_rows_alone(folder, kind, beams):
    model = awake(tiny_model(folder, kind)).eval()
    options = {"max_new_tokens": 5, "beams": beams}
    alone = [ids for each in SAMPLES for ids in model.generate(batch_of(model, [each]), **options)]
    assert model.generate(batch_of(model), **options) == alone


def test_the_picture_the_question_the_tags_and_the_level_all_change_what_is_predicted(folder):
    model = awake(tiny_model(folder)).eval()

    def logits(prompt: str = "What is this?", level: Level = Level.IMAGE, key: str = "a", tag: str = "dog"):
        asked = sample(key, [ask((prompt, "yes"), level=level)], tags=[tag])
        return model(batch_of(model, [asked])).logits_MV

    usual = logits()
    torch.testing.assert_close(logits(), usual)
    changes = {"prompt": "Where is this?", "level": Level.REGION, "key": "b", "tag": "cat"}
    for name, value in changes.items():
        assert (logits(**{name: value}) - usual).abs().max() > 1e-3, name


def test_an_image_is_encoded_once_however_many_rows_ask_about_it(folder):
    model = tiny_model(folder)
    seen = []
    model.vision.tower.patch_embed.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    model(batch_of(model, [sample("a", [ask(("What is this?", "dog")) for _ in range(3)])]))
    assert seen == [1]


# Gradients ------------------------------------------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("samples", [SAMPLES, SAMPLES[:1]], ids=["with images", "without images"])
def test_every_trained_part_gets_a_gradient(folder, kind, samples):
    model = awake(tiny_model(folder, kind))
    found = gradients(model, batch_of(model, samples))
    assert {model.part_of(name) for name in found} == TRAINED
    assert [name for name, gradient in found.items() if gradient is None] == []


@both_kinds
def test_pictures_and_tags_teach_bridges_and_soft_prompt(folder, kind):
    model = awake(tiny_model(folder, kind))
    found = gradients(model, batch_of(model))
    taught = {model.part_of(name) for name, gradient in found.items() if gradient.any()}
    assert taught == TRAINED


def test_the_images_that_nobody_sees_change_nothing(folder):
    model = awake(tiny_model(folder)).eval()
    text = batch_of(model, SAMPLES[:1])
    without_vision = awake(tiny_model(folder, bridges=())).eval()
    without_vision.load_state_dict({name: value for name, value in model.state_dict().items() if "bridges" not in name})
    torch.testing.assert_close(model(text).logits_MV, without_vision(text).logits_MV)


# Generation -----------------------------------------------------------------------------------------------------------


@both_kinds
def test_generation_does_not_read_the_answer(folder, kind):
    model = awake(tiny_model(folder, kind)).eval()
    truthful = [sample("a", [ask(("What is this?", "dog"), ("Where the dog?", "left"))])]
    lying = [sample("a", [ask(("What is this?", "dog"), ("Where the dog?", "right yes no cat three"))])]
    options = {"max_new_tokens": 6}
    assert model.generate(batch_of(model, truthful), **options) == model.generate(batch_of(model, lying), **options)
    assert batch_of(model, truthful).ids_BT.shape != batch_of(model, lying).ids_BT.shape


@both_kinds
def test_tokens_are_told_as_they_are_written(folder, kind):
    model = tiny_model(folder, kind).eval()
    batch = batch_of(model)
    words = model.language.model.generation_config
    words.eos_token_id, words.pad_token_id = 40, 41  # the little T5 ends at once, if its end is among the likely words
    longest = 0
    for seed in range(4):
        one = batch.of_rows(torch.arange(len(batch)) == seed)
        told: list[int] = []
        (written,) = awake(model, seed).generate(one, max_new_tokens=5, on_token=told.append)
        assert told == written
        longest = max(longest, len(written))
    assert longest > 1
    with pytest.raises(ValueError, match=r"found \d+ row\(s\) and 1 beam\(s\); expected one of each"):
        model.generate(batch, on_token=told.append)


@both_kinds
def test_greedy_generation_writes_the_likeliest_token_of_the_forward_pass(folder, kind):
    """The first token written is the one that the prediction of a first answer token prefers."""
    model = awake(tiny_model(folder, kind)).eval()
    batch = batch_of(model, [SAMPLES[1], SAMPLES[3]])
    predictions = model(batch)
    likeliest = [int(logits[0].argmax()) for logits in logits_by_row(predictions, len(batch))]
    written = model.generate(batch, max_new_tokens=1)
    ends = (0, 2)
    assert written == [[token] if token not in ends else [] for token in likeliest]


@both_kinds
def test_the_controls_answer_without_the_picture_and_with_another(folder, kind):
    model = awake(tiny_model(folder, kind)).eval()
    batch = batch_of(model)
    blind = model.generate(batch.without_images(), max_new_tokens=4)
    others = replace(batch, other_pixels_ICHW=batch.pixels_ICHW.flip(0))
    shuffled = model.generate(others.with_shuffled_images(), max_new_tokens=4)
    assert len(blind) == len(batch) and len(shuffled) == len(batch) - 1  # one row looks at nothing


# Parts ----------------------------------------------------------------------------------------------------------------


def test_every_parameter_belongs_to_a_part(folder):
    model = tiny_model(folder)
    parts = defaultdict(list)
    for name, _ in model.named_parameters():
        parts[model.part_of(name)].append(name)
    assert parts.keys() == PARTS
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {model.part_of(name) for name in trained} == TRAINED
    assert all(".adapters.region." in name for name in parts["adapter_region"])
    assert all(".router." in name for name in parts["router"])


def test_a_stage_keeps_its_bridges_and_the_adapters_of_its_levels(folder):
    model = tiny_model(folder)
    model.keep_only(["qformer"], [Level.IMAGE])
    parts = {model.part_of(name) for name, _ in model.named_parameters()}
    assert parts == PARTS - {"aggregator", "adapter_region", "router"}


def test_a_stage_without_bridges_has_no_vision_tower(folder):
    model = tiny_model(folder)
    model.keep_only([], [])
    assert model.vision is None and not model.bridges
    model(batch_of(model, SAMPLES[:1]))


def test_a_bridge_that_is_missing_is_named(folder):
    with pytest.raises(ConfigurationError, match=r"found \['aggregator'\]; expected also \['qformer'\]"):
        tiny_model(folder, bridges=("aggregator",)).keep_only(["qformer", "aggregator"], [])


def test_bridges_need_a_vision_encoder(folder):
    language = tiny_model(folder).language
    with pytest.raises(ConfigurationError, match=r"model\.vision: found no vision encoder"):
        VisualLanguageModel(lambda: language, bridges={"aggregator": lambda *_: None})


def test_tags_without_a_soft_prompt_are_refused_with_the_remedy(folder):
    model = tiny_model(folder, soft_prompt=False)
    with pytest.raises(ConfigurationError, match=r"sample plain:0: found a prompt with tags.*set tags to hard or none"):
        model(batch_of(model))
    model(batch_of(model, style=PromptStyle(turn=STYLE.turn, tags="hard")))


def test_an_image_that_no_placeholder_shows_is_refused_by_the_sample_s_key(folder):
    model = tiny_model(folder)
    batch = batch_of(model, SAMPLES[1:2])
    batch.ids_BT[0, int((batch.ids_BT[0] == -1).nonzero())] = 5
    with pytest.raises(ConfigurationError, match=r"sample tagged:0: found 0 image placeholder\(s\) and 1 image\(s\)"):
        model(batch)


# A shared prefix ------------------------------------------------------------------------------------------------------


def asked_twice() -> list:
    """Two pictures, each asked about by rows of both levels."""
    return [
        sample(
            key,
            [
                ask(("What is this?", "the dog")),
                ask(("Where is the dog?", "left")),
                ask(("Where is the cat?", "<region:1>"), level=Level.REGION),
                ask(("What is <region:2>?", "dog"), level=Level.REGION),
            ],
            tags=["dog"],
            boxes=[CAT, DOG],
        )
        for key in ("a", "b")
    ]


@both_kinds
@pytest.mark.parametrize("bridges", [("aggregator", "qformer"), ("aggregator",)])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_sharing_the_prefix_changes_neither_predictions_nor_gradients(folder, kind, bridges, checkpointing):
    """A T5 shares nothing, and does not mind; recomputed layers see the levels of the rows again."""
    results = []
    for share, recompute in ((False, False), (True, checkpointing)):
        model = awake(tiny_model(folder, kind, bridges=bridges, checkpointing=recompute)).train()
        model.share_prefix = share
        batch = batch_of(model, asked_twice())
        results.append((model(batch), gradients(model, batch)))
    (plain, plain_gradients), (shared, shared_gradients) = results
    assert torch.equal(plain.targets_M, shared.targets_M) and torch.equal(plain.row_M, shared.row_M)
    torch.testing.assert_close(shared.logits_MV, plain.logits_MV, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(shared_gradients, plain_gradients, atol=1e-5, rtol=1e-3)


def test_a_shared_prefix_is_read_once(folder):
    model = awake(tiny_model(folder, bridges=("aggregator",)))
    model.share_prefix = True
    read = []
    model.language.layers()[0].register_forward_pre_hook(lambda layer, inputs: read.append(inputs[0].shape))
    batch = batch_of(model, asked_twice())
    model(batch)
    (length,) = set(model.shared_prefix(batch).length_U.tolist())
    behind = int(batch.valid_BT.sum()) + len(batch) * (model.bridges["aggregator"].tokens - 1 - length)
    assert read == [(1, 4 * length + behind, model.language.width)]  # two pictures, two levels


def test_rows_that_begin_with_different_text_share_nothing(folder):
    """The picture stands at the same place in both rows, behind other words."""
    model = awake(tiny_model(folder, bridges=("aggregator",))).eval()
    samples = [sample("a", [ask(("dog <image:1> What is this?", "one")), ask(("cat <image:1> What is this?", "two"))])]
    batch = batch_of(model, samples)
    plain = model(batch).logits_MV
    model.share_prefix = True
    torch.testing.assert_close(model(batch).logits_MV, plain, atol=1e-4, rtol=1e-4)
