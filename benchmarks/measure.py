"""Measuring two or more ways of doing the same work in one run, in turns, so that what else the machine does hits all alike."""

import ctypes
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from triscope.version import code_version

MIB = 2**20
_MMAP_THRESHOLD, _MMAP_BYTES = -3, 64 * 1024  # glibc's M_MMAP_THRESHOLD: larger blocks are given back when they are freed


@dataclass(frozen=True)
class Timing:
    """Seconds of each round, in order."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def rate(self, count: float) -> dict[str, float]:
        """How many a second: median, lowest, highest."""
        rates = [count / second for second in self.seconds]
        return {"median": statistics.median(rates), "lowest": min(rates), "highest": max(rates)}


def in_turns(
    work: Mapping[str, Callable[[], Any]], rounds: int, clock: Callable[[], float], warm_up: int = 1
) -> dict[str, Timing]:
    """Time each way of working once a round, every other round in reverse order.

    Args:
        work: by name.
        rounds: that count.
        clock: seconds.
        warm_up: rounds before, that do not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for number in range(-warm_up, rounds):
        for name in list(work) if number % 2 else reversed(list(work)):
            start = clock()
            work[name]()
            if number >= 0:
                seconds[name].append(clock() - start)
    return {name: Timing(tuple(taken)) for name, taken in seconds.items()}


def ratio(slow: Timing, fast: Timing) -> dict[str, float]:
    """How many times faster the second is: of the medians, and the lowest and highest of a round."""
    rounds = [a / b for a, b in zip(slow.seconds, fast.seconds, strict=True)]
    return {"median": slow.median / fast.median, "lowest": min(rounds), "highest": max(rounds)}


def clock_of(device: str) -> Callable[[], float]:
    """On a GPU, wall time with all work done. On a CPU, the time that this process computed: with one thread, that is the
    wall time of a machine that does nothing else."""
    if device == "cpu":
        return time.process_time

    def wall() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return wall


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """What a piece of work returns that is done in a process of its own, with one thread.

    Args:
        work, arguments: can be pickled, and so can what is returned.

    Raises:
        RuntimeError: the process ended without it.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.lion_pair"])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_send_back, args=(there, work, *arguments))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        raise RuntimeError(f"found no figure from {work}; expected one. See what it printed above") from None
    finally:
        process.join()


def peak_mib(work: Callable[..., Any], *arguments: Any, device: str = "cpu") -> float:
    """The most memory that a piece of work holds at a time, in MiB, measured in a process of its own.

    Args:
        work, arguments: can be pickled.
        device: "cpu" or "cuda".
    """
    return alone(_peak_of, device, work, *arguments)


class PeakMemory:
    """The most memory that this process has held at a time since this was made.

    On a GPU, what its tensors take. On a CPU (Linux), what the process takes more than it did then.

    Args:
        device: "cpu" or "cuda".
    """

    def __init__(self, device: str) -> None:
        self._is_cpu = device == "cpu"
        if self._is_cpu:
            ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _MMAP_BYTES)
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak until now
            self._before = status_kib("VmRSS")
        else:
            torch.cuda.reset_peak_memory_stats()

    def mib(self) -> float:
        """Until now."""
        return (status_kib("VmHWM") - self._before) / 1024 if self._is_cpu else torch.cuda.max_memory_allocated() / MIB


def _send_back(there: Connection, work: Callable[..., Any], *arguments: Any) -> None:
    torch.set_num_threads(1)
    there.send(work(*arguments))


def _peak_of(device: str, work: Callable[..., Any], *arguments: Any) -> float:
    memory = PeakMemory(device)
    work(*arguments)
    return memory.mib()


def status_kib(field: str, process: int | None = None) -> int:
    """What Linux says of the memory of a process, this one if None, in KiB; `VmHWM` is its peak."""
    status = Path(f"/proc/{process or 'self'}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1])


def machine(device: str) -> dict[str, str]:
    """Where and with what something was measured."""
    return {
        "commit": code_version().get("commit", "unknown"),
        "processor": torch.cuda.get_device_name() if device == "cuda" else _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
