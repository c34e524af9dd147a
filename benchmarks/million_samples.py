"""A million samples through the stream: how much memory it takes, and how long going to a position takes.

    python -m benchmarks.million_samples
    python -m benchmarks.million_samples --samples 100000 --folder /tmp/many

Shards of 10,000 generated samples are written once and linked as often as it takes: the stream reads a million places.
"""

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

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
    parser.add_argument("--passes", type=float, default=1.0, help="how much of an epoch to read (default: %(default)s)")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = parsed.folder or Path(temporary) / "shards"
        write(folder, parsed.samples)
        for work in (measure_skipping, measure_memory):
            process = multiprocessing.get_context("spawn").Process(target=work, args=(folder, parsed.passes))
            process.start()
            process.join()


def write(folder: Path, samples: int) -> None:
    """One shard, linked under as many names as are needed, with their index."""
    with ShardWriter(folder, SAMPLES_PER_SHARD) as writer:
        conversation = Conversation("caption", Level.IMAGE, (Turn("What does the picture show?", ("a dog on a lawn",)),))
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


def measure_skipping(folder: Path, passes: float) -> None:
    """From nothing to the sample at a position: what a resumed run waits for before its first batch."""
    shards = len(ShardSet.open(folder).shards)
    print(f"{'going to position':>20}  seconds   ({shards} shards of {SAMPLES_PER_SHARD} samples)")
    for share in (0.0, 0.5, 1.0):
        start = time.perf_counter()
        stream = SampleStream({"set": ShardSet.open(folder)})
        position = int(share * (len(stream) - 1))
        stream.read(3, position)
        print(f"{position:>20,}  {time.perf_counter() - start:.3f}", flush=True)


def measure_memory(folder: Path, passes: float) -> None:
    """Read an epoch in its shuffled order, parsed but not decoded."""
    stream = SampleStream({"set": ShardSet.open(folder)})
    wanted = int(passes * len(stream))
    print(f"{'samples read':>20}  peak MiB   seconds", flush=True)
    start = time.perf_counter()
    for position in range(wanted):
        if position in (1000, wanted - 1) or (position and position % (len(stream) // 10) == 0):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{position:>20,}  {peak:8.1f}   {time.perf_counter() - start:.1f}", flush=True)
        stream.read(0, position).parse()


if __name__ == "__main__":
    main()
