"""Composed scenes to shards, with the attribution that their drawings need."""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from data_pipelines.engine import in_order
from data_pipelines.scenes.objects import nouns_of
from data_pipelines.scenes.samples import album_samples, attribution, scene_samples
from data_pipelines.scenes.text import text_samples
from triscope.data.folder import write_whole
from triscope.data.sample import Sample
from triscope.data.shard_index import Counts
from triscope.data.shard_writer import ShardWriter

ATTRIBUTION_FILE = "ATTRIBUTION"
CHUNK = 32  # scenes a process is given at a time

Form = Literal["picture", "album", "dialogue", "questions"]
Made = tuple[list[tuple[Sample, list[bytes]]], float]  # samples with their pictures, and the seconds that a core took


@dataclass
class Guesses:
    """What guessing scores on albums, by task: exact match of the answer.

    Args:
        answers: how often each answer occurs.
        one_picture: for each question, how often the best guess from a single picture is right.
    """

    answers: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    one_picture: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, sample: Sample) -> None:
        """Count the questions of an album."""
        for conversation, probability in zip(sample.conversations, sample.extra.get("one_picture", ()), strict=False):
            self.answers[conversation.task].update(turn.answers[0] for turn in conversation.turns)
            self.one_picture[conversation.task].append(probability)

    def text(self) -> str:
        """The levels for people."""
        lines = [f"{'task':<16} questions  always one answer  one picture seen"]
        for task, answers in sorted(self.answers.items()):
            ((_, commonest),) = answers.most_common(1)
            always = "-" if task.startswith("pointing") else f"{commonest / answers.total():.3f}"  # a marker is no answer
            seen = sum(self.one_picture[task]) / answers.total()
            lines.append(f"{task:<16} {answers.total():>9}  {always:>17}  {seen:>16.3f}")
        return "\n".join(lines)


@dataclass
class Written:
    """What `write_scenes` wrote.

    Args:
        counts: of the set.
        core_seconds: that composing took, of all processes together.
        guesses: of albums.
    """

    counts: Counts
    core_seconds: float = 0.0
    guesses: Guesses = field(default_factory=Guesses)

    def text(self) -> str:
        """The result for people."""
        rate = f"{self.counts.samples / self.core_seconds:.0f} samples a second on a core"
        lines = [f"{self.counts.samples} samples, {sum(self.counts.tasks.values())} questions; composed {rate}"]
        return "\n".join(lines + [self.guesses.text()] * bool(self.guesses.answers))


def write_scenes(
    folder: Path,
    split: str,
    count: int,
    seed: int = 0,
    form: Form = "picture",
    workers: int = 1,
    samples_per_shard: int = 1000,
    missing_tags: float = 0.1,
    wrong_tags: float = 0.1,
) -> Written:
    """Compose scenes and write them; the same seed gives the same bytes with any number of workers.

    Args:
        folder: where to write; must be empty. The attribution is put there too.
        split: `train`, `val`, `test` or `test_objects`.
        count: how many scenes.
        seed: another seed gives other scenes.
        form: `picture`: one a sample; `album`: several; `dialogue`, `question`: scenes as text, without pictures, and what is
            asked about them.
        workers: processes that compose.
        samples_per_shard: of the shards written.
        missing_tags, wrong_tags: faults of the pictures' tags, see `scene_samples`; text has those of the default.

    Raises:
        ConfigurationError: no such split.
        BadShardError: the folder is not empty.
    """
    nouns_of(split)  # refuses unknown splits before the folder is made
    make = partial(_make, form, (missing_tags, wrong_tags), seed, split, count)
    with ShardWriter(folder, samples_per_shard) as writer:
        written = Written(writer.counts)
        with tqdm(total=count, desc=f"scenes, {split}", unit=" samples", disable=None) as progress:
            for samples, core_seconds in in_order(make, range(0, count, CHUNK), workers, chunk=1):
                written.core_seconds += core_seconds
                for sample, images in samples:
                    writer.write(sample, images)
                    written.guesses.add(sample)
                progress.update(len(samples))
        if form in ("picture", "album"):
            write_whole(folder / ATTRIBUTION_FILE, attribution())
    return written


def _make(form: Form, faults: tuple[float, float], seed: int, split: str, count: int, start: int) -> Made:
    """Scenes of one chunk."""
    began, several = time.process_time(), (seed, split, start, min(CHUNK, count - start))
    match form:
        case "picture":
            samples = list(scene_samples(*several, *faults))
        case "album":
            samples = list(album_samples(*several, *faults))
        case "dialogue" | "questions":
            samples = [(sample, []) for sample in text_samples(*several, dialogues=form == "dialogue")]
    return samples, time.process_time() - began
