"""The whole SAM, pixels and ids in, against recorded numbers of its authors, at the tolerances of the fixture's README."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from tests.parity import sam_keys, sam_sizes
from tests.parity.fixture import Fixture, for_each_fixture
from triscope.components.alignment import SemanticAlignment
from triscope.components.language import LanguageModel
from triscope.components.qformer import QFormerBridge
from triscope.components.vision import VisionEncoder
from triscope.data.batch import LEVELS, Batch, Placeholder, Row
from triscope.data.sample import Level
from triscope.model import VisualLanguageModel
from triscope.stages import MultiImageStage

OUTPUTS = {"atol": 2e-5, "rtol": 1e-4}
GRADIENTS = {"atol": 1e-6, "rtol": 1e-3}
# Recorded run, and whether the images guide each other in it; the authors' code leaves a lone picture plain.
every_run = pytest.mark.parametrize(("run", "aligned"), [("n3", True), ("n1", True), ("single", False)])


def sam(fixture: Fixture, folder: Path, aligned: bool) -> VisualLanguageModel:
    """The reference's model."""
    config, weights = fixture.config, fixture.under("weights/")
    (folder / "config.json").write_text(json.dumps(sam_sizes.llama(config)))
    alignment = partial(SemanticAlignment, read_layer=config["l"], guide_layer=config["k"]) if aligned else None
    model = VisualLanguageModel(
        language=lambda: LanguageModel(str(folder), adapter_bottleneck=None),
        vision=lambda: VisionEncoder(**sam_sizes.vision(config)),
        bridges={"qformer": partial(QFormerBridge, alignment=alignment, **sam_sizes.qformer(config))},
    )
    state = {f"vision.tower.{name}": value for name, value in fixture.under("weights/visual_encoder.").items()}
    state |= {f"language.model.{name}": value for name, value in fixture.under("weights/llm_model.").items()}
    state |= {f"bridges.qformer.{name}": value for name, value in sam_keys.qformer_bridge(weights).items()}
    kept = model.state_dict().keys()  # buffers are derived values, and a plain bridge has no alignment
    model.load_state_dict({name: value for name, value in state.items() if name in kept})
    return model.eval()


def batch(fixture: Fixture, run: str) -> Batch:
    """The recorded inputs as the data of this project is laid out: a row's images in front of its text."""
    pixels = fixture[f"inputs/{run}/pixels"]
    pixels_BnCHW = pixels.transpose(1, 2) if pixels.ndim == 5 else pixels[:, None]
    rows, images = pixels_BnCHW.shape[:2]
    text_BT, valid_BT = fixture["outputs/llm_ids"], fixture["outputs/llm_ids_mask"].bool()
    supervised_BT = fixture[f"outputs/{run}/labels"][:, -text_BT.shape[1] :] >= 0
    front_Bn = torch.full((rows, images), int(Placeholder.IMAGE))
    yes_Bn, nothing = torch.ones_like(front_Bn, dtype=torch.bool), torch.empty(0, dtype=torch.long)
    return Batch(
        pixels_ICHW=pixels_BnCHW.flatten(0, 1),
        ids_BT=torch.cat([front_Bn, text_BT], dim=1),
        valid_BT=torch.cat([yes_Bn, valid_BT], dim=1),
        supervised_BT=torch.cat([~yes_Bn, supervised_BT], dim=1),
        question_ids_BS=fixture["inputs/qformer_ids"],
        question_valid_BS=fixture["inputs/qformer_mask"].bool(),
        level_B=torch.full((rows,), LEVELS.index(Level.IMAGE)),
        pair_row_N=torch.arange(rows).repeat_interleave(images),
        pair_image_N=torch.arange(rows * images),
        region_row_G=nothing,
        region_image_G=nothing,
        boxes_G4=torch.empty(0, 4),
        rows=tuple(Row(f"{number}:0", "any", Level.IMAGE, "", ("",)) for number in range(rows)),
    )


@for_each_fixture("sam", "sam_full")
@every_run
def test_what_the_language_model_reads_and_predicts_is_the_authors(fixture, run, aligned, tmp_path):
    model, given = sam(fixture, tmp_path, aligned), batch(fixture, run)
    fused = model.fused(given, kept_BT=given.valid_BT)
    mask_BT = fixture[f"outputs/{run}/attention_mask"].bool()
    assert_close(fused.embeddings_BTD[fused.valid_BT], fixture[f"outputs/{run}/inputs_embeds"][mask_BT], **OUTPUTS)

    predictions = model(given)
    labels_BT = fixture[f"outputs/{run}/labels"]
    assert_close(predictions.logits_MV, fixture[f"outputs/{run}/logits"][:, :-1][labels_BT[:, 1:] >= 0], **OUTPUTS)
    loss = F.cross_entropy(predictions.logits_MV, predictions.targets_M)
    assert_close(loss, fixture[f"outputs/{run}/loss"].squeeze(), **OUTPUTS)


@for_each_fixture("sam", "sam_full")
@pytest.mark.parametrize("run", ["n3", "n1"])
def test_the_stage_trains_what_the_authors_train_with_their_gradients(fixture, run, tmp_path):
    stage = MultiImageStage(lambda: sam(fixture, tmp_path, aligned=True))
    stage.configure_model()
    predictions = stage.eval().model(batch(fixture, run))
    F.cross_entropy(predictions.logits_MV, predictions.targets_M).backward()
    expected = sam_keys.alignment(fixture.under(f"grads/{run}/"))
    found = {name.removeprefix("bridges.qformer.alignment."): value.grad for name, value in stage.trained_parameters()}
    assert_close(found, expected, **GRADIENTS)


@for_each_fixture("sam", "sam_full")
def test_the_features_of_the_images_are_the_authors(fixture, tmp_path):
    model, given = sam(fixture, tmp_path, aligned=True), batch(fixture, "n3")
    (features_IPV,) = model.vision(given.pixels_ICHW)
    assert_close(features_IPV, fixture["outputs/n3/vit"].flatten(0, 1), **OUTPUTS)
    assert_close(model.bridges["qformer"].norm(features_IPV), fixture["outputs/n3/I"].flatten(0, 1), **OUTPUTS)
