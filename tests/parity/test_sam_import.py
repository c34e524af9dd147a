"""The recorded SAM as its authors' two files, imported by the command: it then predicts what they recorded."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch.testing import assert_close

from tests.parity import sam_sizes
from tests.parity.fixture import Fixture, for_each_fixture
from tests.parity.test_lion_import import word_per_id
from tests.parity.test_sam_full import OUTPUTS, batch
from triscope.checkpoints.folder import load_model
from triscope.cli import main

LINKS = ("Qformer.bert.encoder.one_2_muliple.", "Qformer.bert.encoder.multiple_2_one.", "attn.")
OF_INSTRUCTBLIP = ("query_tokens", "Qformer.", "ln_vision.", "llm_proj.")


def frozen_language_model(fixture: Fixture, folder: Path) -> None:
    """The recorded LLaMA as Hugging Face stores it."""
    folder.mkdir()
    llama = sam_sizes.llama(fixture.config)
    (folder / "config.json").write_text(json.dumps(llama))
    word_per_id(folder, llama["vocab_size"])
    weights = {name: value for name, value in fixture.under("weights/llm_model.").items() if "inv_freq" not in name}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def model_file(fixture: Fixture, folder: Path) -> Path:
    """The recorded sizes as a model file of ours."""

    def part(name: str, **arguments: object) -> dict:
        return {"class_path": f"triscope.components.{name}", "init_args": arguments}

    config = fixture.config
    vision = sam_sizes.vision(config) | {"taps": list(sam_sizes.vision(config)["taps"])}  # YAML knows no tuples
    tower = part("vision.VisionEncoder", weights=str(folder / "eva" / "vision.safetensors"), **vision)
    alignment = part("alignment.SemanticAlignment", read_layer=config["l"], guide_layer=config["k"])
    bridge = part("qformer.QFormerBridge", alignment=alignment, **sam_sizes.qformer(config))
    language = part("language.LanguageModel", path=str(folder / "llama"), adapter_bottleneck=None)
    parts = {"language": language, "vision": tower, "bridges": {"qformer": bridge}}
    file = folder / "model.yaml"
    file.write_text(yaml.safe_dump({"class_path": "triscope.model.VisualLanguageModel", "init_args": parts}, sort_keys=False))
    return file


@for_each_fixture("sam", "sam_full")
@torch.no_grad()
def test_an_imported_sam_predicts_as_its_authors(fixture, tmp_path, capsys):
    weights = fixture.under("weights/")
    frozen_language_model(fixture, tmp_path / "llama")
    own = {name: value for name, value in weights.items() if name.startswith(LINKS)}
    base = {name: value for name, value in weights.items() if name.startswith(OF_INSTRUCTBLIP) and name not in own}
    torch.save({"model": own}, tmp_path / "sam.pth")
    torch.save({"model": base}, tmp_path / "instructblip.pth")
    torch.save(fixture.under("weights/visual_encoder."), tmp_path / "eva.pth")
    sizes = ("--model", str(model_file(fixture, tmp_path)))
    main(["import", "eva-vit-g", str(tmp_path / "eva.pth"), "--out", str(tmp_path / "eva"), *sizes])
    files = (str(tmp_path / "sam.pth"), "--base", str(tmp_path / "instructblip.pth"))
    main(["import", "sam", *files, "--out", str(tmp_path / "sam"), *sizes])
    model = load_model(tmp_path / "sam")
    for run in ("n3", "n1"):
        predictions, labels_BT = model(batch(fixture, run)), fixture[f"outputs/{run}/labels"]
        assert_close(predictions.logits_MV, fixture[f"outputs/{run}/logits"][:, :-1][labels_BT[:, 1:] >= 0], **OUTPUTS)

    main(["import", "sam", str(tmp_path / "sam.pth"), "--out", str(tmp_path / "alignment"), *sizes])
    assert not (tmp_path / "alignment" / "recipe.yaml").exists()  # a part, to start from


@for_each_fixture("sam", "sam_full")
def test_a_base_of_another_size_is_refused(fixture, tmp_path):
    weights = fixture.under("weights/")
    own = {name: value for name, value in weights.items() if name.startswith(LINKS)}
    base = {name: value for name, value in weights.items() if name.startswith(OF_INSTRUCTBLIP) and name not in own}
    base["query_tokens"] = torch.zeros(1, 7, 9)
    torch.save(own, tmp_path / "sam.pth")
    torch.save(base, tmp_path / "instructblip.pth")
    frozen_language_model(fixture, tmp_path / "llama")
    files = (str(tmp_path / "sam.pth"), "--base", str(tmp_path / "instructblip.pth"))
    with pytest.raises(SystemExit, match=r"base/query_tokens of shape \(7, 9\); expected"):
        main(["import", "sam", *files, "--out", str(tmp_path / "out"), "--model", str(model_file(fixture, tmp_path))])
    assert not (tmp_path / "out").exists()
