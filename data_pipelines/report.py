"""What a conversion read, wrote and left out, and how much of that may be faults of the data."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from triscope.data.errors import TriscopeError

EXAMPLES = 3  # of each reason, in the report


class Fault(StrEnum):
    """What a fault of the data cost: a whole sample, or one record of it."""

    SAMPLE = "sample"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class Drop:
    """Something left out.

    Args:
        reason: in a word of the report.
        example: which one it is.
        fault: what it cost, if it is a fault of the data; none if our own rules left it out.
    """

    reason: str
    example: str
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """How many faults are tolerated before a conversion stops.

    Args:
        bad_samples: samples lost: pictures missing, unreadable or of another size, records without a field.
        bad_records: records lost while their sample remains: objects that are missing, impossible boxes, broken markers.
    """

    bad_samples: int = 100
    bad_records: int = 1000


@dataclass
class Report:
    """What a conversion, or a shard of one, read, wrote and left out.

    Args:
        source: name of the data set.
        records_read, samples_read: annotation records, and the samples they make up.
        samples_written: those that something could be asked about.
        questions_written: conversations by task.
        dropped: records and samples left out, by reason.
        examples: the first few of each reason.
        bad_samples, bad_records: those among them that are faults of the data.
    """

    source: str
    records_read: int = 0
    samples_read: int = 0
    samples_written: int = 0
    questions_written: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    bad_samples: int = 0
    bad_records: int = 0

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Report":
        """A report as it was stored."""
        counters = {name: Counter(content[name]) for name in ("questions_written", "dropped")}
        return cls(**content | counters)

    def drop(self, drop: Drop) -> None:
        """Count something left out and keep it as an example while there are few."""
        self.dropped[drop.reason] += 1
        self.bad_samples += drop.fault == Fault.SAMPLE
        self.bad_records += drop.fault == Fault.RECORD
        self._keep(drop.reason, [drop.example])

    def merge(self, other: "Report") -> None:
        """Add what the next shard reports."""
        self.records_read += other.records_read
        self.samples_read += other.samples_read
        self.samples_written += other.samples_written
        self.questions_written.update(other.questions_written)
        self.dropped.update(other.dropped)
        self.bad_samples += other.bad_samples
        self.bad_records += other.bad_records
        for reason, examples in other.examples.items():
            self._keep(reason, examples)

    def check(self, budget: Budget, faults: list[Drop]) -> None:
        """Refuse to go on when the faults of the next shard exceed what is tolerated.

        Raises:
            TriscopeError: naming the first fault that is too many.
        """
        lost = {Fault.SAMPLE: self.bad_samples, Fault.RECORD: self.bad_records}
        allowed = {Fault.SAMPLE: budget.bad_samples, Fault.RECORD: budget.bad_records}
        for drop in faults:
            assert drop.fault is not None
            lost[drop.fault] += 1
            if lost[drop.fault] > allowed[drop.fault]:
                before = ", ".join(f"{reason} {count}" for reason, count in self.dropped.most_common())
                raise TriscopeError(
                    drop.example.rstrip("."),
                    f"{drop.reason}, the {lost[drop.fault]}. {drop.fault} lost" + (f" (before: {before})" if before else ""),
                    f"at most {allowed[drop.fault]}",
                    f"check that pictures and annotations belong together, or run again with a larger --bad_{drop.fault}s: "
                    "finished shards are kept",
                )

    def text(self) -> str:
        """The report for people."""
        questions = ", ".join(f"{task} {count}" for task, count in self.questions_written.most_common())
        lines = [
            f"{self.source}: {self.samples_read} samples read ({self.records_read} records), {self.samples_written} written",
            f"questions: {questions or 'none'}",
            f"dropped: {sum(self.dropped.values())} ({self.bad_samples} samples and {self.bad_records} records for faults)",
        ]
        for reason, count in self.dropped.most_common():
            lines.append(f"  {count:>8}  {reason}")
            lines.extend(f"            such as {example}" for example in self.examples[reason])
        return "\n".join(lines)

    def _keep(self, reason: str, examples: list[str]) -> None:
        kept = self.examples.setdefault(reason, [])
        kept.extend(examples[: EXAMPLES - len(kept)])
