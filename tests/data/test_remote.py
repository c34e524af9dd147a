"""Remote shards arrive whole whatever the server does, are kept within bounds, and say what is wrong when they cannot."""

import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import huggingface_hub
import pytest

from tests.data.buckets import ADDRESSES, Buckets, configuration
from tests.data.server import BadServer, serving
from tests.data.test_loader import keys, loader
from tests.data.tiny import numbered_shards
from triscope.data.errors import BadShardError
from triscope.data.remote import RemoteFolder, ShardCache
from triscope.data.shards import ShardSet


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """12 samples in 3 shards of 10,240 bytes and more."""
    path = tmp_path_factory.mktemp("shards") / "set"
    numbered_shards(path, count=12)
    return path


@pytest.fixture
def server(folder) -> Iterator[BadServer]:
    with serving(folder) as started:
        yield started


def cache(tmp_path: Path, **options) -> ShardCache:
    quick = {"first_wait_seconds": 0.01, "block_bytes": 4096}
    return ShardCache(str(tmp_path / "cache"), **{**quick, **options})


def read_all(shards: ShardSet) -> list[str]:
    return [raw.key for number in range(len(shards.shards)) for raw in shards.read(number)]


def bytes_kept(tmp_path: Path) -> int:
    files = [file for file in (tmp_path / "cache").rglob("*") if file.is_file() and file.suffix != ".lock"]
    return sum(file.stat().st_size for file in files)


EVERY_KEY = [f"s{number:03d}" for number in range(12)]


def test_a_remote_set_is_the_local_one(folder, server, tmp_path):
    remote, local = ShardSet.open(server.address, cache(tmp_path)), ShardSet.open(folder)
    assert remote.fingerprint == local.fingerprint and remote.counts == local.counts
    assert [(raw.key, raw.json, raw.images) for raw in remote] == [(raw.key, raw.json, raw.images) for raw in local]
    assert keys(loader(remote, workers=2)) == keys(loader(local))


@pytest.fixture(params=ADDRESSES)
def store(request, folder, monkeypatch) -> Iterator[str]:
    """The address of the set in a store of each kind, which its own client reads over HTTP; one lies in this process."""
    if client := {"s3": "s3fs", "gs": "gcsfs"}.get(request.param):
        pytest.importorskip(client, reason="comes with `pip install 'triscope[remote]'`")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    fsspec.filesystem("memory").put(f"{folder}/", "/bucket/set", recursive=True)
    with serving(folder, Buckets) as started, monkeypatch.context() as patched:
        for kind, options in configuration(started).items():
            patched.setitem(fsspec.config.conf, kind, options)
        yield ADDRESSES[request.param]


def test_a_set_in_a_store_of_objects_is_the_local_one(store, folder, tmp_path):
    remote, local = ShardSet.open(store, cache(tmp_path)), ShardSet.open(folder)
    assert remote.fingerprint == local.fingerprint
    assert [(raw.key, raw.json, raw.images) for raw in remote] == [(raw.key, raw.json, raw.images) for raw in local]


def test_what_is_not_in_a_store_is_told_at_once(store, tmp_path):
    with pytest.raises(BadShardError, match=r"index\.json: found FileNotFoundError"):
        ShardSet.open(store.replace("set", "nothing"), cache(tmp_path, attempts=1))


def test_a_shard_is_fetched_once_and_only_when_it_is_read(folder, server, tmp_path):
    shards = ShardSet.open(server.address, cache(tmp_path))
    assert not any(name.endswith(".tar") for name in server.requests)
    for _ in range(2):
        list(shards.read(1))
    read_all(ShardSet.open(server.address, cache(tmp_path)))
    sizes = {shard.file: shard.bytes for shard in shards.shards}
    assert {name: count for name, count in server.sent.items() if name.endswith(".tar")} == sizes


@pytest.mark.parametrize("fault", ["stall", "truncate", "reset", "503"])
def test_what_goes_wrong_is_tried_again(server, tmp_path, fault):
    shards = ShardSet.open(server.address, cache(tmp_path, block_timeout_seconds=1.0))
    server.faults = ["", fault, fault]
    assert read_all(shards) == EVERY_KEY
    assert not server.faults


def test_blocks_that_came_are_not_fetched_again_after_an_interruption(server, tmp_path):
    kept = cache(tmp_path, attempts=1)
    shards = ShardSet.open(server.address, kept)
    server.faults = ["", "503"]
    with pytest.raises(BadShardError, match=r"shard-000000\.tar: found .*503.*; expected a file that can be fetched"):
        list(shards.read(0))
    assert [raw.key for raw in shards.read(0)] == EVERY_KEY[:4]
    assert server.sent["shard-000000.tar"] == shards.shards[0].bytes


def test_a_server_that_knows_no_ranges_serves_too(server, tmp_path):
    server.ranges = False
    assert read_all(ShardSet.open(server.address, cache(tmp_path))) == EVERY_KEY


def test_a_server_that_never_answers_well_ends_with_its_error(server, tmp_path):
    shards = ShardSet.open(server.address, cache(tmp_path, attempts=3))
    server.faults = ["503"] * 3
    with pytest.raises(BadShardError, match="503"):
        list(shards.read(2))
    assert server.requests["shard-000002.tar"] == 3


def test_a_shard_that_is_not_there_is_told_at_once(folder, server, tmp_path):
    shards = ShardSet.open(server.address, cache(tmp_path))
    server.folder = tmp_path  # an empty one
    with pytest.raises(BadShardError, match=r"shard-000000\.(index\.json|tar).*FileNotFoundError"):
        list(shards.read(0))
    assert set(server.requests.values()) == {1}
    with pytest.raises(BadShardError, match=r"index\.json: found FileNotFoundError"):
        ShardSet.open(server.address, cache(tmp_path))


def test_a_shard_of_another_content_is_refused_and_not_kept(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    content = bytearray((other / "shard-000001.tar").read_bytes())
    content[1000] ^= 1
    (other / "shard-000001.tar").write_bytes(content)
    with serving(other) as server:
        shards = ShardSet.open(server.address, cache(tmp_path))
        exact = loader(shards, shuffle=False, bad_samples_allowed=4)
        assert set(keys(exact)) == {*EVERY_KEY[:4], *EVERY_KEY[8:]}
        assert len(exact.skipped) == 4
        assert all("content of sha256" in str(error) for error in exact.skipped)
        assert not list((tmp_path / "cache").rglob("shard-000001.tar*"))[1:]  # its lock alone


def test_the_cache_stays_within_its_bytes_and_drops_what_was_longest_not_read(server, tmp_path):
    sizes = [shard.bytes for shard in ShardSet.open(server.address, cache(tmp_path)).shards]
    bounded = cache(tmp_path, max_bytes=sum(sizes[:2]) + 4096)
    shards = ShardSet.open(server.address, bounded)
    assert isinstance(shards.folder, RemoteFolder)
    for number, there in [(0, {0}), (1, {0, 1}), (2, {1, 2}), (1, {1, 2}), (0, {0, 1})]:
        still_open = shards.read(number)
        next(still_open)
        path = shards.folder.path(shards.shards[number].file)
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime + len(server.sent)))
        assert {n for n, shard in enumerate(shards.shards) if shards.folder.path(shard.file).exists()} == there
        assert len(list(still_open)) == 3
        assert bytes_kept(tmp_path) <= bounded.max_bytes


def test_an_index_beside_a_shard_takes_its_room_too(server, tmp_path):
    largest = max(shard.bytes for shard in ShardSet.open(server.address, cache(tmp_path)).shards)
    shards = ShardSet.open(server.address, cache(tmp_path, max_bytes=largest))
    for number in range(3):
        assert [raw.key for raw in shards.read(number)] == EVERY_KEY[4 * number : 4 * number + 4]
        assert bytes_kept(tmp_path) <= largest
    assert isinstance(shards.folder, RemoteFolder)
    shards.folder.read("shard-000000.index.json")
    assert bytes_kept(tmp_path) <= largest


def test_a_shard_larger_than_the_cache_is_refused_before_anything_is_dropped(server, tmp_path):
    shards = ShardSet.open(server.address, cache(tmp_path))
    read_all(shards)
    kept, size = bytes_kept(tmp_path), shards.shards[0].bytes
    told = rf"set/shard-000000\.tar, bytes: found {size}; expected at most {size - 1}, .* Raise data\.cache_gib"
    with pytest.raises(BadShardError, match=told):
        ShardSet.open(server.address, cache(tmp_path, max_bytes=size - 1))
    assert bytes_kept(tmp_path) == kept


@pytest.mark.parametrize(
    ("samples", "size", "told"),
    [
        (10**13, 2 * 10**16, "samples: found 10000000000000; expected at most 1000000"),
        (4, 2 * 10**16, "4 samples in 20000000000000000 bytes; expected 1024 to 1073741824 bytes a sample"),
        (10**6, 2 * 10**12, r"bytes: found 2000000000000; expected at most 107374182400, the bounds of the cache"),
    ],
)
def test_an_index_of_absurd_sizes_leaves_the_cache_as_it_is(folder, server, tmp_path, samples, size, told):
    read_all(ShardSet.open(server.address, cache(tmp_path)))
    kept = bytes_kept(tmp_path)
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0] |= {"samples": samples, "bytes": size}
    index["samples"] = sum(shard["samples"] for shard in index["shards"])
    server.folder = tmp_path
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(BadShardError, match=rf"shard-000000\.tar.*{told}"):
        ShardSet.open(server.address, cache(tmp_path))
    assert bytes_kept(tmp_path) == kept


def test_two_processes_that_fetch_at_once_do_not_take_the_same_room(server, tmp_path):
    largest = max(shard.bytes for shard in ShardSet.open(server.address, cache(tmp_path)).shards)
    bounded = cache(tmp_path, max_bytes=largest + 8192)  # for a shard and a block of another
    shards = ShardSet.open(server.address, bounded)
    server.faults = ["", "stall"]
    other = multiprocessing.get_context("fork").Process(target=lambda: list(shards.read(0)))
    other.start()
    while other.is_alive() and server.requests["shard-000000.tar"] < 2:  # until it has one block and waits for the next
        time.sleep(0.01)
    assert [raw.key for raw in shards.read(1)] == EVERY_KEY[4:8]
    other.join()
    assert other.exitcode == 0
    assert bytes_kept(tmp_path) <= bounded.max_bytes


def test_what_nobody_fetches_any_more_makes_room(server, tmp_path):
    largest = max(shard.bytes for shard in ShardSet.open(server.address, cache(tmp_path)).shards)
    shards = ShardSet.open(server.address, cache(tmp_path, attempts=1, max_bytes=largest + 8192))
    assert isinstance(shards.folder, RemoteFolder)
    server.faults = ["", "503"]
    with pytest.raises(BadShardError):
        list(shards.read(0))
    part = shards.folder.path(f"shard-000000.tar.{shards.shards[0].bytes}.part")
    assert part.stat().st_size == 4096
    assert [raw.key for raw in shards.read(1)] == EVERY_KEY[4:8]
    assert not part.exists()


def test_what_is_not_of_the_cache_is_never_dropped(server, tmp_path):
    own = tmp_path / "cache" / "notes" / "mine.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    largest = max(shard.bytes for shard in ShardSet.open(server.address, cache(tmp_path)).shards)
    assert read_all(ShardSet.open(server.address, cache(tmp_path, max_bytes=largest))) == EVERY_KEY
    assert own.read_text() == "mine"


def test_a_full_disk_is_told_and_leaves_nothing_half(server, tmp_path):
    shards = ShardSet.open(server.address, cache(tmp_path))
    assert isinstance(shards.folder, RemoteFolder)
    part = shards.folder.path(f"shard-000001.tar.{shards.shards[1].bytes}.part")
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")  # on which every write fails as on a full disk
    exact = loader(shards, samples_per_batch=1, shuffle=False, bad_samples_allowed=1)
    assert keys(exact) == EVERY_KEY  # once the disk has room, the sample that could not be kept stands in for itself
    (error,) = exact.skipped
    assert "No space left on device" in str(error) and "lower data.cache_gib" in str(error).lower()
    assert not part.exists()


def test_another_index_at_the_address_is_another_set(folder, tmp_path):
    set_folder = tmp_path / "set"
    numbered_shards(set_folder, count=4)
    with serving(set_folder) as server:
        read_all(ShardSet.open(server.address, cache(tmp_path)))
        for file in set_folder.iterdir():
            file.unlink()
        numbered_shards(set_folder, count=4, prefix="t")
        assert read_all(ShardSet.open(server.address, cache(tmp_path))) == [f"t{number:03d}" for number in range(4)]
