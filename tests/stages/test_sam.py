from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from tests.data.tiny import ask, sample, write_shards
from tests.tiny_model import SAMPLES, STYLE, awake, batch_of, prepare, tiny_data, tiny_model, tiny_trainer
from triscope.checkpoints.slices import trained_state, write_slice
from triscope.data.prompts import PromptStyle
from triscope.data.sample import Level
from triscope.model import VisualLanguageModel
from triscope.stages import ImageLevelStage, MultiImageStage
from triscope.stages.base import WarmStart

UNTAGGED = PromptStyle(turn=STYLE.turn)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """The frozen base of a tiny model."""
    return prepare(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> str:
    """Samples of one to four pictures, asked about on both levels."""
    folder = tmp_path_factory.mktemp("data") / "shards"
    asked = [ask(("What is this?", "dog")), ask(("Where is the cat?", "left and right"), level=Level.REGION)]
    write_shards(folder, [sample(f"s{images}", asked, images=images) for images in (1, 2, 4, 3)])
    return str(folder)


def sam(base: Path, bridges: Sequence[str] = ("qformer",)) -> VisualLanguageModel:
    return tiny_model(base, bridges=bridges, soft_prompt=False, aligned=True, dropout=0.1)


def test_only_the_alignment_learns_and_all_of_it_does(base, shards, tmp_path):
    """T7: everything else is frozen, to the bit."""
    stage = MultiImageStage(lambda: awake(sam(base)), learning_rate=0.01, warmup_steps=0, weight_decay=0.0)
    stage.configure_model()
    before = {name: parameter.detach().clone() for name, parameter in stage.model.named_parameters()}
    data = tiny_data(shards, samples_per_batch=4, prompt_style=UNTAGGED)
    tiny_trainer(tmp_path, max_steps=2).fit(stage, data)
    changed = {name for name, parameter in stage.model.named_parameters() if not torch.equal(parameter, before[name])}
    trained = {name for name, _ in stage.trained_parameters()}
    assert {stage.model.part_of(name) for name in trained} == {"alignment"}
    assert trained - changed <= {"bridges.qformer.alignment.adjustment.bias"}  # T3: it cancels out
    assert changed <= trained


def test_it_starts_as_the_model_whose_q_former_it_takes(base, tmp_path):
    """The links are zero, so that aligned images give the predictions of images read one by one."""
    image_level = ImageLevelStage(lambda: tiny_model(base, soft_prompt=False))
    image_level.configure_model()
    awake(image_level.model)
    taken = write_slice(trained_state(image_level.model), tmp_path / "image_level", {})
    stage = MultiImageStage(lambda: sam(base), warm_start=[WarmStart(str(taken), ["qformer", "adapter_image"])])
    stage.configure_model()
    samples = [each for each in SAMPLES if each.images and not each.images[0].tags]
    batch = batch_of(stage.model, samples, UNTAGGED)
    batch.level_B.fill_(1)  # the level whose adapter was taken
    logits = [model.eval()(batch).logits_MV for model in (image_level.model, stage.model)]
    torch.testing.assert_close(*logits)


def test_a_test_adds_what_each_picture_is_worth(base, shards, tmp_path):
    stage = MultiImageStage(lambda: awake(sam(base)))
    tiny_trainer(tmp_path).test(stage, tiny_data(shards, samples_per_batch=3, prompt_style=UNTAGGED))
    answers = {control: len(found) for control, found in stage.predictions["tiny"].items()}
    several = {"reordered": 6, "last_only": 6, "without_1": 6, "without_2": 6, "without_3": 4, "without_4": 2}
    assert answers == {"": 8, "blind": 8, "shuffled": 8} | several
