"""A small shard set with real pictures, and a way to write shards that ShardWriter would refuse."""

import io
import json
import tarfile
from pathlib import Path

from PIL import Image as PillowImage

from triscope.data.boxes import Box, BoxSpace
from triscope.data.sample import Conversation, Image, Level, Region, Sample, Tag, Turn
from triscope.data.shard_writer import ShardWriter

WIDTH, HEIGHT = 64, 48


def picture(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """An encoded picture."""
    file = io.BytesIO()
    PillowImage.linear_gradient("L").resize((width, height)).save(file, "JPEG")
    return file.getvalue()


def made_up_sample(number: int) -> Sample:
    """A picture with two boxes, asked about twice."""
    return Sample(
        key=f"made-{number}",
        images=(Image("0.jpg", WIDTH, HEIGHT, (Tag("dog", 0.75),)),),
        conversations=(
            Conversation("caption", Level.IMAGE, (Turn("Describe <image:1>.", ("a <dog> & a cat", "pets")),)),
            Conversation("pointing", Level.REGION, (Turn("Find the dog.", ("<region:1>",), ("left", "right")),)),
        ),
        regions=(Region(0, Box(8, 6, 32, 24, BoxSpace.PIXELS)), Region(0, Box(0.5, 0.5, 1, 1))),
        source="made up",
    )


def write_made_up(folder: Path, count: int = 3) -> None:
    """A set in order."""
    with ShardWriter(folder, samples_per_shard=2) as writer:
        for number in range(count):
            writer.write(made_up_sample(number), [picture()])


def record(number: int, **changes: object) -> dict:
    """The stored form of a sample, with fields changed."""
    return json.loads(made_up_sample(number).to_json()) | changes


def write_shard(path: Path, records: dict[str, dict], pictures: dict[str, bytes]) -> None:
    """A shard of any records (by key) and pictures (by key); keys may lack either."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key in dict.fromkeys([*records, *pictures]):
            if key in records:
                _add(tar, f"{key}.json", json.dumps(records[key]).encode())
            if key in pictures:
                _add(tar, f"{key}.0.jpg", pictures[key])


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
