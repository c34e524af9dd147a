"""Rows as PVIT's second stage and SAM train on, of random ids and pictures: what matters is how long they are and what they show.

Lengths are ours, after what is known of the data; the papers tell none. LION's rows are in `benchmarks.lion_rows`.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.lion_rows import END, FIRST_WORD
from triscope.data.batch import Batch, Placeholder, Row
from triscope.data.boxes import Box
from triscope.data.collate import EncodedSample, collate
from triscope.data.prompts import EncodedRow
from triscope.data.sample import Level, Region


class Dialogue(NamedTuple):
    """What a sample shows, and how long its text is in tokens, from least to most.

    Args:
        images: that stand before the question.
        regions: of the first image, shown as tokens behind the question; from least to most.
        question, answer: with an opening, if there is one; with the end token.
    """

    images: int
    regions: tuple[int, int]
    question: tuple[int, int]
    answer: tuple[int, int]


PVIT_INSTRUCTION = Dialogue(images=1, regions=(1, 3), question=(60, 120), answer=(10, 60))  # 40 are the opening
MMLINK = Dialogue(images=2, regions=(0, 0), question=(12, 30), answer=(15, 60))


def dialogues(kind: Dialogue, samples: int, image_side: int, region_side: int | None, words: int) -> Batch:
    """A batch with one dialogue a sample, the same for the same numbers.

    Args:
        kind: of dialogue.
        samples: how many.
        image_side: of the pictures in pixels.
        region_side: the shorter one of the pictures that a region encoder reads, 3 : 4; None where it reads none.
        words: of the language model's vocabulary, and of the Q-Former's, that are used.
    """
    generator = np.random.default_rng((samples, kind.images))
    return collate([_sample(generator, kind, number, image_side, region_side, words) for number in range(samples)], image_side)


def _sample(
    generator: np.random.Generator, kind: Dialogue, number: int, image_side: int, region_side: int | None, words: int
) -> EncodedSample:
    def text(lengths: tuple[int, int]) -> list[int]:
        return generator.integers(FIRST_WORD, words, generator.integers(lengths[0], lengths[1] + 1)).tolist()

    def picture(height: int, width: int) -> Tensor:
        return torch.from_numpy(generator.integers(0, 256, (3, height, width), dtype=np.uint8))

    question, answer = text(kind.question), [*text(kind.answer)[:-1], END]
    regions = [Region(0, Box(0.1, 0.2, 0.6, 0.7))] * int(generator.integers(kind.regions[0], kind.regions[1] + 1))
    prompt = [*[int(Placeholder.IMAGE)] * kind.images, *question, *[int(Placeholder.REGION)] * len(regions)]
    row = EncodedRow(
        ids=[*prompt, *answer],
        supervised=[False] * len(prompt) + [True] * len(answer),
        question_ids=question,
        images=list(range(kind.images)),
        regions=regions,
        row=Row(f"{number}:0", "speed", Level.REGION if regions else Level.IMAGE, "", ("",)),
    )
    shown = range(kind.images)
    large = {image: picture(region_side, region_side * 4 // 3) for image in shown} if region_side is not None else {}
    return EncodedSample({image: picture(image_side, image_side) for image in shown}, [row], large)
