"""The card names every licence underneath: of the base, of both towers, and of imported parts that a run started from."""

import json
from pathlib import Path

import pytest
import torch

from triscope.checkpoints.model_card import base_weights, model_card
from triscope.checkpoints.run import Run


def run_over(folder: Path, trained: str, warm_start: list[dict] | None = None) -> Run:
    """A run of PVIT at its published size, of which one tensor was trained."""
    parts = {
        "language": {"init_args": {"path": "lmsys/vicuna-7b-v1.3"}},
        "vision": {"init_args": {"tower": "ViT-L-14-quickgelu", "weights": "weights/clip_vit_large_patch14.safetensors"}},
        "regions": {"init_args": {"tower": "RN50x4", "weights": "weights/regionclip_pretrained-cc_rn50x4.pth"}},
    }
    arguments = {"model": {"init_args": parts}, "learning_rate": 2e-5, "warm_start": warm_start}
    stage = {"class_path": "triscope.stages.RegionInstructionStage", "init_args": arguments}
    data = {"train": {str(folder / "gone"): 1.0}, "prompt_style": {}}
    config = {"model": stage, "trainer": {"max_steps": 1}, "data": data}
    return Run(folder, config, {trained: torch.zeros(1)})


@pytest.mark.parametrize(
    ("trained", "use"),
    [
        ("language.model.lm_head.weight", "trained further"),
        ("language.model.model.layers.0.mlp.up_proj.lora_A.default.weight", "trained further by a LoRA"),
        ("bridges.image_projector.projection.weight", "frozen"),
    ],
)
def test_licences_of_the_language_model_and_of_both_towers_are_told(trained, use, tmp_path):
    card = model_card(run_over(tmp_path, trained), tmp_path, "slice", [])
    assert f"`lmsys/vicuna-7b-v1.3`, {use}: LLaMA's research licence" in card
    assert "`weights/clip_vit_large_patch14.safetensors`, frozen: MIT" in card
    assert "`weights/regionclip_pretrained-cc_rn50x4.pth`, frozen: Apache-2.0 (Microsoft)" in card
    assert f"`{tmp_path / 'gone'}`: no longer there" in card


def test_imported_parts_that_a_run_started_from_keep_their_licence_and_runs_have_none(tmp_path):
    imported, own = tmp_path / "instructblip", tmp_path / "run"
    for folder in (imported, own):
        folder.mkdir()
    (imported / "manifest.json").write_text(json.dumps({"licence": "for research only"}))
    starts = [{"checkpoint": str(imported), "parts": ["qformer"]}, {"checkpoint": str(own), "parts": ["aggregator"]}]
    run = run_over(tmp_path, "bridges.qformer.queries_Qh", starts)
    assert base_weights(run)[str(imported)] == "start of qformer" and str(own) not in base_weights(run)
    assert f"`{imported}`, start of qformer: for research only" in model_card(run, tmp_path / "out", "slice", [])
