"""Files of remote shard sets, kept on the local disk while they are used.

    s3://  gs://  https://  hf://  ...  --fsspec-->  CACHE/<hash of the folder's address>/shard-000000.tar

A file is fetched when it is first asked for, block by block, so that what arrived before an interruption is not fetched
again, by this process or by the next. It gets its name when its size and checksum are those of the index. When the cache
would outgrow its bounds, the files that were longest not asked for go.

Processes share a cache. One fetches a file, others wait for it (`shard-000000.tar.lock`). What is being fetched is named by
its size (`shard-000000.tar.10240.part`) and counts as so many bytes from the start. One process at a time makes room and
names files (`cache.lock`), so that two never take the same room; a file that another process is using stays.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import fsspec

from triscope.data.errors import BadShardError
from triscope.data.folder import sha256_of

logger = logging.getLogger(__name__)
_VERSION = "[0-9a-f]" * 16  # the folder of a set; what else lies in the cache's folder is not ours to drop
_PART = re.compile(r"(.+)\.(\d+)\.part")
_LOCK = ".lock"
_LOOK_AGAIN_SECONDS = 0.1
_HOPELESS = (FileNotFoundError, PermissionError, ImportError, NotADirectoryError, IsADirectoryError)


def is_remote(folder: Path | str) -> bool:
    """Whether a folder is named by an address such as `https://host/data/captions`."""
    return "://" in str(folder)


@dataclass(frozen=True)
class ShardCache:
    """Where remote shards are kept, and how they are fetched.

    Args:
        folder: local; made if missing. It may be shared by processes and by runs.
        max_bytes: of all files in it together, those that are being fetched included. A larger shard is refused; workers that
            fetch more at a time wait for each other.
        attempts: of each block before the file counts as unusable.
        first_wait_seconds: before the second attempt; doubled before each further one.
        block_bytes: fetched with one request.
        block_timeout_seconds: a block that takes longer has failed.
    """

    folder: str = "~/.cache/triscope/shards"
    max_bytes: int = 100 * 2**30
    attempts: int = 6
    first_wait_seconds: float = 0.5
    block_bytes: int = 16 * 2**20
    block_timeout_seconds: float = 60.0

    def fetch(self, address: str) -> bytes:
        """The content of a small remote file; nothing is kept.

        Raises:
            BadShardError: it is not there or cannot be fetched.
        """
        return self._persistently(address, lambda: _file_system(address).cat_file(address, **self._timeout(address)))

    def download(self, address: str, path: Path, size: int, sha256: str) -> None:
        """Fetch a remote file to `path` in this cache, dropping others if room is needed.

        Raises:
            BadShardError: it is not there, is not the one of that checksum, or cannot be fetched or kept.
        """
        with self.part_of(address, path, size) as part:
            self._fetch_blocks(address, part, size)
            found = sha256_of(part)
            if found != sha256:
                part.unlink()
                remedy = "copy the shard there again, with its index"
                raise BadShardError(address, f"content of sha256 {found}", f"{sha256}, as the index says", remedy)

    @contextlib.contextmanager
    def part_of(self, address: str, path: Path, size: int) -> Iterator[Path]:
        """Where the content of a file is written before it gets its name, `path`; room for all of it is taken now.

        Raises:
            BadShardError: it is larger than the cache.
        """
        self.check(address, size)
        part = path.with_name(f"{path.name}.{size}.part")
        while not self._take_room(part, size):
            time.sleep(_LOOK_AGAIN_SECONDS)  # those who use what is left wait for nobody
        try:
            yield part
        except OSError:  # of this machine, such as a full disk: what came must not fill it
            part.unlink(missing_ok=True)
            raise
        with self._counting():
            os.replace(part, path)

    def check(self, address: str, size: int) -> None:
        """Whether a file fits into this cache when all others have gone.

        Raises:
            BadShardError: it does not.
        """
        if size > self.max_bytes:
            expected = f"at most {self.max_bytes}, the bounds of the cache {self.folder}"
            remedy = "raise data.cache_gib, or convert the data again with fewer samples a shard (--samples_per_shard)"
            raise BadShardError(f"{address}, bytes", f"{size}", expected, remedy)

    def _fetch_blocks(self, address: str, part: Path, size: int) -> None:
        with part.open("ab") as file:
            while (start := file.tell()) < size:
                end = min(start + self.block_bytes, size)
                file.write(self._persistently(address, lambda start=start, end=end: self._block(address, start, end, size)))
                file.flush()

    def _block(self, address: str, start: int, end: int, size: int) -> bytes:
        content = _file_system(address).cat_file(address, start=start, end=end, **self._timeout(address))
        if len(content) == size > end - start:  # a server that knows no ranges sends all there is
            return content[start:]
        if len(content) != end - start:
            raise EOFError(f"{len(content)} bytes came, {end - start} were asked for")
        return content

    def _persistently(self, address: str, get: Any) -> bytes:
        """Try again and again, waiting twice as long each time."""
        problem: Exception | None = None
        for attempt in range(self.attempts):
            try:
                return get()
            except _HOPELESS as error:
                problem = error
                break
            except Exception as error:  # every file system has its own errors
                problem = error
                if attempt + 1 < self.attempts:
                    wait = self.first_wait_seconds * 2**attempt
                    logger.warning("%s: %s: %s; again in %.3g s", address, type(error).__name__, error, wait)
                    time.sleep(wait)
        raise BadShardError(
            address, f"{type(problem).__name__} {problem}", "a file that can be fetched", "check address, network and credentials"
        ) from problem

    def _timeout(self, address: str) -> dict[str, float]:
        """Asynchronous file systems (https, s3, gs) cancel a call in time; the others have limits of their own."""
        return {"timeout": self.block_timeout_seconds} if _file_system(address).async_impl else {}

    def _take_room(self, part: Path, size: int) -> bool:
        """Drop the files that were longest not asked for until `size` bytes are free, and count them as those of `part`.

        Returns:
            False if too much is in use by other processes.
        """
        with self._counting() as root:
            others = sorted(entry for entry in _entries(root) if entry[-1] != part)
            total = size + sum(taken for _, taken, _ in others)
            for _, taken, path in others:
                if total > self.max_bytes and _dropped(path):
                    total -= taken
            if total > self.max_bytes:
                part.unlink(missing_ok=True)  # who waits has no room that others could be waiting for
                return False
            part.touch()
            return True

    @contextlib.contextmanager
    def _counting(self) -> Iterator[Path]:
        """This cache's folder, in which no other process names or drops a file meanwhile."""
        root = Path(self.folder).expanduser()
        with _lock(root / "cache"):
            yield root


@dataclass(frozen=True)
class RemoteFolder:
    """Opens the files of a remote folder, fetching each when it is first asked for.

    Args:
        address: of the folder.
        version: hash of its index; another index is another folder of the cache.
        cache: where the files are kept.
    """

    address: str
    version: str
    cache: ShardCache

    @classmethod
    def of(cls, address: str, index_file: str, cache: ShardCache) -> tuple["RemoteFolder", bytes]:
        """The folder of an address, and the content of its index, which is fetched anew each time.

        Raises:
            BadShardError: there is no index, or it cannot be fetched.
        """
        address = address.rstrip("/")
        content = cache.fetch(f"{address}/{index_file}")
        return cls(address, hashlib.sha256(address.encode() + b"\n" + content).hexdigest()[:16], cache), content

    def __str__(self) -> str:
        return self.address

    def path(self, file: str) -> Path:
        """Where a file lies when it is here."""
        return Path(self.cache.folder).expanduser() / self.version / file

    def check(self, file: str, size: int) -> None:
        """Whether a shard can be kept in the cache.

        Raises:
            BadShardError: it is larger than the cache may become.
        """
        self.cache.check(f"{self.address}/{file}", size)

    def read(self, file: str) -> bytes:
        """The content of a small file.

        Raises:
            BadShardError: it is not there, or cannot be fetched or kept.
        """
        path = self.path(file)
        with _locked(path, self.address):
            if not path.is_file():
                address = f"{self.address}/{file}"
                content = self.cache.fetch(address)
                with self.cache.part_of(address, path, len(content)) as part:
                    part.write_bytes(content)
            os.utime(path)
            return path.read_bytes()

    def open(self, file: str, size: int, sha256: str) -> BinaryIO:
        """Open a shard, which can be read to its end though the cache drops it.

        Args:
            file: its name.
            size, sha256: as the index says.

        Raises:
            BadShardError: it is not there, is another than the index says, or cannot be fetched or kept.
        """
        path = self.path(file)
        with _locked(path, self.address):
            if not path.is_file():
                self.cache.download(f"{self.address}/{file}", path, size, sha256)
            os.utime(path)  # asked for now
            return path.open("rb")


@contextlib.contextmanager
def _locked(path: Path, address: str) -> Iterator[None]:
    """A file of the cache for one process at a time.

    Raises:
        BadShardError: the disk is full, or the cache cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path):
            yield
    except OSError as error:
        remedy = "clear the disk, lower data.cache_gib, or name another data.cache_folder"
        raise BadShardError(str(path), str(error), f"room to keep what {address} holds", remedy) from None


@contextlib.contextmanager
def _lock(path: Path, wait: bool = True) -> Iterator[None]:
    """One process at a time; the lock falls with a process that is killed.

    Raises:
        BlockingIOError: another has it, and this one does not `wait`.
    """
    with path.with_name(path.name + _LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _entries(root: Path) -> Iterator[tuple[float, int, Path]]:
    """When each file of a cache was last asked for, and the bytes that it takes, or will take when it is whole."""
    for path in root.glob(f"{_VERSION}/*"):
        with contextlib.suppress(FileNotFoundError):  # a part that could not become a file
            if path.is_file() and path.suffix != _LOCK:
                part = _PART.fullmatch(path.name)
                yield path.stat().st_mtime, int(part[2]) if part else path.stat().st_size, path


def _dropped(path: Path) -> bool:
    """Whether a file of the cache could be dropped: a process that opens or fetches it has its lock."""
    part = _PART.fullmatch(path.name)
    try:
        with _lock(path.with_name(part[1]) if part else path, wait=False):
            path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    return True


def _file_system(address: str) -> Any:
    """Of this process: fsspec keeps it, and makes another in a forked one."""
    return fsspec.core.url_to_fs(address)[0]
