"""A tagger over shards: every picture gets the tagger's tags in place of those it had."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_pipelines.tags.rewrite import Engine, Packed, rewrite_shards, with_tags
from triscope.data.folder import sha256_of
from triscope.data.shards import ShardSet
from triscope.tagging.tagger import Tagger, build_tagger


@dataclass(frozen=True)
class Tagging:
    """Gives the samples of a shard their tags. Travels to workers as plain values and builds its tagger there, once.

    Args:
        tagger: as `read_tagger` reads it.
        samples_per_batch: whose pictures the tagger sees at once.
        device: that it runs on.
    """

    tagger: dict[str, Any]
    samples_per_batch: int = 16
    device: str = "cpu"

    def __call__(self, samples: Iterable[Packed]) -> Iterator[Packed]:
        """The samples with their tags, in order.

        Raises:
            BadSampleError: a picture that does not decode.
        """
        tagger = built(self.tagger, self.device)
        samples = iter(samples)
        while batch := list(islice(samples, self.samples_per_batch)):
            pixels = [pixels_CHW for packed in batch for pixels_CHW in picture_pixels(tagger, packed)]
            tags = iter(tagger.tags(torch.stack(pixels)) if pixels else ())
            for sample, contents in batch:
                yield with_tags(sample, list(islice(tags, len(sample.images)))), contents


def tag(
    source: ShardSet, folder: Path, tagger: dict[str, Any], engine: Engine, samples_per_batch: int = 16, device: str = "cpu"
) -> Counter:
    """Tag every picture of a set; any engine and any number of workers give the same bytes on one kind of device.

    Args:
        source: the set.
        folder: for the tagged set; a run that was cut off goes on in it.
        tagger: as `read_tagger` reads it.
        engine: maps over shards.
        samples_per_batch: whose pictures the tagger sees at once.
        device: that the tagger runs on, in every worker.

    Returns:
        The tally of `rewrite_shards`.

    Raises:
        ConfigurationError: the tagger cannot be built, or has no thresholds.
        BadShardError: the folder holds something else, or a shard is damaged.
        BadSampleError: a picture does not decode.
    """
    origin = {"tagger": tagger, "samples_per_batch": samples_per_batch, "files": _files(tagger)}
    return rewrite_shards(source, folder, Tagging(tagger, samples_per_batch, device), origin, engine)


def picture_pixels(tagger: Tagger, packed: Packed) -> list[Tensor]:
    """The pictures of a sample as its tagger takes them."""
    sample, contents = packed
    where = f"sample {sample.key!r}"
    return [tagger.pixels(content, image, where) for image, content in zip(sample.images, contents, strict=True)]


def built(tagger: dict[str, Any], device: str) -> Tagger:
    """The tagger of this process, built once."""
    return _built(json.dumps(tagger), device)


@lru_cache(maxsize=1)
def _built(tagger: str, device: str) -> Tagger:
    torch.set_num_threads(1)  # the last digits of a sum depend on it; the cores are used by workers
    return build_tagger(json.loads(tagger), device)


def _files(tagger: dict[str, Any]) -> dict[str, str]:
    """Hashes of the files that a tagger reads: the same names may hold something else tomorrow."""
    named = {name: Path(value) for name, value in tagger["init_args"].items() if isinstance(value, str)}
    return {name: sha256_of(path) for name, path in named.items() if path.is_file()}
