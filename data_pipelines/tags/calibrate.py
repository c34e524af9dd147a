"""Thresholds of a tagger, found on shards whose tags are trusted."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_pipelines.tags.tag import built, picture_pixels
from triscope.data.errors import ConfigurationError
from triscope.data.shards import ShardSet
from triscope.tagging.calibration import FEWEST_PICTURES, Agreement, calibrate, held_out_agreement
from triscope.tagging.vocabulary import write_thresholds

Scored = tuple[np.ndarray, list[list[str]]]  # scores_IK and the known tags of each picture
Engine = Callable[[Callable[[int], Scored], Iterable[int]], Iterable[Scored]]


@dataclass(frozen=True)
class Calibration:
    """What was found.

    Args:
        names: of the vocabulary.
        own: that have a threshold of their own; the others share one.
        pictures: that were scored.
        foreign: known tags that the vocabulary does not have, with how often they occur.
        held_out: agreement on each half of the pictures with the thresholds of the other half.
    """

    names: int
    own: int
    pictures: int
    foreign: Counter[str]
    held_out: Agreement

    def text(self) -> str:
        """The findings for people."""
        missing = ", ".join(name for name, _ in self.foreign.most_common(5))
        return "\n".join(
            [
                f"{self.pictures} pictures, {self.names} names: {self.own} with a threshold of their own, the others share one",
                f"known tags outside the vocabulary: {sum(self.foreign.values())}" + (f" ({missing} ...)" if missing else ""),
                f"on held-out halves: precision {self.held_out.precision:.3f}, recall {self.held_out.recall:.3f}, "
                f"F1 {self.held_out.f1:.3f}",
            ]
        )


def calibrate_tagger(
    source: ShardSet, file: Path, tagger: dict[str, Any], engine: Engine, samples_per_batch: int = 16, device: str = "cpu"
) -> Calibration:
    """Find the threshold of each name and write them, one a line.

    Args:
        source: a set whose tags are trusted.
        file: written to, for the tagger's `thresholds`.
        tagger: as `read_tagger` reads it; its thresholds are not used.
        engine: maps over shards.
        samples_per_batch, device: as in `tag`.

    Raises:
        ConfigurationError: the tagger cannot be built, or the vocabulary has none of the set's tags.
    """
    uncalibrated = {**tagger, "init_args": {**tagger["init_args"], "thresholds": None}}
    scored = list(engine(partial(_scored, source, uncalibrated, samples_per_batch, device), range(len(source.shards))))
    names = built(uncalibrated, device).vocabulary.names
    scores_IK = np.concatenate([scores for scores, _ in scored])
    tags_I = [tags for _, known in scored for tags in known]
    number = {name: k for k, name in enumerate(names)}
    known_IK = np.zeros(scores_IK.shape, dtype=bool)
    for i, tags in enumerate(tags_I):
        known_IK[i, [number[name] for name in tags if name in number]] = True
    foreign = Counter(name for tags in tags_I for name in tags if name not in number)
    if not known_IK.any():
        found = f"tags such as {', '.join(list(foreign)[:5]) or 'none'}"
        raise ConfigurationError(f"{source.folder}", found, "tags of the tagger's vocabulary", "use a set with such tags")
    write_thresholds(file, calibrate(scores_IK, known_IK).tolist())
    own = int((known_IK.sum(0) >= FEWEST_PICTURES).sum())
    return Calibration(len(names), own, len(tags_I), foreign, held_out_agreement(scores_IK, known_IK))


def _scored(source: ShardSet, tagger: dict[str, Any], samples_per_batch: int, device: str, shard: int) -> Scored:
    """Scores of every picture of a shard, and its known tags."""
    scorer = built(tagger, device)
    samples = (raw.parse() for raw in source.read(shard))
    scores_IK = [np.zeros((0, len(scorer.vocabulary.names)), np.float32)]
    tags_I: list[list[str]] = []
    while batch := list(islice(samples, samples_per_batch)):
        pixels = [pixels_CHW for packed in batch for pixels_CHW in picture_pixels(scorer, packed)]
        if pixels:
            scores_IK.append(scorer(torch.stack(pixels)).numpy())
        tags_I += [[tag.name for tag in image.tags] for sample, _ in batch for image in sample.images]
    return np.concatenate(scores_IK), tags_I
