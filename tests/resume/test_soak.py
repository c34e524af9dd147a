"""A run that is killed thirty times, also while a checkpoint is written, is the run that was not. Not part of the suite:

python -m pytest -m slow tests/resume/test_soak.py
"""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import lightning.pytorch as lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from tests.tiny_model import prepare, tiny_data, tiny_model, tiny_trainer, write_tiny_shards
from triscope.checkpoints.whole import WholeCheckpoints
from triscope.stages import MixtureStage

KILLS, STEPS = 30, 120


class LossFile(lightning.Callback):
    """Writes every loss down at once, as exact as it is."""

    def on_train_batch_end(self, trainer, stage, outputs, batch, batch_idx) -> None:
        with (Path(trainer.default_root_dir) / "losses.txt").open("a") as file:
            file.write(f"{trainer.global_step} {float(outputs['loss']).hex()}\n")


def fit(base: Path, shards: str, folder: Path, workers: int) -> None:
    """Train to the end, from the last checkpoint if there is one."""
    torch.set_num_threads(1)
    last = folder / "last.ckpt"
    checkpoint = ModelCheckpoint(folder, save_last=True, save_top_k=0, every_n_train_steps=1, enable_version_counter=False)
    trainer = tiny_trainer(
        folder,
        max_steps=STEPS,
        callbacks=[LossFile(), checkpoint],
        enable_checkpointing=True,
        plugins=[WholeCheckpoints()],
    )

    def build():
        torch.manual_seed(1)
        return tiny_model(base, dropout=0.3)

    data = tiny_data(shards, 2)
    data.workers = workers
    trainer.fit(MixtureStage(build, learning_rate=0.01), data, ckpt_path=last if last.exists() else None, weights_only=True)


def wait_for(seen, process) -> None:
    while process.is_alive() and not seen():
        time.sleep(0)


def written(file: Path) -> int | None:
    """When a file was last written, in nanoseconds; None where there is none, or it was just renamed."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def lines(folder: Path) -> list[str]:
    file = folder / "losses.txt"
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.slow
def test_thirty_kills_leave_losses_and_weights_as_they_were(tmp_path):
    base = prepare(tmp_path / "base")
    shards = write_tiny_shards(tmp_path / "shards", count=7)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    for folder in (straight, killed):
        folder.mkdir()
    fork = multiprocessing.get_context("fork")
    draw = random.Random(0)
    unfinished = killed / ".last.ckpt.unfinished"
    while_writing = kills = 0
    while kills < KILLS:
        process = fork.Process(target=fit, args=(base, shards, killed, kills % 3))  # another number of workers each time
        earlier = written(unfinished)  # by a process that was killed over it
        is_writing = lambda earlier=earlier: written(unfinished) not in (None, earlier)  # noqa: E731
        process.start()
        before, more = len(lines(killed)), draw.randint(1, 3)
        wait_for(lambda before=before, more=more: len(lines(killed)) >= before + more, process)
        if draw.random() < 0.5:
            wait_for(is_writing, process)
        else:
            time.sleep(draw.random() * 0.2)
        assert process.is_alive(), "the run ended before it was killed as often as it should be"
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1
        while_writing += is_writing()
        if (killed / "last.ckpt").exists():
            torch.load(killed / "last.ckpt", weights_only=True)  # is whole
    for folder in (killed, straight):
        process = fork.Process(target=fit, args=(base, shards, folder, 0))
        process.start()
        process.join()
        assert process.exitcode == 0
    expected = dict(line.split() for line in lines(straight))
    assert len(expected) == STEPS
    assert {tuple(line.split()) for line in lines(killed)} == set(expected.items())
    states = [torch.load(folder / "last.ckpt", weights_only=True)["state_dict"] for folder in (straight, killed)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert while_writing >= 5
    print(f"{kills} kills, {while_writing} of them while a checkpoint was written; {STEPS} losses and all weights equal")
