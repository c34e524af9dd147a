"""Public data to shards: pictures in, samples out, and a report of what was left out and why."""

import itertools
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tqdm import tqdm

from data_pipelines.engine import in_order
from data_pipelines.sources.source import Converted, Drop, Source, convert_picture
from triscope.data.errors import TriscopeError
from triscope.data.shards import ShardWriter, write_whole

REPORT_FILE = "report.json"
EXAMPLES = 3  # of each reason, in the report


@dataclass
class Report:
    """What a conversion read, wrote and left out.

    Args:
        source: name of the data set.
        pictures_read: all that the annotations name.
        samples_written: one a picture.
        questions_written: by task.
        dropped: annotations and pictures left out, by reason.
        examples: the first few of each reason.
        bad_samples: pictures lost to a fault of the data; counted against the error budget.
    """

    source: str
    pictures_read: int = 0
    samples_written: int = 0
    questions_written: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    examples: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    bad_samples: int = 0

    def drop(self, drop: Drop) -> None:
        """Count something left out and keep it as an example while there are few."""
        self.dropped[drop.reason] += 1
        if len(self.examples[drop.reason]) < EXAMPLES:
            self.examples[drop.reason].append(drop.example)

    def text(self) -> str:
        """The report for people."""
        questions = ", ".join(f"{task} {count}" for task, count in self.questions_written.most_common())
        lines = [
            f"{self.source}: {self.pictures_read} pictures read, {self.samples_written} samples written",
            f"questions: {questions or 'none'}",
            f"dropped: {sum(self.dropped.values())}",
        ]
        for reason, count in self.dropped.most_common():
            lines.append(f"  {count:>8}  {reason}")
            lines.extend(f"            such as {example}" for example in self.examples[reason])
        return "\n".join(lines)


def convert(
    source: Source, folder: Path, workers: int = 1, bad_samples: int = 100, samples_per_shard: int = 1000, seed: int = 0
) -> Report:
    """Convert a data set to shards; the same source and seed give the same bytes with any number of workers.

    Args:
        source: what to read.
        folder: where to write; must be empty. `report.json` is put there too.
        workers: processes that read pictures.
        bad_samples: how many pictures may be lost to faults (missing, unreadable, unusable) before it stops.
        samples_per_shard: of the shards written.
        seed: of the wordings.

    Returns:
        what was read, written and dropped.

    Raises:
        TriscopeError: files are missing or have another layout, the folder is not empty, more faults than the budget
            allows, or nothing to write.
    """
    report = Report(source.name)
    pictures = iter(source.pictures())
    first = list(itertools.islice(pictures, 1))  # missing files are told before the folder is made
    with ShardWriter(folder, samples_per_shard) as writer:
        results = in_order(partial(convert_picture, source, seed), itertools.chain(first, pictures), workers)
        for result in tqdm(results, desc=source.name, unit=" pictures", disable=None):
            _count(result, report, bad_samples)
            if result.sample is not None:
                writer.write(result.sample, result.images)
                report.samples_written += 1
                report.questions_written.update(conversation.task for conversation in result.sample.conversations)
        if not report.samples_written:
            found = f"nothing to write; dropped: {dict(report.dropped)}"
            raise TriscopeError(source.name, found, "at least one sample", "check that annotations and pictures fit")
        write_whole(folder / REPORT_FILE, json.dumps(vars(report), indent=1, ensure_ascii=False))
    return report


def _count(result: Converted, report: Report, bad_samples: int) -> None:
    report.pictures_read += 1
    for drop in result.drops:
        report.drop(drop)
    if result.fault is None:
        return
    report.drop(result.fault)
    report.bad_samples += 1
    if report.bad_samples > bad_samples:
        raise TriscopeError(
            result.fault.example,
            f"{result.fault.reason}, the {report.bad_samples}. picture lost (so far: {dict(report.dropped)})",
            f"at most {bad_samples}",
            "check that the pictures belong to the annotations, or allow more with --bad_samples",
        )
