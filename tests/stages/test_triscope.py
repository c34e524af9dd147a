"""All parts of the three systems in one tiny model, on questions about an image, about regions, and about several images."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.data.tiny import ask, sample, write_shards
from tests.tiny_model import CAT, DOG, STYLE, awake, batch_of, logits_by_row, prepare, tiny_data, tiny_model, tiny_trainer
from triscope.data.boxes import Box, BoxSpace
from triscope.data.sample import Level, Sample
from triscope.model import VisualLanguageModel
from triscope.stages import ThreeScopesStage

TOKENS = replace(STYLE, regions="token")


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """The frozen base of a tiny model."""
    return prepare(tmp_path_factory.mktemp("base"))


def whole(base: Path) -> VisualLanguageModel:
    """The aggregator's tokens first, as the models of this size have them."""
    return tiny_model(base, bridges=("aggregator", "qformer"), regions="pooled", aligned=True)


def all_scopes(*boxes: Box) -> list[Sample]:
    """A question about an image, one about two regions with tags, one about three images, and one about text alone."""
    regions = [ask(("What is <region:1> and <region:2>?", "the dog and the cat"), level=Level.REGION)]
    return [
        sample("image", [ask(("What is this?", "the dog"))]),
        sample("region", regions, boxes=boxes, tags=["dog"]),
        sample("images", [ask(("<image:1> and <image:2> or <image:3>?", "no"))], images=3),
        sample("text", [ask(("What is this?", "cat"))], images=0),
    ]


def test_a_batch_of_all_scopes_is_its_rows_run_alone(base):
    torch.manual_seed(0)
    model, samples = awake(whole(base)).eval(), all_scopes(DOG, CAT)
    together = batch_of(model, samples, TOKENS)
    assert together.region_row_G.tolist() == [1, 1] and together.pair_row_N.tolist() == [0, 1, 2, 2, 2]
    found = logits_by_row(model(together), len(together))
    for logits, each in zip(found, samples, strict=True):
        torch.testing.assert_close(logits, model(batch_of(model, [each], TOKENS)).logits_MV, atol=1e-4, rtol=1e-4)


def test_sharing_the_prefix_changes_nothing_where_images_have_rows_of_their_own(base):
    torch.manual_seed(0)
    model = awake(whole(base)).eval()
    asked = [ask(("What is this?", "the dog")), ask(("What is <region:1>?", "the cat"), level=Level.REGION)]
    batch = batch_of(model, [sample(key, asked, boxes=[CAT]) for key in "ab"], TOKENS)
    plain = model(batch).logits_MV
    model.share_prefix = True
    assert model.shared_prefix(batch) is not None
    torch.testing.assert_close(model(batch).logits_MV, plain, atol=1e-4, rtol=1e-4)


def test_all_parts_of_the_three_systems_learn_together(base, tmp_path):
    in_pixels = (Box(4, 3, 20, 24, BoxSpace.PIXELS), Box(10, 10, 38, 28, BoxSpace.PIXELS))
    write_shards(tmp_path / "shards", all_scopes(*in_pixels))
    stage = ThreeScopesStage(lambda: awake(whole(base)), learning_rate=0.01, warmup_steps=0, weight_decay=0.0)
    stage.configure_model()
    before = {name: parameter.detach().clone() for name, parameter in stage.model.named_parameters()}
    data = tiny_data(str(tmp_path / "shards"), samples_per_batch=4, prompt_style=TOKENS)
    tiny_trainer(tmp_path, max_steps=2).fit(stage, data)
    changed = {name for name, parameter in stage.model.named_parameters() if not torch.equal(parameter, before[name])}
    assert {stage.model.part_of(name) for name in changed} == set(ThreeScopesStage.trained_parts)
