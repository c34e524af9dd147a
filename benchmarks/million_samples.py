"""A million samples through the training loader: how much memory it takes, and how long going to a position takes.

    python -m benchmarks.million_samples
    python -m benchmarks.million_samples --samples 100000 --folder /tmp/many

Shards of 10,000 generated samples, a question without a picture each, are written once and linked as often as it takes: the
loader reads a million places, and its workers make batches of them as in a run. Memory is the peak of the main process so far,
and of the worker that has the most.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.measure import status_kib
from benchmarks.stream import ANSWER, QUESTION, our_loader
from triscope.data.sample import Conversation, Level, Sample, Turn
from triscope.data.shard_index import INDEX_SCHEMA
from triscope.data.shard_writer import ShardWriter
from triscope.data.shards import ShardSet
from triscope.data.stream import SampleStream

SAMPLES_PER_SHARD = 10_000


def main() -> None:
    """Write the shards, and measure in processes of their own, so that each starts with little memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000, help=f"a multiple of {SAMPLES_PER_SHARD:,} (%(default)s)")
    parser.add_argument("--folder", type=Path, help="for the shards; a temporary one if it is not given")
    parser.add_argument("--passes", type=float, default=1.0, help="share of an epoch to read (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes that make batches (default: %(default)s)")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = parsed.folder or Path(temporary) / "shards"
        write(folder, parsed.samples)
        for work, told in ((measure_skipping, ()), (measure_memory, (parsed.samples, parsed.passes, parsed.workers))):
            process = multiprocessing.get_context("spawn").Process(target=work, args=(folder, *told))
            process.start()
            process.join()


def write(folder: Path, samples: int) -> None:
    """One shard, linked under as many names as are needed, with their index."""
    with ShardWriter(folder, SAMPLES_PER_SHARD) as writer:
        conversation = Conversation("caption", Level.IMAGE, (Turn(QUESTION, (ANSWER,)),))
        for number in range(SAMPLES_PER_SHARD):
            writer.write(Sample(f"sample-{number}", (), (conversation,), source="generated"), [])
    (shard,) = ShardSet.open(folder).shards
    count = samples // SAMPLES_PER_SHARD
    shards = [replace(shard, file=f"shard-{number:06d}.tar") for number in range(count)]
    for linked in shards[1:]:
        os.link(folder / shard.file, folder / linked.file)
        os.link(folder / "shard-000000.index.json", folder / linked.file.replace(".tar", ".index.json"))
    index = {"schema": INDEX_SCHEMA, "samples": count * shard.samples, "images": 0, "tasks": {"caption": samples}}
    index |= {"levels": {"image": samples}, "sources": {"generated": samples}, "shards": [asdict(each) for each in shards]}
    (folder / "index.json").write_text(json.dumps(index))


def measure_skipping(folder: Path) -> None:
    """From nothing to the sample at a position: what a resumed run waits for before its first batch."""
    shards = len(ShardSet.open(folder).shards)
    print(f"{'going to position':>20}  seconds   ({shards} shards of {SAMPLES_PER_SHARD} samples)")
    for share in (0.0, 0.5, 1.0):
        start = time.perf_counter()
        stream = SampleStream({"set": ShardSet.open(folder)})
        position = int(share * (len(stream) - 1))
        stream.read(3, position)
        print(f"{position:>20,}  {time.perf_counter() - start:.3f}", flush=True)


def measure_memory(folder: Path, samples: int, passes: float, workers: int) -> None:
    """Read an epoch of so many samples, or the share of it that is asked for, in its shuffled order, as batches."""
    loader = our_loader(folder, workers, samples)
    wanted = int(passes * samples)
    marks = sorted({1000, *range(samples // 10, wanted, samples // 10), wanted})
    print(f"{'samples read':>20}  MiB main  MiB worker   seconds", flush=True)
    start, read = time.perf_counter(), 0
    for batch in loader:
        read += len(batch)
        if read >= marks[0]:
            marks = [mark for mark in marks if mark > read]
            peaks = [status_kib("VmHWM", child.pid) / 1024 for child in multiprocessing.active_children()]
            told = f"{status_kib('VmHWM') / 1024:8.1f}  {max(peaks, default=0):10.1f}"
            print(f"{read:>20,}  {told}   {time.perf_counter() - start:.1f}", flush=True)
        if not marks:
            break
    loader.close()


if __name__ == "__main__":
    main()
