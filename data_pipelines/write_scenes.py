"""Composed scenes to shards, with the attribution that their drawings need."""

from functools import partial
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from data_pipelines.engine import in_order
from data_pipelines.scenes.samples import attribution, scene_samples
from data_pipelines.scenes.text import text_samples
from triscope.data.sample import Sample
from triscope.data.shards import Counts, ShardWriter, write_whole

ATTRIBUTION_FILE = "ATTRIBUTION"
CHUNK = 32  # scenes a process is given at a time


def write_scenes(
    folder: Path,
    split: str,
    count: int,
    seed: int = 0,
    text: bool = False,
    workers: int = 1,
    samples_per_shard: int = 1000,
) -> Counts:
    """Compose scenes and write them; the same seed gives the same bytes with any number of workers.

    Args:
        folder: where to write; must be empty. The attribution is put there too.
        split: `train`, `val`, `test` or `test_objects`.
        count: how many scenes.
        seed: another seed gives other scenes.
        text: write the scenes as text, without pictures.
        workers: processes that compose.
        samples_per_shard: of the shards written.

    Returns:
        what was written.

    Raises:
        ConfigurationError: no such split.
        BadShardError: the folder is not empty.
    """
    make = partial(_texts if text else _scenes, seed, split, count)
    with ShardWriter(folder, samples_per_shard) as writer:
        made = chain.from_iterable(in_order(make, range(0, count, CHUNK), workers, chunk=1))
        for sample, images in tqdm(made, total=count, desc=f"scenes, {split}", unit=" samples", disable=None):
            writer.write(sample, images)
        if not text:
            write_whole(folder / ATTRIBUTION_FILE, attribution())
    return writer.counts


def _scenes(seed: int, split: str, count: int, start: int) -> list[tuple[Sample, list[bytes]]]:
    return list(scene_samples(seed, split, start, min(CHUNK, count - start)))


def _texts(seed: int, split: str, count: int, start: int) -> list[tuple[Sample, list[bytes]]]:
    return [(sample, []) for sample in text_samples(seed, split, start, min(CHUNK, count - start))]
