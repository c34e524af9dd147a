"""Loader: batches from a stream, made in worker processes, resumable at any batch.

The main process says which positions make the next batch (`Steps`), a worker makes it from them alone (`BatchSource`),
and the loader counts what was handed out. So batches are the same for any number of workers, and prefetching is not
consuming.
"""

import ctypes
import itertools
import multiprocessing
import signal
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import wait
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from triscope.data.asking import Asking
from triscope.data.batch import Batch
from triscope.data.collate import EncodedSample, OtherPictures, collate, row_groups
from triscope.data.errors import BadSampleError, BadShardError, LostWorkerError, TriscopeError
from triscope.data.prompts import EncodedRow, PromptWriter, conversations_of
from triscope.data.sample import Image, Level, Sample
from triscope.data.stream import Cursor, SampleStream, Step, Steps
from triscope.data.transforms import PictureTransform

SkippedError = BadSampleError | BadShardError | LostWorkerError


class Delivery(NamedTuple):
    """A batch, the samples that could not be part of it, and how far the run has come with it."""

    batch: Batch
    skipped: list[SkippedError]
    after: Cursor


@dataclass(frozen=True)
class Selection:
    """Which conversations of a sample are asked.

    Args:
        levels: those whose level is among them; all if None.
        tasks: those whose task is among them; all if None.
        conversations_per_image: at most so many of a sample, drawn anew in every epoch; all if None.
        asking: how they are worded; as they were converted if None.
    """

    levels: tuple[Level, ...] | None = None
    tasks: tuple[str, ...] | None = None
    conversations_per_image: int | None = None
    asking: Asking | None = None

    def text(self) -> str:
        """Which, in words."""
        levels, tasks = (" or ".join(names or ()) or "any" for names in (self.levels, self.tasks))
        return f"level {levels} and task {tasks}"


class BatchSource(Dataset):
    """Makes the batch of a step; keeps nothing between two.

    A sample that cannot be used is named and left out of its batch. A rank whose step leaves nothing, because all its
    samples are unusable or the epoch's last step has fewer samples than ranks, repeats the first usable sample from the
    step's start on, so that all ranks stay in step; evaluation counts each `Row.key` once.

    Args:
        stream: the order of samples.
        transform: of pictures.
        writer: of rows.
        selection: which conversations are asked.
        with_others: give every picture one of another sample beside it, for the shuffled control.
        shared_pictures: a picture of a sample stands in the batch once, however many rows show it; or once for each.
    """

    def __init__(
        self,
        stream: SampleStream,
        transform: PictureTransform,
        writer: PromptWriter,
        selection: Selection,
        with_others: bool = False,
        shared_pictures: bool = True,
    ) -> None:
        self.stream = stream
        self.transform = transform
        self.writer = writer
        self.selection = selection
        self.with_others = with_others
        self.shared_pictures = shared_pictures

    def __getitem__(self, step: Step) -> Delivery:
        samples, skipped = list[EncodedSample](), list[SkippedError]()
        for position in step.positions:
            try:
                samples += self.encode(step.after.epoch, position)
            except (BadSampleError, BadShardError) as error:
                skipped.append(error)
        if not any(sample.rows for sample in samples):
            samples = self._stand_in(step)
        return Delivery(collate(samples, self.transform.size), skipped, step.after)

    def encode(self, epoch: int, position: int) -> list[EncodedSample]:
        """The sample at a position of an epoch, as `encode_sample` gives it.

        Raises:
            BadSampleError: the sample is unusable.
            BadShardError: its shard is damaged.
        """
        raw = self.stream.read(epoch, position)
        sample, contents = raw.parse()
        generator = self.stream.generator(epoch, position)
        numbers = conversations_of(sample, self.selection.levels, self.selection.tasks)
        wanted = self.selection.conversations_per_image
        if wanted is not None and len(numbers) > wanted:
            numbers = sorted(generator.choice(numbers, wanted, replace=False).tolist())
        asked = sample if self.selection.asking is None else self.selection.asking.asked(sample)
        encoded = encode_sample(asked, contents, numbers, self.transform, self.writer, generator, raw.where, self.shared_pictures)
        shown = sorted({image for each in encoded for image in each.pixels})
        if not (self.with_others and shown):
            return encoded
        others = self._others(epoch, position, shown)
        return [replace(each, others=others) for each in encoded]

    def _others(self, epoch: int, position: int, images: Sequence[int]) -> OtherPictures | None:
        """Pictures for some images of the sample at a position: those of the nearest sample before it that has any, the last
        following the first, so that they are the same in any batch; None if no other sample has one."""
        for back in range(1, len(self.stream)):
            try:
                raw = self.stream.read(epoch, (position - back) % len(self.stream))
                sample, contents = raw.parse()
                if not sample.images:
                    continue
                source = {image: order % len(sample.images) for order, image in enumerate(images)}
                given = {image: (contents[other], sample.images[other], False, raw.where) for image, other in source.items()}
                return OtherPictures(*encode_pictures(given, self.transform))
            except (BadSampleError, BadShardError):
                continue  # counted where it is at home
        return None

    def _stand_in(self, step: Step) -> list[EncodedSample]:
        """The first sample with a row from a step's start on.

        Raises:
            BadSampleError, BadShardError: none can be used; or, with what is wrong with the first of them, none is whole.
        """
        errors: list[BadSampleError | BadShardError] = []
        for position in itertools.chain(range(step.first, len(self.stream)), range(step.first)):
            try:
                encoded = self.encode(step.after.epoch, position)
            except (BadSampleError, BadShardError) as error:
                errors.append(error)
                continue  # counted where it is at home
            if any(each.rows for each in encoded):
                return encoded
        first = errors[0] if errors else None
        if first and len(errors) == len(self.stream):
            found = f"{first.found} (none of the {len(errors)} samples can be used)"
            raise type(first)(first.where, found, first.expected, first.remedy)
        raise BadShardError(
            ", ".join(self.stream.sets),
            "no sample with a conversation that can be used" + (f" ({first.where}: {first.found})" if first else ""),
            f"conversations of {self.selection.text()}",
            "check levels and tasks of the data, and lint the shards",
        )


def encode_sample(
    sample: Sample,
    contents: Sequence[bytes],
    numbers: Sequence[int],
    transform: PictureTransform,
    writer: PromptWriter,
    generator: np.random.Generator,
    where: str,
    shared_pictures: bool,
) -> list[EncodedSample]:
    """A sample as rows and pixels. Only pictures that a row shows are decoded.

    Args:
        sample, contents: with its encoded pictures.
        numbers: of the conversations to ask.
        transform: of pictures.
        writer: of rows.
        generator: of what the transform draws.
        where: shard and key, for messages.
        shared_pictures: a picture is decoded once for all rows; or once for each that shows it.

    Returns:
        The sample; or of each row one, with pictures of its own.

    Raises:
        BadSampleError: the sample is unusable.
    """

    def encoded(rows: list[EncodedRow]) -> EncodedSample:
        shown = sorted({image for row in rows for image in (*row.images, *(region.image for region in row.regions))})
        pixels, region_pictures = encode_pictures(
            {image: (contents[image], sample.images[image], flipped, where) for image in shown}, transform
        )
        return EncodedSample(pixels, rows, region_pictures)

    flipped = transform.flips(sample, generator)
    rows = writer.rows(sample, transform.boxes(sample, flipped, generator), numbers, where)
    return [encoded(group) for group in row_groups(rows, shared_pictures)]


def encode_pictures(
    pictures: Mapping[int, tuple[bytes, Image, bool, str]], transform: PictureTransform
) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """Some pictures as the vision encoder reads them, and as a region encoder does, if there is one.

    Args:
        pictures: what `PictureTransform.pixels` is told of each.
        transform: of pictures.

    Raises:
        BadSampleError: one of them does not decode.
    """
    pixels = {image: transform.pixels(*picture) for image, picture in pictures.items()}
    if transform.region_sides is None:
        return pixels, {}
    return pixels, {image: transform.region_pixels(*picture) for image, picture in pictures.items()}


class Loader:
    """Batches of one rank: the `train_dataloader` of a run, or an exact pass for evaluation.

    Args:
        source: makes batches.
        steps: the positions of this rank.
        workers: processes that make batches; 0 makes them in this one.
        bad_samples_allowed: unusable samples of this rank in one pass before it stops.
        repeats: in training, the next iteration goes on behind the last batch handed out, or in the next epoch if
            nothing is left; in evaluation (False), every iteration is the same whole pass.
    """

    def __init__(
        self,
        source: BatchSource,
        steps: Steps,
        workers: int = 0,
        bad_samples_allowed: int = 100,
        repeats: bool = False,
    ) -> None:
        self.sampler = steps  # by this name Lightning tells it the epoch
        self.batch_sampler = None  # Lightning looks for it wherever there is a sampler
        self.bad_samples_allowed = bad_samples_allowed
        self.repeats = repeats
        self.skipped: list[SkippedError] = []
        self._deliveries: Any = DataLoader(
            _Telling(source),
            sampler=steps,
            batch_size=None,
            num_workers=workers,
            collate_fn=_as_it_is,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_use_one_thread,
            multiprocessing_context=_processes_with_flags() if workers else None,
        )

    def __len__(self) -> int:
        """Batches of an epoch; in a resumed one, with those before the interruption."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        if not self.repeats:
            self.sampler.cursor = Cursor()
        elif self.sampler.exhausted:
            self.sampler.cursor = Cursor(self.sampler.cursor.epoch + 1)
        self.skipped = []
        while True:
            try:
                for delivery in self._started():
                    if isinstance(delivery, TriscopeError):
                        raise delivery
                    batch, skipped, after = delivery
                    self.sampler.cursor = after
                    self._count(skipped)
                    yield batch
                return
            except (RuntimeError, OSError, EOFError) as error:  # a queue breaks in many ways when one end of it dies
                if not self._lost_a_worker():
                    raise
                self.close()  # new ones go on behind the last batch that was handed out
                problem = f"its death ({type(error).__name__}: {error})"
                self._count([LostWorkerError("a worker", problem, "none", "look for what kills it, such as too little memory")])

    def state_dict(self) -> dict[str, int]:
        """How far the run has come, the same on every rank."""
        return self.sampler.cursor.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where a run stopped, whatever its number of ranks and workers was."""
        self.sampler.cursor = Cursor(**state)

    def close(self) -> None:
        """Stop the worker processes; another iteration would start new ones.

        Left to the garbage collector, which ends their queues first, they are waited for in vain for 5 seconds each.
        """
        if self._deliveries._iterator is not None:
            self._deliveries._iterator._shutdown_workers()
            self._deliveries._iterator = None

    def _started(self) -> Iterator[Delivery | TriscopeError]:
        """The deliveries that are left. Lost workers are noticed here, where a batch is waited for: PyTorch's handler of
        the signal, which would raise in the middle of a training step, is taken back."""
        handler = signal.getsignal(signal.SIGCHLD)
        deliveries = iter(self._deliveries)
        if signal.getsignal(signal.SIGCHLD) is not handler:
            signal.signal(signal.SIGCHLD, handler)
        return deliveries

    def _lost_a_worker(self) -> bool:
        """Whether one has ended; given a moment, as its queue may break before it is gone."""
        workers = getattr(self._deliveries._iterator, "_workers", [])
        return bool(wait([worker.sentinel for worker in workers], timeout=5.0))

    def _count(self, skipped: Sequence[SkippedError]) -> None:
        self.skipped += skipped
        if len(self.skipped) > self.bad_samples_allowed:
            raise BadShardError(
                "the data",
                f"{len(self.skipped)} unusable samples:\n" + "\n".join(f"  {error}" for error in self.skipped) + "\n",
                f"at most {self.bad_samples_allowed} in one pass",
                "mend or leave out the samples named above, or raise bad_samples_allowed",
            )


class Flag:
    """An event for processes, as far as a DataLoader needs it, without a lock.

    A worker looks at the event while it is idle. One that is killed just then takes the lock of multiprocessing's own event with
    it, and PyTorch, which asks it whether workers are to end, waits for ever.
    """

    def __init__(self, context: Any) -> None:
        self._is_set = context.RawValue(ctypes.c_bool, False)

    def set(self) -> None:
        """For all processes."""
        self._is_set.value = True

    def is_set(self) -> bool:
        """Whether one has."""
        return self._is_set.value


def _processes_with_flags() -> Any:
    """Processes as this machine starts them, with flags for events."""
    context: Any = copy(multiprocessing.get_context())
    context.Event = partial(Flag, context)
    return context


class _Telling(Dataset):
    """A source whose refusals are handed over, not raised: PyTorch makes a stack trace of what is raised in another process."""

    def __init__(self, source: BatchSource) -> None:
        self.source = source

    def __getitem__(self, step: Step) -> Delivery | TriscopeError:
        try:
            return self.source[step]
        except TriscopeError as error:
            return error


def _as_it_is(delivery: Any) -> Any:
    return delivery


def _use_one_thread(worker: int) -> None:
    torch.set_num_threads(1)
