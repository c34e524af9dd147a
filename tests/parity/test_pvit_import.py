"""The recorded PVIT as its authors' files, whole and as a difference to a base, imported: it says what they recorded."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor
from torch.testing import assert_close

from tests.parity.fixture import Fixture, for_each_fixture
from tests.parity.test_lion_import import word_per_id
from tests.parity.test_pvit_splice import OUTPUTS, batch, clip_tower
from triscope.checkpoints.folder import load_model
from triscope.cli import main

MARKS = 5
TABLES = ("model.embed_tokens.weight", "lm_head.weight")


def llama(fixture: Fixture, marks: int) -> dict:
    """`config.json` of the language model, with so many marks in its vocabulary."""
    sizes = fixture.config["llm"]
    return {
        "model_type": "llava",
        "vocab_size": sizes["vocab"] - MARKS + marks,
        "hidden_size": sizes["hidden"],
        "intermediate_size": sizes["inter"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "rms_norm_eps": sizes["rms_norm_eps"],
        "pad_token_id": sizes["pad"],
        "bos_token_id": sizes["bos"],
        "eos_token_id": sizes["eos"],
    }


def saved(folder: Path, weights: dict[str, Tensor], config: dict) -> Path:
    """As the authors store it: one pickle of tensors in a folder."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    word_per_id(folder, config["vocab_size"])
    torch.save(weights, folder / "pytorch_model.bin")
    return folder


def base_and_difference(weights: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A base that lies near, without marks and projectors, and what must be added to it."""
    torch.manual_seed(0)
    own = ("mm_projector", "prompt_projector", "bbox_fc")
    words = {
        name: value[:-MARKS] if name in TABLES else value
        for name, value in weights.items()
        if not any(part in name for part in own)
    }
    base = {name: value + 0.1 * value.std() * torch.randn_like(value) for name, value in words.items()}
    difference = {name: value.clone() for name, value in weights.items()}
    for name, value in base.items():
        difference[name][: len(value)] -= value
    return base, difference


def model_file(fixture: Fixture, folder: Path) -> Path:
    """The recorded sizes as a model file of ours; its towers are files."""

    def part(name: str, **arguments: object) -> dict:
        return {"class_path": name, "init_args": arguments}

    vision, region = fixture.config["vision"], fixture.config["region"]
    taps = vision["layers"] + vision["select_layer"] + 1
    save_file(clip_tower(fixture.under("vision_weights/"), taps), folder / "clip.safetensors")
    tower = part(
        "triscope.components.vision.VisionEncoder",
        tower="ViT-L-14-quickgelu",
        weights=str(folder / "clip.safetensors"),
        taps=[taps - 1],
        image_size=vision["image"],
        tower_options={
            "width": vision["hidden"],
            "layers": vision["layers"],
            "head_width": vision["hidden"] // vision["heads"],
            "patch_size": vision["patch"],
            "mlp_ratio": vision["inter"] / vision["hidden"],
        },
    )
    regions = part(
        "tests.parity.test_pvit_splice.PaddingRegionEncoder",
        weights=str(folder / "regionclip" / "regions.safetensors"),
        tower_options={"width": region["width"], "layers": region["blocks"], "embed_dim": region["output_dim"]},
    )
    parts = {
        "language": part("triscope.components.language.LanguageModel", path="named/by/the/import", adapter_bottleneck=None),
        "vision": tower,
        "bridges": {"image_projector": part("triscope.components.linear.LinearBridge", markers=True)},
        "regions": regions,
    }
    file = folder / "model.yaml"
    file.write_text(yaml.safe_dump({"class_path": "triscope.model.VisualLanguageModel", "init_args": parts}, sort_keys=False))
    return file


def import_towers_and(fixture: Fixture, folder: Path, *arguments: str) -> Path:
    """Import the region encoder, and PVIT with some arguments."""
    sizes = ("--model", str(model_file(fixture, folder)))
    torch.save({"model": fixture.under("region_weights/") | {"lang_encoder.x": torch.zeros(1)}}, folder / "regionclip.pth")
    main(["import", "regionclip", str(folder / "regionclip.pth"), "--out", str(folder / "regionclip"), *sizes])
    main(["import", "pvit", *arguments, "--out", str(folder / "pvit"), *sizes])
    return folder / "pvit"


@for_each_fixture("pvit", "pvit_splice")
@pytest.mark.parametrize("form", ["merged", "difference"])
@torch.no_grad()
def test_an_imported_pvit_says_what_its_authors_recorded(fixture, form, tmp_path, capsys):
    weights = fixture.under("weights/")
    base, difference = base_and_difference(weights)
    whole = saved(tmp_path / "given", weights if form == "merged" else difference, llama(fixture, MARKS))
    over = ("--base", str(saved(tmp_path / "base", base, llama(fixture, 0)))) if form == "difference" else ()
    model, given = load_model(import_towers_and(fixture, tmp_path, str(whole), *over)), batch(fixture)

    fused, valid_BT = model.fused(given, given.valid_BT), fixture["inputs/attention_mask"].bool()
    assert_close(fused.embeddings_BTD[valid_BT], fixture["outputs/stage2/inputs_embeds"][valid_BT], **OUTPUTS)
    logits = model.language.model(inputs_embeds=fused.embeddings_BTD, attention_mask=valid_BT.long()).logits
    assert_close(logits[valid_BT], fixture["outputs/stage2/logits"][valid_BT][:, :-MARKS], **OUTPUTS)


@for_each_fixture("pvit", "pvit_splice")
@pytest.mark.parametrize(
    ("given", "over", "told"),
    [
        ("difference", None, r"a difference to a base; expected a merged model.*--base"),
        ("weights", "base", r"found a difference of length .* to a base of .*a merged model needs no --base"),
        ("difference", "longer", r"expected shapes that fit together"),
        ("difference", "without a layer", r"model\.layers\.1\..* without base/model\.layers\.1"),
    ],
)
def test_a_base_that_does_not_match_is_refused_and_nothing_is_left(fixture, given, over, told, tmp_path):
    weights = fixture.under("weights/")
    base, difference = base_and_difference(weights)
    if over == "longer":  # a vocabulary of another length
        base |= {name: torch.cat([base[name], base[name][:2]]) for name in TABLES}
    if over == "without a layer":
        base = {name: value for name, value in base.items() if ".layers.1." not in name}
    path = saved(tmp_path / "given", weights if given == "weights" else difference, llama(fixture, MARKS))
    options = ("--base", str(saved(tmp_path / "base", base, llama(fixture, 0)))) if over else ()
    with pytest.raises(SystemExit, match=told):
        import_towers_and(fixture, tmp_path, str(path), *options)
    assert not (tmp_path / "pvit").exists() and not list(tmp_path.glob(".pvit*"))
