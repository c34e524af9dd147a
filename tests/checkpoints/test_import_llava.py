"""LLaVA with random weights: saved as Hugging Face or its authors do, and imported, it gives its own logits and answers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.testing import assert_close
from transformers import LlavaConfig, LlavaForConditionalGeneration

from tests.checkpoints.test_import_blip import ANSWERS, IMAGE_TOKEN, LANGUAGES, PROMPTS, VISION
from tests.data.tiny import word_tokenizer
from tests.rows import batch_of_rows
from tests.tiny_model import fit_arguments, prepare, write_model_file, write_tiny_shards
from triscope.checkpoints.folder import load_model
from triscope.checkpoints.run import Run
from triscope.checkpoints.slices import read_slice
from triscope.cli import main
from triscope.data.batch import Batch, Placeholder
from triscope.data.sample import Level

PATCHES = 4


def hugging_face(layer: int) -> LlavaForConditionalGeneration:
    """A tiny model with random weights everywhere."""
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config={**VISION, "model_type": "clip_vision_model", "num_hidden_layers": 3, "projection_dim": 8},
        text_config=LANGUAGES["llama"],
        image_token_index=IMAGE_TOKEN,
        vision_feature_layer=layer,
    )
    model = LlavaForConditionalGeneration(config).eval()
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, mean=1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0, std=0.2)
    return model


def batch(pixels: torch.Tensor) -> Batch:
    rows = [([Placeholder.IMAGE, *prompt], answer) for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)]
    nothing = torch.zeros(len(rows), 0, dtype=torch.long)
    return batch_of_rows(rows, pixels, nothing, nothing, Level.IMAGE)


@pytest.mark.parametrize("layer", [-2, -1])
@torch.no_grad()
def test_an_imported_model_gives_its_own_logits_and_answers(layer, tmp_path):
    theirs = hugging_face(layer)
    theirs.save_pretrained(tmp_path / "theirs")
    word_tokenizer(bos=True).save_pretrained(tmp_path / "theirs")
    main(["import", "llava", str(tmp_path / "theirs"), "--out", str(tmp_path / "ours")])
    ours, pixels = load_model(tmp_path / "ours"), torch.randn(2, 3, 28, 28)

    prompts = torch.tensor([[IMAGE_TOKEN] * PATCHES + prompt for prompt in PROMPTS])
    predictions = ours(batch(pixels))
    for row, answer in enumerate(ANSWERS):
        ids = torch.cat([prompts[row], torch.tensor(answer)])[None]
        logits = theirs(input_ids=ids, pixel_values=pixels[[row]]).logits[0, -len(answer) - 1 : -1]
        assert_close(predictions.logits_MV[predictions.row_M == row], logits, atol=1e-4, rtol=1e-4)

    written = theirs.generate(input_ids=prompts, pixel_values=pixels, max_new_tokens=6, do_sample=False, pad_token_id=0)
    new = written[:, prompts.shape[1] :].tolist()
    until_end = [ids[: next((place for place, token in enumerate(ids) if token in (0, 2)), len(ids))] for ids in new]
    assert ours.generate(batch(pixels), max_new_tokens=6) == until_end


# The authors' layout --------------------------------------------------------------------------------------------------

PATCH, START, END = (torch.full((1, 32), value) for value in (0.1, 0.2, 0.3))  # their marks: rows behind the vocabulary


def as_authors_store_it(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A LLaVA of Hugging Face under the authors' names, without the tower."""
    renamed = {}
    for name, value in weights.items():
        if name.startswith("language_model."):
            renamed[name.removeprefix("language_model.")] = value
        elif name.startswith("multi_modal_projector."):
            _, linear, kind = name.split(".")
            renamed[f"model.mm_projector.{0 if linear == 'linear_1' else 2}.{kind}"] = value
    return renamed


def authors_folder(folder: Path, weights: dict[str, Tensor], config: dict[str, object]) -> Path:
    """Configuration, tokenizer and one pickle of tensors."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "llava"}))
    word_tokenizer(bos=True).save_pretrained(folder)
    torch.save(weights, folder / "pytorch_model.bin")
    return folder


@torch.no_grad()
def test_a_model_of_the_authors_gives_the_logits_that_it_gives_from_hugging_face_s_folder(tmp_path):
    theirs = hugging_face(-2)
    theirs.save_pretrained(tmp_path / "theirs")
    word_tokenizer(bos=True).save_pretrained(tmp_path / "theirs")
    main(["import", "llava", str(tmp_path / "theirs"), "--out", str(tmp_path / "one")])
    weights = as_authors_store_it(load_file(tmp_path / "theirs" / "model.safetensors"))
    model = yaml.safe_load((tmp_path / "one" / "recipe.yaml").read_text())["model"]["init_args"]["model"]
    model["init_args"]["vision"]["init_args"]["weights"] = str(tmp_path / "one" / "vision.safetensors")
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(model))
    given = authors_folder(tmp_path / "given", weights, LANGUAGES["llama"])
    main(["import", "llava", str(given), "--model", str(tmp_path / "model.yaml"), "--out", str(tmp_path / "two")])

    pixels = torch.randn(2, 3, 28, 28)
    one, two = (load_model(tmp_path / name)(batch(pixels)).logits_MV for name in ("one", "two"))
    assert torch.equal(one, two)


def marked(table_WD: Tensor) -> Tensor:
    return torch.cat([table_WD, PATCH, START, END])


def whole_folder(base: Path, folder: Path, projector: dict[str, Tensor], weights: dict[str, Tensor] | None = None) -> Path:
    """A LLaVA v1 over the tiny language model or a tuned one: one Linear, and marks behind the vocabulary."""
    weights = dict(weights or load_file(base / "llama" / "model.safetensors"))
    weights |= {name: marked(weights[name]) for name in ("model.embed_tokens.weight", "lm_head.weight")}
    config = json.loads((base / "llama" / "config.json").read_text()) | {"vocab_size": len(weights["lm_head.weight"])}
    return authors_folder(folder, weights | projector, {**config, "mm_use_im_start_end": True})


def projector_alone(base: Path, folder: Path, projector: dict[str, Tensor]) -> Path:
    """`mm_projector.bin`, with the table of words that was trained beside it."""
    table = load_file(base / "llama" / "model.safetensors")["model.embed_tokens.weight"]
    folder.mkdir()
    torch.save(projector | {"model.embed_tokens.weight": marked(table)}, folder / "mm_projector.bin")
    return folder / "mm_projector.bin"


@pytest.mark.parametrize("write", [whole_folder, projector_alone])
def test_the_first_stage_of_pvit_starts_from_the_projector_and_the_marks_of_the_authors(write: Callable, tmp_path):
    base = prepare(tmp_path)
    shards = write_tiny_shards(base / "shards")
    projector = {"model.mm_projector.weight": torch.randn(32, 32), "model.mm_projector.bias": torch.randn(32)}
    given, model = write(base, tmp_path / "given", projector), write_model_file(base, "pvit")
    main(["import", "llava", str(given), "--model", model, "--out", str(tmp_path / "llava")])
    parts = read_slice(tmp_path / "llava")
    assert torch.equal(parts["bridges.image_projector.markers.start_D"], START[0])
    assert torch.equal(parts["bridges.image_projector.markers.end_D"], END[0])

    warm = json.dumps([{"checkpoint": str(tmp_path / "llava"), "parts": ["image_projector", "image_markers"]}])
    options = ("--model.init_args.warm_start", warm, "--data.prompt_style.tags", "none", "--run.wandb", "disabled")
    long = ("--data.prompt_style.max_prompt_tokens", "200", "--trainer.max_steps", "1")
    main(fit_arguments(base, shards, tmp_path / "run", *options, *long, recipe="pvit_1_alignment", system="pvit"))
    trained = Run.open(tmp_path / "run").restore().state_dict()
    assert torch.equal(trained["bridges.image_projector.projection.weight"], projector["model.mm_projector.weight"])
    assert all(torch.equal(trained[name], value) for name, value in parts.items())


def test_a_whole_model_of_the_authors_leaves_the_vocabulary_of_its_base(tmp_path):
    base = prepare(tmp_path)
    projector = {"model.mm_projector.weight": torch.randn(32, 32), "model.mm_projector.bias": torch.randn(32)}
    given, model = whole_folder(base, tmp_path / "given", projector), write_model_file(base, "pvit")
    main(["import", "llava", str(given), "--model", model, "--out", str(tmp_path / "llava")])
    ours, plain = (load_file(folder / "model.safetensors") for folder in (tmp_path / "llava" / "language", base / "llama"))
    assert ours.keys() == plain.keys() and all(torch.equal(ours[name], plain[name]) for name in plain)


# Their difference to a base -------------------------------------------------------------------------------------------

PROJECTOR = {"model.mm_projector.weight": torch.ones(32, 32), "model.mm_projector.bias": torch.ones(32)}


def tuned_and_difference(base: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The language model tuned a little, and what that changed."""
    torch.manual_seed(1)
    plain = load_file(base / "llama" / "model.safetensors")
    changes = {name: 0.01 * torch.randn_like(value) for name, value in plain.items()}
    return {name: value + changes[name] for name, value in plain.items()}, changes


@torch.no_grad()
def test_a_difference_to_its_base_is_the_whole_model(tmp_path):
    base = prepare(tmp_path)
    tuned, difference = tuned_and_difference(base)
    model = ("--model", write_model_file(base, "pvit"))
    main(["import", "llava", str(whole_folder(base, tmp_path / "a", PROJECTOR, tuned)), *model, "--out", str(tmp_path / "one")])
    given = whole_folder(base, tmp_path / "b", PROJECTOR, difference)
    main(["import", "llava", str(given), "--base", str(base / "llama"), *model, "--out", str(tmp_path / "two")])

    one, two = (load_model(tmp_path / name) for name in ("one", "two"))
    assert_close(two.state_dict(), one.state_dict(), rtol=1e-5, atol=1e-6)
    assert_close(two.language.model.state_dict(), tuned, rtol=1e-5, atol=1e-6)
    pixels = torch.randn(2, 3, 28, 28)
    assert_close(two(batch(pixels)).logits_MV, one(batch(pixels)).logits_MV, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("form", "over", "told"),
    [
        ("difference", None, r"a difference to a base; expected a merged model.*--base"),
        ("tuned", "base", r"found a difference of length .* to a base of .*a merged model needs no --base"),
        ("difference", "longer", r"expected shapes that fit together"),
    ],
)
def test_a_base_that_does_not_match_is_refused_and_nothing_is_left(form, over, told, tmp_path):
    base = prepare(tmp_path)
    tuned, difference = tuned_and_difference(base)
    given = whole_folder(base, tmp_path / "given", PROJECTOR, tuned if form == "tuned" else difference)
    options = ("--base", str(base / "llama")) if over else ()
    if over == "longer":  # a vocabulary of another length
        save_file({**tuned, "lm_head.weight": marked(tuned["lm_head.weight"])}, base / "llama" / "model.safetensors")
    with pytest.raises(SystemExit, match=told):
        main(["import", "llava", str(given), *options, "--model", write_model_file(base, "pvit"), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))
