import math

import lightning.pytorch as lightning
import pytest
import torch
from torch.nn import functional as F

from tests.tiny_model import Logged, awake, tiny_data, tiny_model, tiny_trainer, write_tiny_shards
from triscope.callbacks.parts_table import parts_table
from triscope.components.language import LanguageModel
from triscope.components.lora import LoraOptions, add_lora
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Level
from triscope.model import VisualLanguageModel
from triscope.stages import ImageLevelStage, LanguageStage, MixtureStage, RegionLevelStage
from triscope.stages.base import REGION_PARTS, Stage


class Recorded(ImageLevelStage):
    """Keeps the gradients that the optimizer was given, step by step."""

    def configure_gradient_clipping(self, *_: object, **__: object) -> None:
        self.steps = [*getattr(self, "steps", []), {name: value.grad.clone() for name, value in self.trained_parameters()}]


class LearningRates(lightning.Callback):
    """The learning rate of every step, by group."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []

    def on_before_optimizer_step(self, trainer, stage, optimizer) -> None:
        self.rates.append([group["lr"] for group in optimizer.param_groups])


# The loss of a step ---------------------------------------------------------------------------------------------------


def test_four_micro_batches_of_one_are_one_batch_of_four(folder, shards, tmp_path):
    gradients = []
    for micro_batches in (1, 4):
        stage = Recorded(lambda: awake(tiny_model(folder)), warmup_steps=0)
        trainer = tiny_trainer(tmp_path, max_steps=1, accumulate_grad_batches=micro_batches)
        trainer.fit(stage, tiny_data(shards, samples_per_batch=4 // micro_batches))
        gradients += stage.steps
    assert len(gradients) == 2
    assert any(gradient.any() for gradient in gradients[0].values())
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-6, rtol=1e-6)


def test_the_gradient_of_a_step_is_that_of_the_mean_over_all_its_supervised_tokens(folder, shards, tmp_path):
    stage, data = Recorded(lambda: awake(tiny_model(folder)), warmup_steps=0, learning_rate=1e-12), tiny_data(shards, 4)
    tiny_trainer(tmp_path, max_steps=1).fit(stage, data)

    model = awake(tiny_model(folder))
    model.keep_only(stage.bridges, stage.levels)
    (batch,) = data.training_loader(model.tokenizers(), stage.accepted_levels)
    predictions = model(batch)
    assert len({int((predictions.row_M == row).sum()) for row in range(len(batch))}) > 1  # answers of different lengths
    F.cross_entropy(predictions.logits_MV, predictions.targets_M).backward()
    expected = {name: model.get_parameter(name).grad for name in stage.steps[0]}
    torch.testing.assert_close(stage.steps[0], expected, atol=1e-6, rtol=1e-5)


# Learning rates -------------------------------------------------------------------------------------------------------


def test_the_warm_up_warms_and_the_cosine_goes_by_step_to_its_minimum(folder, shards, tmp_path):
    recorder = LearningRates()
    stage = ImageLevelStage(lambda: tiny_model(folder), learning_rate=0.1, minimum_learning_rate=0.02, warmup_steps=4)
    tiny_trainer(tmp_path, max_steps=10, callbacks=[recorder]).fit(stage, tiny_data(shards))
    warming = [0.025, 0.05, 0.075, 0.1]
    falling = [0.02 + 0.08 * (1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)]
    assert [rates[0] for rates in recorder.rates] == pytest.approx(warming + falling)
    assert stage.optimizers().param_groups[0]["lr"] == pytest.approx(0.02)


def test_matrices_decay_vectors_do_not_and_every_trained_tensor_is_in_one_group(folder, shards, tmp_path):
    scales = {"qformer": 0.5}
    stage = ImageLevelStage(lambda: tiny_model(folder), learning_rate=0.1, weight_decay=0.3, learning_rate_scales=scales)
    tiny_trainer(tmp_path, max_steps=1).fit(stage, tiny_data(shards))
    groups = stage.optimizers().param_groups
    name_of = {id(parameter): name for name, parameter in stage.trained_parameters()}
    assert sorted(name_of[id(parameter)] for group in groups for parameter in group["params"]) == sorted(name_of.values())
    for group in groups:
        for parameter in group["params"]:
            part = stage.model.part_of(name_of[id(parameter)])
            assert group["weight_decay"] == (0.3 if parameter.ndim > 1 else 0.0)
            assert group["initial_lr"] == pytest.approx(0.05 if part == "qformer" else 0.1)
            assert part in group["name"]


def test_a_scale_for_a_part_that_does_not_train_is_refused(folder):
    stage = ImageLevelStage(lambda: tiny_model(folder), learning_rate_scales={"aggregator": 0.1})
    with pytest.raises(ConfigurationError, match=r"learning_rate_scales: found \['aggregator'\]; expected parts that train"):
        stage.configure_model()


def test_parts_that_do_not_fit_each_other_are_refused_in_one_message(folder):
    def unfitting() -> VisualLanguageModel:
        return VisualLanguageModel(lambda: LanguageModel(str(folder / "llama"), config_overrides={"heights": 3}))

    with pytest.raises(ConfigurationError, match=r"model: found config_overrides: found 'heights'.*Correct the model's file"):
        ImageLevelStage(unfitting).configure_model()


def test_a_run_without_a_number_of_steps_is_refused(folder, shards, tmp_path):
    stage = ImageLevelStage(lambda: tiny_model(folder))
    with pytest.raises(ConfigurationError, match=r"trainer\.max_steps: found -1"):
        tiny_trainer(tmp_path, max_steps=-1, max_epochs=1).fit(stage, tiny_data(shards))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"learning_rate": 0.0}, "learning_rate: found 0; expected more than 0"),
        ({"learning_rate": -1e-4}, "learning_rate: found -0.0001; expected more than 0"),
        ({"minimum_learning_rate": -1.0}, "minimum_learning_rate: found -1; expected 0 or more"),
        ({"warmup_steps": -5}, "warmup_steps: found -5; expected 0 or more"),
    ],
    ids=str,
)
def test_rates_and_steps_that_cannot_be_are_refused(folder, shards, tmp_path, options, told):
    with pytest.raises(ConfigurationError, match=rf"model\.init_args\.{told}"):
        tiny_trainer(tmp_path).fit(ImageLevelStage(lambda: tiny_model(folder), **options), tiny_data(shards))


# What trains and what is kept -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ImageLevelStage, RegionLevelStage, MixtureStage])
def test_a_stage_trains_its_parts_and_leaves_the_others_as_they_were(folder, shards, tmp_path, kind):
    stage = kind(lambda: awake(tiny_model(folder)), learning_rate=0.01, warmup_steps=0)
    stage.configure_model()
    before = {name: parameter.detach().clone() for name, parameter in stage.model.named_parameters()}
    trained = {stage.model.part_of(name) for name, _ in stage.trained_parameters()}
    tiny_trainer(tmp_path, max_steps=2).fit(stage, tiny_data(shards))
    changed = {name for name, parameter in stage.model.named_parameters() if not torch.equal(parameter, before[name])}
    assert {stage.model.part_of(name) for name in changed} == trained == set(kind.trained_parts) - set(REGION_PARTS)


class PartsWithGradients(lightning.Callback):
    """The parts that have gradients, when these are computed and when the optimizer steps."""

    def __init__(self) -> None:
        self.computed: set[str] = set()
        self.left: set[str] = set()

    def on_after_backward(self, trainer, stage) -> None:
        self.computed = self._now(stage)

    def on_before_optimizer_step(self, trainer, stage, optimizer) -> None:
        self.left = self._now(stage)

    def _now(self, stage: Stage) -> set[str]:
        return {stage.model.part_of(name) for name, each in stage.model.named_parameters() if each.grad is not None}


def test_gradients_of_frozen_parts_that_are_asked_for_are_thrown_away_and_change_nothing(folder, shards, tmp_path):
    runs = []
    for asked in (None, ["vision", "language"]):
        logger, watching = Logged(), PartsWithGradients()
        stage = ImageLevelStage(lambda: awake(tiny_model(folder)), learning_rate=0.01, warmup_steps=0, frozen_gradients=asked)
        options = {"logger": logger, "log_every_n_steps": 1, "callbacks": [watching], "accumulate_grad_batches": 2}
        trainer = tiny_trainer(tmp_path, **options)
        trainer.fit(stage, tiny_data(shards, samples_per_batch=1))
        trainer.save_checkpoint(tmp_path / "kept.ckpt")
        assert watching.left == {"qformer", "adapter_image", "soft_prompt"}
        assert watching.computed == watching.left | set(asked or [])
        assert parts_table(stage, []).count("| frozen") == 2
        runs.append((logger.by_step, torch.load(tmp_path / "kept.ckpt", weights_only=True)["state_dict"]))
    (without, kept), (with_them, kept_too) = runs
    for step, metrics in without.items():
        for name in ("train/loss", "learning/gradient_norm"):
            assert with_them[step][name] == pytest.approx(metrics[name], rel=1e-5)
    torch.testing.assert_close(kept_too, kept)


@pytest.mark.parametrize(
    ("kind", "options", "part"),
    [
        (LanguageStage, {}, "language"),
        (ImageLevelStage, {"dtype": "nf4"}, "language"),
        (LanguageStage, {}, "vision"),
    ],
)
def test_gradients_of_what_trains_is_packed_or_is_not_there_are_refused(folder, kind, options, part):
    stage = kind(lambda: tiny_model(folder, **options), frozen_gradients=[part])
    with pytest.raises(ConfigurationError, match=rf"frozen_gradients: found \['{part}'\]; expected frozen parts"):
        stage.configure_model()


def test_gradients_of_a_tower_whose_features_are_read_are_refused(folder):
    def cached() -> VisualLanguageModel:
        model = tiny_model(folder)
        model.vision.is_cached = True
        return model

    with pytest.raises(ConfigurationError, match=r"frozen_gradients: found \['vision'\]; .* vision without a cache_folder"):
        ImageLevelStage(cached, frozen_gradients=["vision"]).configure_model()


def test_any_stage_trains_a_lora_beside_its_own_parts(folder, shards, tmp_path):
    def with_lora():
        model = awake(tiny_model(folder))
        add_lora(model.language.model, LoraOptions(rank=2))
        return model

    stage = RegionLevelStage(with_lora, learning_rate=0.01, warmup_steps=0, learning_rate_scales={"lora": 2.0})
    trainer = tiny_trainer(tmp_path)
    trainer.fit(stage, tiny_data(shards))
    rates = {name: group["lr"] for group in stage.optimizers().param_groups for name in group["name"].split(", ")[0].split("+")}
    assert rates["lora"] == pytest.approx(2 * rates["aggregator"])
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    state = torch.load(tmp_path / "kept.ckpt", weights_only=True)["state_dict"]
    kept = {stage.model.part_of(name.removeprefix("model.")) for name in state}
    assert kept == {"aggregator", "adapter_region", "soft_prompt", "lora"}  # of the parts it trains, those that the model has
    assert any(tensor.any() for name, tensor in state.items() if ".lora_B" in name)  # it starts at zero


def test_a_checkpoint_holds_the_trained_parts_only(folder, shards, tmp_path):
    stage = RegionLevelStage(lambda: tiny_model(folder))
    trainer = tiny_trainer(tmp_path)
    trainer.fit(stage, tiny_data(shards))
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    state = torch.load(tmp_path / "kept.ckpt", weights_only=True)["state_dict"]
    assert state.keys() == {f"model.{name}" for name, _ in stage.trained_parameters()}
    kept = {stage.model.part_of(name.removeprefix("model.")) for name in state}
    assert kept == set(RegionLevelStage.trained_parts) - set(REGION_PARTS)


def test_a_checkpoint_of_another_stage_or_size_is_refused(folder, shards, tmp_path):
    trainer = tiny_trainer(tmp_path)
    trainer.fit(RegionLevelStage(lambda: tiny_model(folder)), tiny_data(shards))
    trainer.save_checkpoint(tmp_path / "region.ckpt")

    def loaded(stage: Stage) -> None:
        tiny_trainer(tmp_path, limit_val_batches=1).validate(stage, tiny_data(shards), ckpt_path=tmp_path / "region.ckpt")

    expected = r"region\.ckpt: found trained parts adapter_region, aggregator, soft_prompt .*; expected adapter_image, qformer"
    with pytest.raises(ConfigurationError, match=expected):
        loaded(ImageLevelStage(lambda: tiny_model(folder)))
    with pytest.raises(ConfigurationError, match=r"shape \(4, 32\); expected .* of shape \(6, 32\)"):
        loaded(RegionLevelStage(lambda: tiny_model(folder, adapter_bottleneck=6)))
    loaded(RegionLevelStage(lambda: tiny_model(folder)))


@pytest.mark.parametrize(("kind", "level"), [(ImageLevelStage, Level.REGION), (RegionLevelStage, Level.IMAGE)])
def test_data_of_the_wrong_level_is_refused(folder, tmp_path, kind, level):
    wrong = write_tiny_shards(tmp_path / "shards", levels=[level])
    with pytest.raises(ConfigurationError, match=f"{level}") as refusal:
        tiny_trainer(tmp_path).fit(kind(lambda: tiny_model(folder)), tiny_data(wrong))
    assert wrong in str(refusal.value)


def test_a_stage_reads_only_the_level_that_it_accepts(folder, shards, tmp_path):
    read = []

    class Reading(RegionLevelStage):
        def training_step(self, batch):
            read.extend(row.level for row in batch.rows)
            return super().training_step(batch)

    tiny_trainer(tmp_path).fit(Reading(lambda: tiny_model(folder)), tiny_data(shards))
    assert set(read) == {Level.REGION}


# What is logged and written -------------------------------------------------------------------------------------------


def test_what_is_logged_at_a_step_is_the_loss_and_the_gradient_of_that_step(folder, shards, tmp_path):
    """Also where only every second step is logged."""
    runs = []
    for interval in (1, 2):
        logger = Logged()
        stage = MixtureStage(lambda: awake(tiny_model(folder)), learning_rate=0.01, warmup_steps=0)
        tiny_trainer(tmp_path, logger=logger, log_every_n_steps=interval, max_steps=4).fit(stage, tiny_data(shards))
        runs.append(logger.by_step)
    every, second = runs
    assert list(every) == [0, 1, 2, 3] and list(second) == [1, 3]
    wanted = {"train/loss", "train/loss_vqa", "train/loss_pointing", "learning/gradient_norm"}
    for step, metrics in second.items():
        assert wanted <= metrics.keys()
        assert {name: metrics[name] for name in wanted} == {name: every[step][name] for name in wanted}
