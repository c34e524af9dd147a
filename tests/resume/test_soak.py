"""A run that is killed thirty times, also while a checkpoint is written, and goes on by `triscope fit --ckpt_path last`, is the
run that was not. Not part of the suite:

python -m pytest -m slow -s tests/resume/test_soak.py
python -m pytest -m slow -s tests/resume/test_soak.py -k five_kills
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

from tests.tiny_model import fit_arguments, prepare, write_tiny_shards
from triscope.cli import main

CHECKPOINTS = "checkpoints"


class LossFile(lightning.Callback):
    """Writes every loss down at once, as exact as it is."""

    def on_train_batch_end(self, trainer, stage, outputs, batch, batch_idx) -> None:
        with (Path(trainer.default_root_dir) / "losses.txt").open("a") as file:
            file.write(f"{trainer.global_step} {float(outputs['loss']).hex()}\n")


def fit(base: Path, shards: str, folder: Path, steps: int, workers: int) -> None:
    """Train to the end by the command line, from the last checkpoint if there is one. The model's Q-Former has dropout."""
    torch.set_num_threads(1)
    more = {"trainer.max_steps": steps, "trainer.limit_val_batches": 0, "data.workers": workers, "ckpt_path": "last"}
    more |= {"checkpoint.every_n_train_steps": 1, "run.wandb": "disabled"}
    more |= {"trainer.callbacks+": f"{__name__}.{LossFile.__name__}"}
    main(fit_arguments(base, shards, folder, *(f"--{name}={value}" for name, value in more.items())))


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
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("killed_times", "steps"), [(5, 25), (30, 120)], ids=["five_kills", "thirty_kills"])
def test_kills_leave_losses_and_weights_as_they_were(tmp_path, killed_times, steps):
    base = prepare(tmp_path / "base")
    shards = write_tiny_shards(tmp_path / "shards", count=7)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    for folder in (straight, killed):
        folder.mkdir()
    fork = multiprocessing.get_context("fork")
    draw = random.Random(0)
    last = killed / CHECKPOINTS / "last.ckpt"
    unfinished = last.with_name(".last.ckpt.unfinished")
    while_writing = kills = 0
    while kills < killed_times:
        process = fork.Process(target=fit, args=(base, shards, killed, steps, kills % 3))  # another number of workers each time
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
        if last.exists():
            torch.load(last, weights_only=True)  # is whole
    for folder in (killed, straight):
        process = fork.Process(target=fit, args=(base, shards, folder, steps, 0))
        process.start()
        process.join()
        assert process.exitcode == 0
    expected = dict(line.split() for line in lines(straight))
    assert len(expected) == steps
    assert {tuple(line.split()) for line in lines(killed)} == set(expected.items())
    states = [torch.load(folder / CHECKPOINTS / "last.ckpt", weights_only=True)["state_dict"] for folder in (straight, killed)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert while_writing >= kills // 6  # of five it may be none: a small checkpoint is soon written
    print(f"{kills} kills, {while_writing} of them while a checkpoint was written; {steps} losses and all weights equal")
