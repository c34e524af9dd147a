"""What a shard set holds, on one screen."""

from collections import Counter, defaultdict
from pathlib import Path
from statistics import median

from tqdm import tqdm

from triscope.data.sample import MARKER
from triscope.data.shards import ShardSet

MOST_COMMON = 8  # answers shown of each task
LONGEST_ANSWER = 40  # characters


def info(folder: Path) -> str:
    """Counts by task, level and source, the commonest answers of each task, and sizes.

    Args:
        folder: of the shards.

    Raises:
        BadShardError, BadSampleError: the set is not in order; `lint` says all that is wrong.
    """
    shards = ShardSet.open(folder)
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    widths, heights, questions, regions = [], [], [], []
    for raw in tqdm(shards, total=len(shards), unit=" samples", disable=None):
        sample, _ = raw.parse()
        questions.append(len(sample.conversations))
        regions.append(len(sample.regions))
        widths += [image.width for image in sample.images]
        heights += [image.height for image in sample.images]
        for conversation in sample.conversations:
            answers[conversation.task].update(_said(turn.answers[0]) for turn in conversation.turns)
    counts = shards.counts
    megabytes = sum(shard.bytes for shard in shards.shards) / 1e6
    lines = [
        f"{folder}: {len(shards.shards)} shards, {megabytes:.1f} MB, fingerprint {shards.fingerprint[:16]}",
        f"samples    {counts.samples}",
        f"images     {counts.images}",
        f"levels     {_listed(counts.levels)}",
        f"sources    {_listed(counts.sources)}",
        f"width      {_spread(widths)}",
        f"height     {_spread(heights)}",
        f"regions    {_spread(regions)} a sample",
        f"questions  {_spread(questions)} a sample",
        "tasks and their commonest answers",
    ]
    for task, count in counts.tasks.most_common():
        lines.append(f"  {task:<20} {count:>8}   {_listed(answers[task], MOST_COMMON)}")
    return "\n".join(lines)


def _listed(counts: Counter[str], most: int | None = None) -> str:
    listed = ", ".join(f"{_short(name)} {count}" for name, count in counts.most_common(most))
    left = len(counts) - (most or len(counts))
    return listed + (f", and {left} more" if left > 0 else "")


def _said(answer: str) -> str:
    """The answer; the number of a region says nothing by itself."""
    return MARKER.sub("a box", answer)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_ANSWER else f"{text[: LONGEST_ANSWER - 1]}…"


def _spread(numbers: list[int]) -> str:
    return f"{min(numbers)} to {max(numbers)}, median {median(numbers):g}" if numbers else "none"
