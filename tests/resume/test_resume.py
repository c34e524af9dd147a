"""A run that is interrupted and resumed is the run that was not: same weights, same losses, bit by bit."""

from pathlib import Path

import lightning.pytorch as lightning
import pytest
import torch

from tests.tiny_model import prepare, tiny_data, tiny_model, tiny_trainer, write_tiny_shards
from triscope.stages import MixtureStage

STEPS = 6


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """The frozen base of a tiny model."""
    return prepare(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> str:
    """Five samples: an epoch of 3 batches, so that 6 steps go over an epoch's end."""
    return write_tiny_shards(tmp_path_factory.mktemp("data") / "shards", count=5)


class Losses(lightning.Callback):
    """The loss of every batch; with `stop_after`, the run is cut off after so many steps, its checkpoint written."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.losses: list[float] = []
        self.stop_after = stop_after

    def on_train_batch_end(self, trainer, stage, outputs, batch, batch_idx) -> None:
        self.losses.append(float(outputs["loss"]))
        if trainer.global_step == self.stop_after:
            trainer.save_checkpoint(Path(trainer.default_root_dir) / "last.ckpt")
            raise KeyboardInterrupt


def run(base: Path, shards: str, folder: Path, seed: int, stop_after: int | None = None, resume: bool = False, micro: int = 1):
    """The state and the losses at the end of a run. Dropout is on; the model's new parts come from `seed`."""
    recorder = Losses(stop_after)

    def build():
        torch.manual_seed(seed)
        return tiny_model(base, dropout=0.3)

    stage = MixtureStage(build, learning_rate=0.01, warmup_steps=2)
    trainer = tiny_trainer(folder, max_steps=STEPS, callbacks=[recorder], accumulate_grad_batches=micro)
    try:
        trainer.fit(stage, tiny_data(shards, 2 // micro), ckpt_path=str(folder / "last.ckpt") if resume else None)
    except (KeyboardInterrupt, SystemExit):
        assert stop_after is not None
    return {name: parameter.detach() for name, parameter in stage.trained_parameters()}, recorder.losses


@pytest.mark.parametrize("micro", [1, 2], ids=["one batch a step", "two micro-batches a step"])
@pytest.mark.parametrize("interrupted_after", [2, 3, 4])
def test_a_run_that_was_interrupted_ends_as_if_it_had_not_been(base, shards, tmp_path, interrupted_after, micro):
    weights, losses = run(base, shards, tmp_path, seed=1, micro=micro)
    _, first = run(base, shards, tmp_path, seed=1, stop_after=interrupted_after, micro=micro)
    torch.manual_seed(interrupted_after)  # what was drawn before does not matter
    resumed, rest = run(base, shards, tmp_path, seed=99, resume=True, micro=micro)
    assert len(losses) >= STEPS and len(set(losses)) == len(losses)
    assert first + rest == losses
    assert resumed.keys() == weights.keys()
    assert all(torch.equal(resumed[name], weights[name]) for name in weights)


def test_dropout_is_drawn_anew_at_every_step(base, tmp_path):
    """One sample without shuffling is the same batch again and again; only dropout tells the steps apart."""
    shards = write_tiny_shards(tmp_path / "shards", count=1)
    recorder = Losses()
    stage = MixtureStage(lambda: tiny_model(base, dropout=0.3), learning_rate=1e-12, warmup_steps=0)
    tiny_trainer(tmp_path, max_steps=3, callbacks=[recorder]).fit(stage, tiny_data(shards, 1))
    assert len(set(recorder.losses)) == 3
