"""Rows as LION's mixture has them, of random ids and pictures: what matters for speed is how long they are."""

from typing import NamedTuple

import numpy as np
import torch

from triscope.data.batch import Batch, Placeholder, Row
from triscope.data.collate import EncodedSample, collate, row_groups
from triscope.data.prompts import EncodedRow
from triscope.data.sample import Level

FIRST_WORD = 3  # ids below are padding, end of text, unknown
END = 1
TAG_TOKENS = (30, 60)  # LION's sentence with its 5 to 15 tags


class Task(NamedTuple):
    """How long questions and answers are, in tokens, from least to most."""

    level: Level
    question: tuple[int, int]
    answer: tuple[int, int]


IMAGE_TASKS = (
    Task(Level.IMAGE, (8, 14), (9, 18)),  # captions
    Task(Level.IMAGE, (7, 16), (1, 3)),  # visual questions, twice as many
    Task(Level.IMAGE, (7, 16), (1, 3)),
    Task(Level.IMAGE, (12, 40), (30, 127)),  # dialogues
)
REGION_TASKS = (
    Task(Level.REGION, (14, 30), (24, 28)),  # pointing: the answer is a box, its digits a token each
    Task(Level.REGION, (36, 48), (3, 12)),  # describing: the question holds the box
)
STAGE_TASKS = {1: IMAGE_TASKS, 2: REGION_TASKS, 3: IMAGE_TASKS + REGION_TASKS}


def rows_of(
    stage: int,
    images: int,
    questions: int,
    image_size: int,
    vocabulary: int,
    question_vocabulary: int,
    shared_pictures: bool = True,
) -> Batch:
    """A batch of a stage, the same for the same numbers.

    Args:
        stage: of LION: 1 image level, 2 region level, 3 both.
        images: pictures of the batch.
        questions: rows that ask about each picture.
        image_size: side of the pictures in pixels.
        vocabulary: words of the language model; the last two are kept free for placeholders.
        question_vocabulary: words of the Q-Former.
        shared_pictures: as in the `DataModule`.
    """
    generator = np.random.default_rng((stage, images, questions))
    samples = []
    for image in range(images):
        tags = generator.integers(FIRST_WORD, vocabulary - 2, generator.integers(*TAG_TOKENS)).tolist()
        rows = [
            _row(generator, STAGE_TASKS[stage], tags, vocabulary, question_vocabulary, f"{image}:{number}")
            for number in range(questions)
        ]
        pixels = torch.from_numpy(generator.integers(0, 256, (3, image_size, image_size), dtype=np.uint8))
        samples += [EncodedSample({0: pixels}, group) for group in row_groups(rows, shared_pictures)]
    return collate(samples, image_size)


def _row(
    generator: np.random.Generator, tasks: tuple[Task, ...], tags: list[int], words: int, question_words: int, key: str
) -> EncodedRow:
    task = tasks[generator.integers(len(tasks))]

    def text(lengths: tuple[int, int], words: int) -> list[int]:
        return generator.integers(FIRST_WORD, words - 2, generator.integers(lengths[0], lengths[1] + 1)).tolist()

    question, answer = text(task.question, words), [*text(task.answer, words), END]
    prompt = [Placeholder.IMAGE, Placeholder.SOFT_PROMPT, *tags, *question, END]
    return EncodedRow(
        ids=[*map(int, prompt), *answer],
        supervised=[False] * len(prompt) + [True] * len(answer),
        question_ids=generator.integers(FIRST_WORD, question_words, len(question)).tolist(),
        images=[0],
        regions=[],
        row=Row(key, "speed", task.level, "", ("",)),
    )
