from functools import partial
from pathlib import Path

import pytest
import torch

from tests.tiny_model import SAMPLES, awake, batch_of, prepare, tiny_model
from triscope.checkpoints.slices import trained_state, write_slice
from triscope.components.language import LanguageModel
from triscope.data.batch import LEVELS
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Level
from triscope.model import VisualLanguageModel
from triscope.stages import ImageLevelStage, LanguageStage, MixtureStage, RegionLevelStage
from triscope.stages.base import REGION_PARTS, WarmStart

SPECIALISTS = {Level.IMAGE: ImageLevelStage, Level.REGION: RegionLevelStage}
BRIDGE = {Level.IMAGE: "qformer", Level.REGION: "aggregator"}
both_kinds = pytest.mark.parametrize("kind", ["llama", "t5"])


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """The frozen base of tiny models of both kinds."""
    folder = tmp_path_factory.mktemp("base")
    for kind in ("llama", "t5"):
        prepare(folder, kind)
    return folder


def trained(base: Path, kind: str, level: Level, folder: Path):
    """A specialist as it stands after its stage, and where its parts were written."""
    stage = SPECIALISTS[level](lambda: tiny_model(base, kind))
    stage.configure_model()
    awake(stage.model, seed=2 + LEVELS.index(level))
    return stage.eval(), str(write_slice(trained_state(stage.model), folder / level, {}))


@both_kinds
def test_the_mixture_starts_as_each_specialist_on_its_own_level(base, kind, tmp_path):
    specialists = {level: trained(base, kind, level, tmp_path) for level in SPECIALISTS}
    warm = [
        WarmStart(specialists[level][1], [BRIDGE[level], f"adapter_{level}"] + ["soft_prompt"] * (level is Level.IMAGE))
        for level in SPECIALISTS
    ]
    mixture = MixtureStage(lambda: tiny_model(base, kind), warm_start=warm)
    mixture.configure_model()
    mixture.eval()
    batch = batch_of(mixture.model, SAMPLES)
    rows = len(batch)
    valid_BT = batch.valid_BT
    labels_BT = torch.where(batch.supervised_BT, batch.ids_BT, -100)
    embeddings_BTD = torch.randn(rows, valid_BT.shape[1], mixture.model.language.width)
    for level, (specialist, path) in specialists.items():
        level_B = torch.full((rows,), LEVELS.index(level))
        expected = specialist.model.language(embeddings_BTD, valid_BT, labels_BT, level_B)
        found = mixture.model.language(embeddings_BTD, valid_BT, labels_BT, level_B)
        torch.testing.assert_close(found.logits_MV, expected.logits_MV, atol=1e-6, rtol=1e-6)
        assert mixture.origin[f"adapter_{level}"] == path
        bridge, merged = specialist.model.bridges[BRIDGE[level]], mixture.model.bridges[BRIDGE[level]]
        torch.testing.assert_close(merged.state_dict(), bridge.state_dict(), atol=0, rtol=0)


@both_kinds
def test_each_adapter_of_the_mixture_is_exactly_its_specialist_s(base, kind, tmp_path):
    specialists = {level: trained(base, kind, level, tmp_path) for level in SPECIALISTS}
    warm = [WarmStart(path, [f"adapter_{level}"]) for level, (_, path) in specialists.items()]
    mixture = MixtureStage(lambda: tiny_model(base, kind), warm_start=warm)
    mixture.configure_model()
    for name, router in mixture.model.named_parameters():
        if ".router." in name:  # one-hot: the row of a level is one for its own adapter and zero for the other
            own = LEVELS.index(Level(name.rpartition(".")[2]))
            assert (router[own] == 1).all() and (router[1 - own] == 0).all()
    for level, (specialist, _) in specialists.items():
        for name, value in trained_state(specialist.model).items():
            if ".adapters." in name:
                assert torch.equal(mixture.model.get_parameter(name), value), (level, name)


def test_without_a_warm_start_the_mixture_is_joint_training_from_scratch(base):
    mixture = MixtureStage(lambda: tiny_model(base))
    mixture.configure_model()
    assert mixture.origin == {}
    trained = {mixture.model.part_of(name) for name, _ in mixture.trained_parameters()}
    assert trained == set(MixtureStage.trained_parts) - set(REGION_PARTS)


def test_the_language_stage_trains_all_of_the_language_model_and_has_nothing_else(base):
    stage = LanguageStage(lambda: tiny_model(base, soft_prompt=False))
    stage.configure_model()
    parts = {stage.model.part_of(name) for name, _ in stage.trained_parameters()}
    assert parts == {"language"} and stage.model.vision is None and not stage.model.bridges


def test_the_language_stage_can_leave_the_words_as_they_are(base):
    stage = LanguageStage(lambda: tiny_model(base, soft_prompt=False), words_train=False)
    stage.configure_model()
    words = stage.model.language.model.get_input_embeddings().weight
    frozen = [
        parameter
        for name, parameter in stage.model.named_parameters()
        if stage.model.part_of(name) == "language" and not parameter.requires_grad
    ]
    assert len(frozen) == 1 and frozen[0] is words


def test_words_that_mean_nothing_yet_are_not_left_as_they_are(base, tmp_path):
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((base / "llama" / name).read_bytes())
    stage = LanguageStage(partial(VisualLanguageModel, language=partial(LanguageModel, path=str(tmp_path))), words_train=False)
    with pytest.raises(ConfigurationError, match=r"words_train.*false, over random weights"):
        stage.configure_model()
