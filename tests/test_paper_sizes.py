"""The models of the papers at their real sizes, on the meta device: as many parameters as the papers and releases say."""

from collections import Counter

import pytest
import torch

from benchmarks.paper_models import model_of
from triscope.model import VisualLanguageModel
from triscope.stages import MultiImageStage

LLAMA_7B_PARAMETERS, EVA_PARAMETERS = 6_738_415_616, 985_894_528


def parameters_by_part(model: VisualLanguageModel) -> Counter[str]:
    """How many each part has."""
    count = Counter[str]()
    for name, parameter in model.named_parameters():
        count[model.part_of(name)] += parameter.numel()
    return count


@pytest.mark.parametrize(
    ("name", "width", "adapters", "router", "language"),
    [("lion_4b", 2048, 25.4, 0.39, 2_849_757_184), ("lion_12b", 4096, 50.7, 0.79, 11_135_332_352)],
)
def test_lion_has_the_size_of_the_paper(tmp_path, name, width, adapters, router, language):
    with torch.device("meta"):
        model = model_of(name, tmp_path)()
    count = parameters_by_part(model)
    aggregator = sum(parameter.numel() for parameter in model.bridges["aggregator"].aggregator.parameters())
    assert aggregator / 1e6 == pytest.approx(49.07, abs=0.005)
    assert count["adapter_image"] == count["adapter_region"]
    assert (count["adapter_image"] + count["adapter_region"]) / 1e6 == pytest.approx(adapters, abs=0.05)
    assert count["router"] / 1e6 == pytest.approx(router, abs=0.005)
    assert (count["language"], count["vision"], count["soft_prompt"]) == (language, EVA_PARAMETERS, width)
    assert all(parameter.is_meta for parameter in model.parameters())


def test_sam_trains_exactly_as_many_parameters_as_the_authors(tmp_path):
    stage = MultiImageStage(model_of("sam_7b", tmp_path))
    with torch.device("meta"):
        stage.configure_model()
    assert sum(parameter.numel() for _, parameter in stage.trained_parameters()) == 1_182_593
    count = parameters_by_part(stage.model)
    assert count["alignment"] == 1_182_593
    assert (count["language"], count["vision"]) == (LLAMA_7B_PARAMETERS, EVA_PARAMETERS)


def test_pvit_has_the_sizes_of_the_release(tmp_path):
    with torch.device("meta"):
        count = parameters_by_part(model_of("pvit_7b", tmp_path)())
    assert count["language"] == LLAMA_7B_PARAMETERS
    assert count["image_projector"] == 4096 * 1024 + 4096
    assert count["region_projector"] == 4096 * 640 + 4096 and count["region_position"] == 4096 * 4 + 4096
    # What the release adds to LLaMA-7B: these three, and the words <im_start>, <im_end>, <Region>, </Region>.
    assert count["image_markers"] + count["region_markers"] == 4 * 4096
