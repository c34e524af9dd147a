"""MmLINK pairs to shards: split over processes, resumable, with the yield of every step."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from data_pipelines.make_shards import Made, make_shards
from data_pipelines.mmlink.books import book_pair
from data_pipelines.mmlink.icons import icon_pair
from data_pipelines.mmlink.linking import FAILURES, Linker
from data_pipelines.mmlink.pair import Pair, encoded, pair_generator, pair_key
from data_pipelines.mmlink.steps import Steps
from data_pipelines.report import Drop, Report
from data_pipelines.scenes.objects import nouns_of
from data_pipelines.scenes.samples import attribution
from data_pipelines.write_scenes import ATTRIBUTION_FILE
from triscope.data.folder import write_whole

DRAWN_PAIRS: dict[str, Callable[[Random, str], Pair]] = {"icons": icon_pair, "book_covers": book_pair}


@dataclass(frozen=True)
class Yields:
    """What was made.

    Args:
        report: of the set.
        core_seconds: that making took, of all processes together; none if an earlier run had made a part.
    """

    report: Report
    core_seconds: float | None

    def text(self) -> str:
        """The result for people: how many pairs passed each step, and how fast."""
        left = self.report.samples_read
        lines = [f"{self.report.samples_written} pairs of {left} planned"]
        if self.core_seconds:
            lines[0] += f"; {self.report.samples_read / self.core_seconds:.0f} a second on a core"
        for failure in FAILURES:
            if lost := self.report.dropped[failure]:
                lines.append(f"  {failure:<14} {lost:>8}, {lost / left:.1%} of those that came so far")
                left -= lost
        return "\n".join(lines)


def write_mmlink(
    folder: Path,
    domain: str,
    split: str,
    count: int,
    seed: int = 0,
    steps: Steps | None = None,
    workers: int = 1,
    samples_per_shard: int = 1000,
) -> Yields:
    """Make pairs and write them; a run that was stopped goes on when it is started again.

    The same seed and steps give the same bytes with any number of processes.

    Args:
        folder: where to write: absent, empty, or left unfinished by the same command. Attribution and `report.json` are
            put there too.
        domain: `icons` or `book_covers`; with steps `characters` or `furniture`.
        split: `train`, `val`, `test` (the same sources, other pairs) or `test_objects` (sources never shown elsewhere).
        count: pairs to plan; those that a step cannot do are left out.
        seed: another seed gives other pairs.
        steps: of characters and furniture.
        workers: processes. Each loads the models of its steps.
        samples_per_shard: pairs that a shard is planned with.

    Raises:
        ConfigurationError: no such split, too few subjects, or a model that does not answer.
        BadShardError: the folder holds something else.
    """
    nouns_of(split)  # refuses unknown splits
    settings = {"domain": domain, "split": split, "count": count, "seed": seed}
    if steps is None:
        make = partial(_drawn, domain, seed, split)
    else:
        make = partial(_linked, domain, seed, split, steps)
        settings |= {"steps": steps.names(), "side": steps.side}
    from_nothing, began = not folder.exists(), _core_seconds()
    report = make_shards(f"mmlink {domain}", make, range(count), folder, settings, workers, samples_per_shard)
    write_whole(folder / ATTRIBUTION_FILE, attribution())
    return Yields(report, _core_seconds() - began if from_nothing else None)


def _drawn(domain: str, seed: int, split: str, indices: Sequence[int]) -> Iterator[Made]:
    """Pairs that need no steps."""
    for index in indices:
        pair = DRAWN_PAIRS[domain](pair_generator(domain, seed, split, index), split)
        sample, images = encoded(pair, domain, seed, split, index)
        yield Made(sample, images)


def _linked(domain: str, seed: int, split: str, steps: Steps, indices: Sequence[int]) -> Iterator[Made]:
    """Pairs that go through the steps, or what became of them."""
    for index, pair in Linker(domain, steps).pairs(seed, split, indices):
        if isinstance(pair, str):
            yield Made(drops=(Drop(pair, pair_key(domain, seed, split, index)),))
        else:
            sample, images = encoded(pair, domain, seed, split, index)
            yield Made(sample, images)


def _core_seconds() -> float:
    """That this process and those it waited for have computed."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
