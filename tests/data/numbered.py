"""Shards of samples that tell their numbers, and tars of anything."""

import io
import tarfile
from pathlib import Path

from triscope.data.sample import Conversation, Image, Level, Sample, Turn
from triscope.data.shard_writer import ShardWriter
from triscope.data.shards import ShardSet


def make_sample(number: int, images: int = 1) -> tuple[Sample, list[bytes]]:
    """A sample and pictures whose bytes differ in length, so that wrong offsets show."""
    sample = Sample(
        key=f"sample-{number}",
        images=tuple(Image(f"{index}.jpg", 10, 10) for index in range(images)),
        conversations=(Conversation("caption", Level.IMAGE, (Turn("What?", (f"number {number}",)),)),),
        source="made up",
    )
    return sample, [bytes([number]) * (100 + 300 * number + index) for index in range(images)]


def write_set(folder: Path, count: int = 7, samples_per_shard: int = 3) -> ShardSet:
    """Samples with 0, 1 and 2 pictures in turn."""
    with ShardWriter(folder, samples_per_shard) as writer:
        for number in range(count):
            writer.write(*make_sample(number, images=number % 3))
    return ShardSet.open(folder)


def write_tar(path: Path, entries: list[tuple[str, bytes]]) -> None:
    """A tar with any entries."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
