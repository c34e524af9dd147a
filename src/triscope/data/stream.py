"""Stream: one order of samples for all ranks and workers, a pure function of seed, epoch and position.

    position 0 .. len(stream)    --plan-->    set, and the how-manieth sample drawn of it
    draw of a set                --order-->   shard, number in it      (shards permuted, samples shuffled in windows)
    shard, number                --index-->   bytes

Ranks and workers are dealt positions, so another number of them changes who reads a sample, not which are read. Going
to a position reads nothing before it, and how far a training run has come is three numbers: the `Cursor`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from triscope.data.errors import ConfigurationError
from triscope.data.shards import RawSample, ShardSet

_PLAN, _SHARDS, _WINDOW, _SAMPLE = range(4)  # what a generator is for; part of its seed


class Place(NamedTuple):
    """Where a sample lies: name of the set, number of the shard, number of the sample in the shard."""

    set: str
    shard: int
    number: int


class SampleStream:
    """Samples of one or several sets in one order.

    A set gives its share of every epoch, spread evenly over it. It goes through all its samples before it repeats one,
    from epoch to epoch: with the default weights, each epoch has every sample exactly once.

    Args:
        sets: shard sets by name.
        weights: share of the samples by name, of any sum; the sets' sizes if None.
        seed: of all orders.
        shuffle: False keeps the order of the shards.
        samples_per_epoch: length of an epoch; the sum of the sets' sizes if None.
        window_shards: samples are shuffled among so many shards that follow each other in the permuted order, so that
            reads stay among few files.

    Raises:
        ConfigurationError: no set, an empty one, or weights that do not fit.
    """

    def __init__(
        self,
        sets: Mapping[str, ShardSet],
        weights: Mapping[str, float] | None = None,
        seed: int = 0,
        shuffle: bool = True,
        samples_per_epoch: int | None = None,
        window_shards: int = 16,
    ) -> None:
        self.sets = dict(sets)
        self.weights = dict(weights) if weights is not None else {name: len(shards) for name, shards in sets.items()}
        self.seed = seed
        self._check()
        self.length = samples_per_epoch or sum(len(shards) for shards in self.sets.values())
        self.shares = _shares([self.weights[name] for name in self.sets], self.length)
        self._names = list(self.sets)
        self._orders = [
            _SetOrder([shard.samples for shard in shards.shards], (seed, number), window_shards if shuffle else 0)
            for number, shards in enumerate(self.sets.values())
        ]
        self._plan: tuple[int, np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        """Samples of an epoch, over all ranks."""
        return self.length

    def locate(self, epoch: int, position: int) -> Place:
        """Where the sample at a position of an epoch lies."""
        sets, draws = self._epoch_plan(epoch)
        chosen = int(sets[position])
        draw = epoch * self.shares[chosen] + int(draws[position])
        return Place(self._names[chosen], *self._orders[chosen].place(draw))

    def read(self, epoch: int, position: int) -> RawSample:
        """The sample at a position of an epoch, undecoded.

        Raises:
            BadShardError: its shard is damaged.
        """
        place = self.locate(epoch, position)
        return next(self.sets[place.set].read(place.shard, [place.number]))

    def generator(self, epoch: int, position: int) -> np.random.Generator:
        """Random numbers for the choices made about the sample at a position."""
        return np.random.default_rng((self.seed, _SAMPLE, epoch, position))

    def _epoch_plan(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Of each position, the set and the number of samples drawn of that set before it in this epoch."""
        if self._plan is None or self._plan[0] != epoch:
            generator = np.random.default_rng((self.seed, _PLAN, epoch))
            # The k-th of a set's n samples falls anywhere in the k-th n-th of the epoch.
            times = np.concatenate([(np.arange(n) + generator.random(n)) / max(n, 1) for n in self.shares])
            order = np.argsort(times, kind="stable")
            sets = np.repeat(np.arange(len(self.shares)), self.shares)
            draws = np.concatenate([np.arange(share) for share in self.shares])
            self._plan = epoch, sets[order].astype(np.int16), draws[order].astype(np.int32)
        return self._plan[1:]

    def _check(self) -> None:
        if not self.sets:
            raise ConfigurationError("sets of the stream", "none", "at least one", "name a folder of shards")
        for name, shards in self.sets.items():
            if len(shards) == 0:
                raise ConfigurationError(f"set {name}", "no sample", "at least one", "convert the data again")
        if self.weights.keys() != self.sets.keys():
            raise ConfigurationError(
                "weights of the stream", f"{sorted(self.weights)}", f"{sorted(self.sets)}", "give every set a weight"
            )
        if any(weight < 0 for weight in self.weights.values()) or sum(self.weights.values()) <= 0:
            raise ConfigurationError(
                "weights of the stream", f"{self.weights}", "0 or more, not all 0", "give shares of the samples"
            )


class _SetOrder:
    """The endless order of one set: pass after pass over all its samples, each in another order.

    Args:
        sizes: samples of each shard.
        seed: of the set's orders.
        window_shards: 0 keeps shards and samples in order.
    """

    def __init__(self, sizes: Sequence[int], seed: tuple[int, int], window_shards: int) -> None:
        self.sizes = np.asarray(sizes)
        self.seed = seed
        self.window_shards = window_shards
        self._pass: tuple[int, np.ndarray, np.ndarray] | None = None
        self._window: tuple[tuple[int, int], np.ndarray] | None = None

    def place(self, draw: int) -> tuple[int, int]:
        """Shard and number in it of a draw, counted from the first of the first pass."""
        number_of_pass, position = divmod(draw, int(self.sizes.sum()))
        shards, ends = self._shard_order(number_of_pass)
        if self.window_shards:
            position = self._shuffled(number_of_pass, position, ends)
        chosen = int(np.searchsorted(ends, position, side="right"))
        shard = int(shards[chosen])
        return shard, int(position - ends[chosen] + self.sizes[shard])

    def _shard_order(self, number_of_pass: int) -> tuple[np.ndarray, np.ndarray]:
        """The shards of a pass in order, and the position at which each ends."""
        if self._pass is None or self._pass[0] != number_of_pass:
            shards = np.arange(len(self.sizes))
            if self.window_shards:
                np.random.default_rng((*self.seed, _SHARDS, number_of_pass)).shuffle(shards)
            self._pass = number_of_pass, shards, self.sizes[shards].cumsum()
        return self._pass[1:]

    def _shuffled(self, number_of_pass: int, position: int, ends: np.ndarray) -> int:
        """The position that comes to stand at `position` when samples are shuffled within each window of shards."""
        first_shard = int(np.searchsorted(ends, position, side="right")) // self.window_shards * self.window_shards
        start = int(ends[first_shard - 1]) if first_shard else 0
        end = int(ends[min(first_shard + self.window_shards, len(ends)) - 1])
        if self._window is None or self._window[0] != (number_of_pass, start):
            generator = np.random.default_rng((*self.seed, _WINDOW, number_of_pass, start))
            self._window = (number_of_pass, start), start + generator.permutation(end - start)
        return int(self._window[1][position - start])


def _shares(weights: Sequence[float], total: int) -> list[int]:
    """Whole shares of `total` in proportion to the weights (largest remainders)."""
    exact = np.asarray(weights, dtype=np.float64) * total / sum(weights)
    shares = np.floor(exact + 1e-9).astype(int)
    missing = total - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[:missing]] += 1
    return shares.tolist()


@dataclass(frozen=True)
class Cursor:
    """How far a run has come. The same on every rank.

    Args:
        epoch: from 0.
        position: samples of the epoch that all ranks together have consumed.
        batches: batches of the epoch that each rank has consumed.
    """

    epoch: int = 0
    position: int = 0
    batches: int = 0

    def state_dict(self) -> dict[str, int]:
        """Plain numbers for a checkpoint."""
        return asdict(self)


class Step(NamedTuple):
    """What one rank reads for one batch.

    Args:
        positions: of samples in the epoch `after.epoch`.
        first: of all ranks' positions.
        after: how far the run has come when all ranks have consumed their batches.
    """

    positions: range
    first: int
    after: Cursor


class Steps:
    """The steps that are left of an epoch, for one rank; the `sampler` of a loader.

    All ranks' positions of a step follow each other; rank r takes every world-size-th of them from the r-th. The last
    step of an epoch may have fewer positions than ranks: a rank without any repeats one of another (see `BatchSource`).

    Args:
        samples: of an epoch.
        samples_per_batch: of one rank.
        rank: this process.
        world_size: number of processes that read different samples.
    """

    def __init__(self, samples: int, samples_per_batch: int, rank: int = 0, world_size: int = 1) -> None:
        self.samples = samples
        self.stride = samples_per_batch * world_size
        self.rank = rank
        self.world_size = world_size
        self.cursor = Cursor()

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch, unless the cursor is in it. Called by Lightning before every epoch."""
        if epoch != self.cursor.epoch:
            self.cursor = Cursor(epoch)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left of the cursor's epoch."""
        return self.cursor.position >= self.samples

    def __len__(self) -> int:
        """Batches of this epoch, those already consumed included."""
        return self.cursor.batches + -(-max(0, self.samples - self.cursor.position) // self.stride)

    def __iter__(self) -> Iterator[Step]:
        epoch, position, batches = self.cursor.epoch, self.cursor.position, self.cursor.batches
        for first in range(position, self.samples, self.stride):
            batches += 1
            end = min(first + self.stride, self.samples)
            yield Step(range(first + self.rank, end, self.world_size), first, Cursor(epoch, end, batches))
