"""Map over items in order, with bounded work under way: local processes by default, Ray where one machine is not enough.

Both engines give the same results in the same order; nothing depends on which worker took an item.
"""

import itertools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Literal, TypeVar

from triscope.data.errors import ConfigurationError

logger = logging.getLogger(__name__)
CHUNK = 16  # items a process is given at a time
TOLD_AFTER = 60.0  # seconds without a result of Ray

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    chunk: int = CHUNK,
    start: Literal["fork", "spawn"] | None = None,
) -> Iterator[Result]:
    """Map over items with processes of this machine.

    Args:
        function: can be pickled, as the items and results can.
        items: read no further ahead than the workers need.
        workers: processes; with 1 the work is done in this one.
        chunk: items a process is given at a time.
        start: how processes begin; `spawn` where the function runs threads or a GPU. The system's way if None.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    waiting: deque[Future[list[Result]]] = deque()
    items = iter(items)
    pool = ProcessPoolExecutor(workers, get_context(start), initializer=_end_with, initargs=(os.getpid(),))
    try:
        while batch := list(itertools.islice(items, chunk)):
            waiting.append(pool.submit(_map_chunk, function, batch))
            if len(waiting) > workers + 1:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def in_order_on_ray(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, address: str | None = None, gpus: float = 0
) -> Iterator[Result]:
    """Map over items with Ray: a task an item, on this machine or on a cluster.

    Every machine of a cluster needs this package, and sees the files that the function names under the same paths.

    Args:
        function, items: as in `in_order`.
        workers: tasks under way at a time.
        address: of the cluster's head, such as `10.0.0.1:6379` or `ray://10.0.0.1:10001`; a Ray of this machine's own,
            with as many cores as workers, if None. A Ray that this process is connected to already is used as it is.
        gpus: that each task takes.

    Raises:
        ConfigurationError: Ray is not installed, or does not answer at the address.
    """
    ray = _ray()
    options = {"num_cpus": workers} if address is None else {"address": address}
    started_here = not ray.is_initialized()
    if started_here:
        try:
            ray.init(**options, include_dashboard=False, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError) as error:
            remedy = "start one with `ray start --head`, or leave --address out"
            raise ConfigurationError(f"--address {address}", str(error), "a Ray cluster that answers", remedy) from None
    try:
        task = ray.remote(num_cpus=1, num_gpus=gpus)(_call)
        function_there = ray.put(function)
        waiting: deque[Any] = deque()
        for item in items:
            waiting.append(task.remote(function_there, item))
            if len(waiting) >= workers:
                yield _result(ray, waiting.popleft())
        while waiting:
            yield _result(ray, waiting.popleft())
    finally:
        if started_here:
            ray.shutdown()


def _map_chunk(function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    return [function(item) for item in items]


def _end_with(parent: int) -> None:
    """End this process when its parent was killed: it would wait for work for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _call(function: Callable[[Item], Result], item: Item) -> Result:
    return function(item)


def _result(ray: Any, reference: Any) -> Any:
    """What a task gave, however long it takes; an error of it is raised as it would be without Ray."""
    while not ray.wait([reference], timeout=TOLD_AFTER)[0]:
        logger.warning("Ray has given no result for %.3g s: `ray status` tells whether it has room for a task", TOLD_AFTER)
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None


def _ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError:
        remedy = "install it with `pip install triscope[ray]`"
        raise ConfigurationError("--engine ray", "no package ray", "Ray", remedy) from None
    return ray
