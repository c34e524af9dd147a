"""Whatever goes wrong with shards while a run reads them costs the samples it touches: counted, named, within the budget.

A corrupt picture, a shard cut short and the budget itself are tested in `test_loader.py`, a full disk in `test_remote.py`.
"""

import io
import json
import os
import shutil
import signal
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from tests.data.test_loader import keys, loader
from tests.data.tiny import jpeg, numbered_shards, sample
from triscope.data.errors import BadSampleError, BadShardError, LostWorkerError
from triscope.data.loader import Flag
from triscope.data.sample import Image
from triscope.data.shard_writer import ShardWriter
from triscope.data.shards import ShardSet

EVERY_KEY = [f"s{number:03d}" for number in range(12)]
SECOND = {*EVERY_KEY[4:8]}  # the samples of the second shard


@pytest.fixture
def shards(tmp_path) -> ShardSet:
    """12 samples in 3 shards."""
    return numbered_shards(tmp_path / "set", count=12)


def test_a_shard_that_goes_missing(shards, tmp_path):
    exact = loader(shards, shuffle=False, bad_samples_allowed=4)
    (tmp_path / "set" / "shard-000001.tar").unlink()
    assert set(keys(exact)) == {*EVERY_KEY} - SECOND
    assert [type(error) for error in exact.skipped] == [BadShardError] * 4
    assert "shard-000001.tar: found no such file" in str(exact.skipped[0])


def test_a_shard_that_is_replaced_by_one_of_the_same_size(shards, tmp_path):
    time.sleep(0.02)  # the clock of the file system is a coarse one
    path = tmp_path / "set" / "shard-000001.tar"
    other = path.with_name("other")
    other.write_bytes(path.read_bytes().replace(b'"yes"', b'"no!"').replace(b"the dog", b"the cat"))
    assert other.stat().st_size == path.stat().st_size
    os.replace(other, path)
    exact = loader(shards, shuffle=False, bad_samples_allowed=4)
    assert set(keys(exact)) == {*EVERY_KEY} - SECOND
    assert all("replaced during the run" in str(error) for error in exact.skipped)


def test_a_shard_that_is_copied_again_unchanged(shards, tmp_path):
    time.sleep(0.02)
    path = tmp_path / "set" / "shard-000001.tar"
    shutil.copy(path, path.with_name("again"))
    os.replace(path.with_name("again"), path)
    exact = loader(shards, shuffle=False)
    assert keys(exact) == EVERY_KEY and not exact.skipped


def test_a_decompression_bomb(tmp_path):
    bomb = io.BytesIO()
    PIL.Image.new("1", (9000, 9000)).save(bomb, "PNG")
    with ShardWriter(tmp_path / "set") as writer:
        writer.write(sample("small"), [jpeg()])
        big = sample("big")
        writer.write(type(big)("big", (Image("0.png", 9000, 9000),), big.conversations, source="tiny"), [bomb.getvalue()])
    exact = loader(ShardSet.open(tmp_path / "set"), shuffle=False)
    assert keys(exact) == ["small"]
    (error,) = exact.skipped
    assert isinstance(error, BadSampleError) and "9000x9000 pixels; expected at most 64000000" in str(error)


def test_an_entry_whose_path_leaves_the_folder(shards, tmp_path):
    path = tmp_path / "set" / "shard-000001.tar"
    renamed(path, "s005.0.jpg", "../../s005.jpg")
    exact = loader(ShardSet.open(tmp_path / "set"), shuffle=False)
    assert set(keys(exact)) == {*EVERY_KEY} - {"s005"}
    (error,) = exact.skipped
    assert "shard-000001.tar: found entry '../../s005.jpg'" in str(error)
    assert not (tmp_path.parent / "s005.jpg").exists()


def renamed(path: Path, old: str, new: str) -> None:
    """Write a tar again with one entry under another name; nothing else moves."""
    with tarfile.open(path) as tar:
        entries = [(entry, tar.extractfile(entry).read()) for entry in tar]  # type: ignore[union-attr]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for entry, content in entries:
            entry.name = new if entry.name == old else entry.name
            tar.addfile(entry, io.BytesIO(content))


def huge(index: dict) -> dict:
    """The record of a shard with as many samples as one may have."""
    return index["shards"][1] | {"samples": 10**6, "bytes": 10**10}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda index: index["shards"][1].update(samples=10**15), "1000000000000000 samples in"),
        (lambda index: index["shards"][1].update(samples=-4), "-4 samples in"),
        (lambda index: index["shards"][1].update(samples=4.5), "4.5 samples in"),
        (lambda index: index["shards"][1].update(bytes=2 * 10**18, samples=10**15), "found 1000000000000000; expected at most"),
        (lambda index: index["shards"][1].update(bytes=2 * 10**18), "4 samples in 2000000000000000000 bytes"),
        (lambda index: index["shards"][1].update(bytes=2 * 10**9, samples=10**6), r"shard-000001\.tar: found \d+ bytes"),
        (lambda index: index["shards"].extend(101 * [huge(index)]), "index.json, samples: found 101000012; expected at most"),
        (lambda index: index.update(samples=10**15), "1000000000000000 samples in all"),
    ],
)
def test_absurd_sizes_in_the_index_are_refused_before_anything_is_reserved(shards, tmp_path, change: Callable, told: str):
    file = tmp_path / "set" / "index.json"
    index = json.loads(file.read_text())
    change(index)
    index["samples"] = sum(shard["samples"] for shard in index["shards"]) if "in all" not in told else index["samples"]
    file.write_text(json.dumps(index))
    with pytest.raises(BadShardError, match=told):
        ShardSet.open(tmp_path / "set")


def test_a_worker_that_is_killed_costs_no_batch_and_is_counted(shards):
    whole = loader(shards, shuffle=False, samples_per_batch=1, workers=2, bad_samples_allowed=1)
    running = iter(whole)
    read = [next(running) for _ in range(3)]
    os.kill(whole._deliveries._iterator._workers[0].pid, signal.SIGKILL)
    read += list(running)
    whole.close()
    assert keys(read) == EVERY_KEY
    (error,) = whole.skipped
    assert isinstance(error, LostWorkerError) and "a worker: found its death" in str(error)


def look_at(flag: Flag) -> None:
    """Again and again, as an idle worker does now and then."""
    while not flag.is_set():
        pass


@pytest.mark.timeout(60, method="thread")  # a lock that nobody gives back is deaf to signals
def test_a_worker_that_is_killed_while_it_looks_whether_to_end_blocks_nobody(shards):
    processes = loader(shards, workers=1)._deliveries.multiprocessing_context
    for _ in range(10):
        flag = processes.Event()
        killed, other = (processes.Process(target=look_at, args=(flag,), daemon=True) for _ in range(2))
        killed.start(), other.start()
        time.sleep(0.05)
        killed.kill()
        killed.join()
        assert not flag.is_set()
        flag.set()
        other.join(timeout=10)
        assert other.exitcode == 0


def test_workers_that_are_killed_again_and_again_stop_the_pass_with_the_list(shards):
    whole = loader(shards, shuffle=False, samples_per_batch=1, workers=1, bad_samples_allowed=0)
    running = iter(whole)
    next(running)
    os.kill(whole._deliveries._iterator._workers[0].pid, signal.SIGKILL)
    with pytest.raises(BadShardError, match=r"1 unusable samples:\n  a worker: found its death"):
        list(running)
    whole.close()
