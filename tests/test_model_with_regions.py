"""The model with a region encoder: what the boxes of prompts become."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from tests.data.tiny import ask, sample
from tests.tiny_model import CAT, DOG, SAMPLES, STYLE, awake, batch_of, logits_by_row, prepare, tiny_model
from triscope.data.boxes import Box
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Level, Sample
from triscope.model import VisualLanguageModel

TOKENS = replace(STYLE, regions="token", tags="none")
REGION_PARTS = {"region_projector", "region_position", "region_markers"}
both_encoders = pytest.mark.parametrize("regions", ["pooled", "tower"])
both_kinds = pytest.mark.parametrize("kind", ["llama", "t5"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The frozen base of tiny models of both kinds."""
    path = tmp_path_factory.mktemp("base")
    for kind in ("llama", "t5"):
        prepare(path, kind)
    return path


def about(*boxes: Box, key: str = "a", images: int = 1) -> Sample:
    """A question about regions."""
    markers = " ".join(f"<region:{number}>" for number in range(1, len(boxes) + 1))
    return sample(key, [ask((f"What is {markers}?", "the dog"), level=Level.REGION)], images=images, boxes=boxes)


ASKED = [*SAMPLES, about(DOG, CAT, key="two"), about(CAT, key="other")]


def build(folder: Path, regions: str, kind: str = "llama") -> VisualLanguageModel:
    torch.manual_seed(0)
    return awake(tiny_model(folder, kind, regions=regions)).eval()


def test_pictures_that_the_data_has_normalised_show_regions_as_their_bytes_do(folder):
    model = build(folder, "tower")
    batch = batch_of(model, ASKED, TOKENS)
    how = model.normalisation()
    floats = replace(batch, region_pictures=tuple(how.region_pixels(pixels_CHW) for pixels_CHW in batch.region_pictures))
    assert {each.dtype for each in floats.region_pictures} == {torch.float32}
    assert torch.equal(model(floats).logits_MV, model(batch).logits_MV)
    assert build(folder, "pooled").normalisation().region_pixels is None


# Rows and regions -----------------------------------------------------------------------------------------------------


@both_encoders
@both_kinds
def test_a_batch_is_its_rows_run_alone(folder, regions, kind):
    model = build(folder, regions, kind)
    together, alone = batch_of(model, ASKED, TOKENS), [batch_of(model, [each], TOKENS) for each in ASKED]
    assert [together.rows[row].key for row in together.region_row_G] == ["region:0", "two:0", "two:0", "other:0"]
    expected = [logits for batch in alone for logits in logits_by_row(model(batch), len(batch))]
    for logits, others in zip(logits_by_row(model(together), len(together)), expected, strict=True):
        assert_close(logits, others, atol=1e-4, rtol=1e-4)


@both_encoders
def test_box_order_picture_and_position_all_change_what_is_predicted(folder, regions):
    model = build(folder, regions)

    def logits(*boxes: Box, key: str = "a"):
        return model(batch_of(model, [about(*boxes, key=key)], TOKENS)).logits_MV

    usual = logits(DOG, CAT)
    assert_close(logits(DOG, CAT), usual)
    for other in (logits(CAT, DOG), logits(DOG, DOG), logits(DOG, CAT, key="c")):
        assert (other - usual).abs().max() > 1e-3
    model.regions.position = None
    assert (logits(DOG, CAT) - usual).abs().max() > 1e-3


def test_a_region_of_a_picture_that_the_prompt_does_not_show_is_still_seen(folder):
    model = build(folder, "tower")
    one = sample("a", [ask(("<image:2> What is <region:1>?", "dog"), level=Level.REGION)], images=2, boxes=[DOG])
    batch = batch_of(model, [one], TOKENS)
    assert len(batch.pixels_ICHW) == len(batch.region_pictures) == 2 and batch.pair_image_N.tolist() == [1]
    assert batch.region_image_G.tolist() == [0]
    usual = model(batch).logits_MV
    black = replace(batch, region_pictures=(torch.zeros_like(batch.region_pictures[0]), batch.region_pictures[1]))
    assert (model(black).logits_MV - usual).abs().max() > 1e-4


# Gradients ------------------------------------------------------------------------------------------------------------


def gradients(model: VisualLanguageModel, samples: list[Sample]) -> dict[str, torch.Tensor]:
    predictions = model(batch_of(model, samples, TOKENS))
    F.cross_entropy(predictions.logits_MV, predictions.targets_M).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}


@both_encoders
def test_regions_teach_their_parts(folder, regions):
    model = build(folder, regions)
    found = gradients(model, ASKED)
    taught = {model.part_of(name) for name, gradient in found.items() if gradient.any()}
    assert taught >= REGION_PARTS
    assert "region_encoder" not in {model.part_of(name) for name in found}


@both_encoders
@pytest.mark.parametrize("samples", [SAMPLES[:1], SAMPLES[2:3]], ids=["text alone", "images alone"])
def test_without_regions_a_dummy_gives_every_part_a_gradient_and_changes_nothing(folder, regions, samples):
    model = build(folder, regions)
    found = gradients(model, samples)
    assert all(gradient is not None for gradient in found.values())
    assert not any(gradient.any() for name, gradient in found.items() if model.part_of(name) in REGION_PARTS)
    batch = batch_of(model, samples, TOKENS)
    usual = model(batch).logits_MV
    model.regions = None
    assert torch.equal(model(batch).logits_MV, usual)


# Generation -----------------------------------------------------------------------------------------------------------


def next_logprobs(model: VisualLanguageModel, batch, written: list[int]) -> torch.Tensor:
    """Of every word behind the question of a batch's only row and some words; the whole row is read anew, without a cache."""
    asked = batch.valid_BT & ~batch.supervised_BT
    fused = model.fused(batch, kept_BT=asked)
    words_1AD = model.language.embed(torch.tensor([written], dtype=torch.long))
    model.language.route.level_B = batch.level_B
    if model.language.seq2seq:
        start = model.language.model.config.decoder_start_token_id
        read = model.language.model(
            inputs_embeds=fused.embeddings_BTD, decoder_input_ids=torch.tensor([[start, *written]]), use_cache=False
        )
    else:
        read = model.language.model(inputs_embeds=torch.cat([fused.embeddings_BTD, words_1AD], dim=1), use_cache=False)
    return read.logits[0, -1].log_softmax(-1)


def search(model: VisualLanguageModel, batch, beams: int, length: int) -> list[int]:
    """Beam search step by step; the score of a hypothesis is its mean log-probability."""
    end = model.language.model.generation_config.eos_token_id
    alive, finished = [(0.0, [])], []
    for _ in range(length):
        longer = [
            (score + float(logprob), [*written, word])
            for score, written in alive
            for word, logprob in enumerate(next_logprobs(model, batch, written))
        ]
        best = sorted(longer, reverse=True)[: 2 * beams]
        finished += [(score / len(words), words[:-1]) for score, words in best[:beams] if words[-1] == end]
        alive = [(score, words) for score, words in best if words[-1] != end][:beams]
    best_words = max([*finished, *((score / length, words) for score, words in alive)])[1]
    padding = model.language.model.config.pad_token_id
    return best_words[: best_words.index(padding)] if padding in best_words else best_words


@both_encoders
@both_kinds
@pytest.mark.parametrize("beams", [1, 3])
@torch.no_grad()
def test_generation_keeps_the_regions_with_beams_and_a_cache(folder, regions, kind, beams):
    model = build(folder, regions, kind)
    batch = batch_of(model, [about(DOG, CAT)], TOKENS)
    (written,) = model.generate(batch, max_new_tokens=4, beams=beams)
    assert written == search(model, batch, beams, length=4)


@both_encoders
@torch.no_grad()
def test_what_is_generated_depends_on_the_region(folder, regions):
    model = build(folder, regions)
    boxes = [Box(x / 10, 0.1, x / 10 + 0.1, 0.9) for x in range(9)]
    written = [model.generate(batch_of(model, [about(box)], TOKENS), max_new_tokens=6)[0] for box in boxes]
    assert len({tuple(words) for words in written}) > 1


@both_encoders
def test_in_the_blind_control_only_the_positions_are_left(folder, regions):
    model = build(folder, regions)
    batches = [batch_of(model, [about(DOG, CAT, key=key)], TOKENS).without_images() for key in ("a", "b")]
    first, second = (model(batch).logits_MV for batch in batches)
    assert torch.equal(first, second)
    moved = batch_of(model, [about(CAT, DOG)], TOKENS).without_images()
    assert (model(moved).logits_MV - first).abs().max() > 1e-3


# Parts ----------------------------------------------------------------------------------------------------------------


def test_parts_of_the_region_encoder_have_names_of_their_own(folder):
    model = tiny_model(folder, bridges=("image_projector",), regions="tower", soft_prompt=False, adapter_bottleneck=None)
    parts = {model.part_of(name) for name, _ in model.named_parameters()}
    assert parts == {"vision", "language", "image_projector", "image_markers", "region_encoder", *REGION_PARTS}


def test_markers_begin_at_the_mean_word(folder):
    model = tiny_model(folder, bridges=("image_projector",), regions="pooled")
    mean_D = model.language.embed(torch.arange(len(model.language.tokenizer))).mean(0)
    for markers in (model.regions.markers, model.bridges["image_projector"].markers):
        assert_close(markers.start_D, mean_D)
        assert_close(markers.end_D, mean_D)


def test_a_stage_uses_all_of_the_region_encoder_all_but_the_position_or_nothing(folder):
    for used in (sorted(REGION_PARTS), ["region_projector", "region_markers"], []):
        model = tiny_model(folder, regions="pooled")
        model.keep_only(["qformer"], [Level.IMAGE], used)
        parts = {model.part_of(name) for name, _ in model.named_parameters()}
        assert parts & REGION_PARTS == set(used)


def test_region_tokens_without_a_region_encoder_are_refused_with_the_remedy(folder):
    model = tiny_model(folder)
    with pytest.raises(ConfigurationError, match=r"sample a:0: found a prompt that shows a region .*set regions to text"):
        model(batch_of(model, [about(DOG)], TOKENS))


def test_a_region_without_its_placeholder_is_refused_by_the_sample_s_key(folder):
    model = tiny_model(folder, regions="pooled")
    batch = batch_of(model, [about(DOG)], TOKENS)
    batch.ids_BT[batch.ids_BT == -2] = 5
    with pytest.raises(ConfigurationError, match=r"sample a:0: found 0 region placeholder\(s\) and 1 region\(s\)"):
        model(batch)


@pytest.mark.parametrize("prompt", ["What is <region:{}>?", "<region:{}> <image:1> What is this?"], ids=["behind", "before"])
def test_rows_share_their_picture_but_never_a_region_that_stands_before_it(folder, prompt):
    model = build(folder, "pooled")
    del model.bridges["qformer"]
    questions = [ask((prompt.format(number), "dog"), level=Level.REGION) for number in (1, 2)]
    batch = batch_of(model, [sample("a", questions, boxes=[DOG, CAT])], TOKENS)
    plain = model(batch).logits_MV
    model.share_prefix = True
    assert_close(model(batch).logits_MV, plain, atol=1e-4, rtol=1e-4)
