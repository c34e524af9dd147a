import torch

from tests.tiny_model import prepare, tiny_model
from triscope.callbacks.parts_table import parts_table
from triscope.checkpoints.slices import trained_state, write_slice
from triscope.stages import ImageLevelStage
from triscope.stages.base import WarmStart


def cells(table: str) -> dict[str, list[str]]:
    lines = [[cell.strip() for cell in line.split("|")] for line in table.splitlines() if "|" in line]
    return {part: rest for part, *rest in lines}


def test_a_run_writes_the_table_before_its_first_step(run_folder):
    table = cells((run_folder / "parts.txt").read_text())
    assert table["part"] == ["state", "parameters", "precision", "learning rate", "from"]
    assert table["language"][0] == table["vision"][0] == "frozen"
    trained = {"qformer", "aggregator", "soft_prompt", "router", "adapter_image", "adapter_region"}
    assert {part for part, (state, *_) in table.items() if state == "trained"} == trained
    assert {table[part][3] for part in trained} == {"0.001"}  # of conf/recipe/on_scenes.yaml


def test_the_table_tells_size_precision_rate_and_origin_of_every_part(tmp_path):
    base = prepare(tmp_path)
    source = tiny_model(base)
    folder = write_slice(trained_state(source), tmp_path / "slice", {})
    stage = ImageLevelStage(lambda: tiny_model(base), warm_start=[WarmStart(str(folder), ["qformer"])])
    stage.configure_model()
    stage.model.vision.to(torch.bfloat16)
    qformer = [parameter for name, parameter in stage.trained_parameters() if stage.model.part_of(name) == "qformer"]
    text = parts_table(stage, [{"params": qformer[:1], "lr": 0.5}, {"params": qformer[1:], "lr": 1e-9, "initial_lr": 0.25}])
    table = cells(text)
    size = sum(parameter.numel() for parameter in qformer)
    assert table["qformer"] == ["trained", f"{size:,}", "float32", "0.25, 0.5", str(folder)]
    assert table["vision"][2:] == ["bfloat16", "", "the base model"]
    assert table["soft_prompt"][4] == "its initialisation"
    trained = sum(parameter.numel() for _, parameter in stage.trained_parameters())
    assert f"{trained:,} of {sum(parameter.numel() for parameter in stage.model.parameters()):,} parameters train" in text
