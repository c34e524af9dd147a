"""Several processes on this machine, that talk over gloo: as a launcher such as torchrun starts them on GPUs."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.spawn import start_processes

HANGS_AFTER = 400  # seconds; a loaded machine is slow, and a test may start ranks twice


def on_ranks(world_size: int, folder: Path, work: Callable[[int], Any]) -> list:
    """What a function returns on each of some processes, which are forked from this one.

    Args:
        world_size: how many processes.
        folder: new; results pass through it.
        work: called with the rank.

    Raises:
        TimeoutError: the processes wait for each other.
    """
    folder.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    processes = start_processes(_run, (world_size, port, folder, work), world_size, join=False, start_method="fork")
    end = time.monotonic() + HANGS_AFTER
    while not processes.join(timeout=1):
        if time.monotonic() > end:
            for process in processes.processes:
                process.kill()
            raise TimeoutError(f"{world_size} processes did not end within {HANGS_AFTER} s")
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world_size)]


def _run(rank: int, world_size: int, port: int, folder: Path, work: Callable[[int], Any]) -> None:
    torch.set_num_threads(1)
    told = {"LOCAL_RANK": rank, "NODE_RANK": 0, "WORLD_SIZE": world_size, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in told.items()})
    torch.save(work(rank), folder / f"{rank}.pt")
