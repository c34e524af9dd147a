"""Files on this machine: shards, each opened as the index says it is, and text that is written whole. No torch here."""

import hashlib
import os
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from triscope.data.errors import BadShardError, reason
from triscope.data.shard_index import how_to_index

PART_SUFFIX = ".part"  # of a file that is still written


@dataclass(frozen=True)
class LocalFolder:
    """Opens the files of a folder, and notices those that are replaced while a run reads them.

    Args:
        path: of the folder.
        opened_ns: when, in nanoseconds since 1970; a file that was changed since is compared with its checksum.
    """

    path: Path
    opened_ns: int = field(default_factory=time.time_ns)

    def __str__(self) -> str:
        return str(self.path)

    def read(self, file: str) -> bytes:
        """The content of a small file.

        Raises:
            BadShardError: there is none.
        """
        try:
            return (self.path / file).read_bytes()
        except OSError:
            if not self.path.is_dir():
                raise BadShardError(str(self.path), "no such folder", "a folder of shards", "correct the path") from None
            expected = "an index beside the shards"
            raise BadShardError(str(self.path), f"no {file}", expected, how_to_index(str(self.path))) from None

    def check(self, file: str, size: int) -> None:
        """Whether a shard is there, of the size that the index says.

        Raises:
            BadShardError: it is not.
        """
        path = self.path / file
        if not path.is_file():
            raise BadShardError(str(path), "no file", "a shard, as the index says", "copy it there, or index again")
        if path.stat().st_size != size:
            raise _other_size(path, path.stat().st_size, size)

    def open(self, file: str, size: int, sha256: str) -> BinaryIO:
        """Open a shard.

        Args:
            file: its name.
            size, sha256: as the index says.

        Raises:
            BadShardError: it is gone, or another file than the index says.
        """
        path = self.path / file
        try:
            opened = path.open("rb")
        except OSError as error:
            raise BadShardError(str(path), reason(error), "a shard, as the index says", "copy it there again") from None
        now = os.fstat(opened.fileno())
        if now.st_size != size:
            opened.close()
            raise _other_size(path, now.st_size, size)
        if now.st_ctime_ns > self.opened_ns and _sha256(path, now.st_ctime_ns) != sha256:
            opened.close()
            raise BadShardError(
                str(path), "a shard that was replaced during the run", f"sha256 {sha256}", "start again with the new index"
            )
        return opened


def sha256_of(path: Path) -> str:
    """Hash of a file's content, as the index holds it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Write a text file, and the folder that it shall lie in, so that it is there completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}{PART_SUFFIX}")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


@lru_cache(maxsize=1024)
def _sha256(path: Path, changed_ns: int) -> str:
    return sha256_of(path)


def _other_size(path: Path, found: int, expected: int) -> BadShardError:
    return BadShardError(str(path), f"{found} bytes", f"{expected}, as the index says", "copy the shard again")
