"""Samples a second of our stream beside a bare loop of JPEG decoding and a plain `webdataset` pipeline, at 224 pixels.

    python -m benchmarks.stream             a table
    python -m benchmarks.stream --json      all figures, with `ratios`: how many times faster ours is than each
    python -m benchmarks.stream --levers    what each lever of reading gives ours alone
    python -m benchmarks.stream --growth    10, 1,000 and 10,000 shards of a few samples, with 1 to 8 workers

All read the same shards with as many processes. `bare_decode` decodes the bytes, that it has in memory, with PIL as it comes
(`convert("RGB")`, then `resize`, bicubic), and does nothing else. `webdataset_pil` is `WebDataset(...).decode("pil")` with the
same squash and a tensor, through its `WebLoader`. Ours finds every sample by its place in a shuffled order, checks it, writes a
row of ids, and makes a batch; the decoder skips resolution that 224 pixels do not show, and torch resizes in small integers
(`data.draft`).

Without the lever of bytes (`data.pixels_as_bytes`), workers normalise pictures, as torchvision's transforms do, and hand on four
times as much.
"""

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
import webdataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from benchmarks.measure import in_turns, machine, ratio
from triscope.components.pixels import normalised
from triscope.data.datamodule import DataModule
from triscope.data.loader import Loader
from triscope.data.prompts import Tokenizers
from triscope.data.sample import Conversation, Image, Level, Sample, Turn
from triscope.data.shard_writer import ShardWriter
from triscope.data.shards import ShardSet
from triscope.data.transforms import Normalisation

SIDE = 224
MEAN, DEVIATION = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)  # those of CLIP, rounded
SAMPLES_PER_BATCH = 16
QUESTION, ANSWER = "What does the picture show?", "a dog on a lawn"
GROWTH_SHARDS, GROWTH_WORKERS = (10, 1_000, 10_000), (1, 2, 4, 8)


def main(arguments: list[str] | None = None) -> None:
    """Write shards, read them in every way, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=480, help="of a picture each (default: %(default)s)")
    parser.add_argument("--width", type=int, default=640, help="of a picture; three quarters as high (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes of each way (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="that are timed (default: %(default)s)")
    parser.add_argument("--levers", action="store_true", help="measure ours with each lever left out, instead")
    parser.add_argument("--growth", action="store_true", help="measure how ours grows, instead")
    parser.add_argument("--shards", type=int, nargs="+", default=list(GROWTH_SHARDS), help="with --growth")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if asked.growth:
            print("| shards | workers | samples/s |\n|---|---|---|")
            for shards in asked.shards:
                write(folder / str(shards), 2 * shards, width=64, samples_per_shard=2)
                for workers in GROWTH_WORKERS:
                    rate = grown(folder / str(shards), workers, asked.samples)
                    print(f"| {shards} | {workers} | {rate:.0f} |", flush=True)
            return
        write(folder / "shards", asked.samples, asked.width, samples_per_shard=max(1, asked.samples // 4 // asked.workers))
        if asked.levers:
            print(table_of_levers(folder / "shards", asked.samples, asked.workers, asked.rounds))
            return
        report(measured(folder / "shards", asked.samples, asked.workers, asked.rounds), as_json=asked.json)


def write(folder: Path, samples: int, width: int, samples_per_shard: int) -> None:
    """Shards of smooth pictures with some grain, about as large as photographs of their size."""
    generator = np.random.default_rng(0)
    height = width * 3 // 4
    pictures = []
    for _ in range(min(samples, 32)):
        coarse = PIL.Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), PIL.Image.Resampling.BICUBIC), dtype=np.float32)
        content = io.BytesIO()
        grain = generator.normal(0, 12, smooth.shape)
        PIL.Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=85)
        pictures.append(content.getvalue())
    asked = Conversation("caption", Level.IMAGE, (Turn(QUESTION, (ANSWER,)),))
    with ShardWriter(folder, samples_per_shard) as writer:
        for number in range(samples):
            sample = Sample(f"sample-{number}", (Image("0.jpg", width, height),), (asked,), source="generated")
            writer.write(sample, [pictures[number % len(pictures)]])


def measured(folder: Path, samples: int, workers: int, rounds: int) -> dict[str, Any]:
    """All ways in turns; processes are started before the clock runs, and what is read lies in the page cache."""
    loader = our_loader(folder, workers, samples)
    contents = [raw.images["0.jpg"] for raw in ShardSet.open(folder)]
    plain = webdataset_loader(folder, workers)

    def ours() -> int:
        return sum(len(batch.pixels_ICHW) for batch in loader)

    with get_context("forkserver").Pool(workers) as pool:
        shares = [contents[start::workers] for start in range(workers)]
        work: dict[str, Callable[[], int]] = {
            "ours": ours,
            "bare_decode": lambda: sum(pool.map(decode, shares, chunksize=1)),
            "webdataset_pil": lambda: sum(len(batch[0]) for batch in plain),
        }
        for name, read in work.items():
            if (found := read()) != samples:
                raise ValueError(f"{name}: found {found} samples; expected all {samples}")
        timings = in_turns(work, rounds, time.perf_counter)
    loader.close()
    return {
        "samples": samples,
        "workers": workers,
        "samples_per_second": {name: timing.rate(samples) for name, timing in timings.items()},
        "ratios_by_round": {name: ratio(timings[name], timings["ours"]) for name in ("bare_decode", "webdataset_pil")},
    }


def grown(folder: Path, workers: int, samples: int) -> float:
    """Samples a second of our stream, processes started."""
    loader = our_loader(folder, workers, samples)
    sum(len(batch) for batch in loader)
    start = time.perf_counter()
    read = sum(len(batch) for batch in loader)
    seconds = time.perf_counter() - start
    loader.close()
    return read / seconds


def our_loader(folder: Path, workers: int, samples: int, **levers: bool) -> Loader:
    """The training loader of a run; an epoch of it has so many samples.

    Args:
        folder: of shards.
        workers, samples: as asked.
        levers: of the `DataModule`.
    """
    data = DataModule(
        train={str(folder): 1.0},
        image_size=SIDE,
        samples_per_batch=SAMPLES_PER_BATCH,
        samples_per_epoch=samples,
        workers=workers,
        **levers,
    )
    normalise = partial(normalised, mean=MEAN, std=DEVIATION, dtype=torch.float32)
    return data.training_loader(tokenizers(), normalisation=Normalisation(normalise))


def table_of_levers(folder: Path, samples: int, workers: int, rounds: int) -> str:
    """Ours with all levers, beside ours without one of them, in turns."""
    usual = our_loader(folder, workers, samples)
    without = {
        "pictures are read as drafts (`data.draft`)": our_loader(folder, workers, samples, draft=False),
        "pictures leave the workers as bytes (`data.pixels_as_bytes`)": our_loader(
            folder, workers, samples, pixels_as_bytes=False
        ),
    }

    def reading(loader: Loader) -> Callable[[], int]:
        return lambda: sum(len(batch.pixels_ICHW) for batch in loader)

    lines = ["| lever | samples/s with it | without | times faster with it (lowest to highest) |", "|---|---|---|---|"]
    for name, loader in without.items():
        timings = in_turns({"with": reading(usual), "without": reading(loader)}, rounds, time.perf_counter)
        rates = [timings[way].rate(samples)["median"] for way in ("with", "without")]
        faster = ratio(timings["without"], timings["with"])
        told = f"{faster['median']:.2f} ({faster['lowest']:.2f} to {faster['highest']:.2f})"
        lines.append(f"| {name} | {rates[0]:.0f} | {rates[1]:.0f} | {told} |")
    for loader in (usual, *without.values()):
        loader.close()
    return "\n".join([*lines, "", ", ".join(f"{name} {value}" for name, value in machine("cpu").items())])


def tokenizers() -> Tokenizers:
    """Of a seq2seq model; a token a word."""
    text = f"<unk> </s> Question : {QUESTION.replace('?', ' ?')} Answer {ANSWER}"
    words = {word: number for number, word in enumerate(dict.fromkeys(text.split()))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>")
    return Tokenizers(language=fast, question=fast, seq2seq=True)


def decode(contents: list[bytes]) -> int:
    """The bare loop."""
    torch.set_num_threads(1)
    for content in contents:
        squashed(PIL.Image.open(io.BytesIO(content)))
    return len(contents)


def squashed(picture: PIL.Image.Image) -> np.ndarray:
    """A picture as the model sees it."""
    return np.array(picture.convert("RGB").resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC))


def webdataset_loader(folder: Path, workers: int) -> Any:
    """What its documentation shows: shards, shuffle, decode, map, batch."""
    urls = [str(path) for path in sorted(folder.glob("*.tar"))]
    dataset = (
        webdataset.WebDataset(urls, shardshuffle=len(urls), nodesplitter=webdataset.split_by_node)
        .shuffle(1000)
        .decode("pil")
        .to_tuple("0.jpg", "json")
        .map_tuple(lambda picture: torch.from_numpy(squashed(picture)).permute(2, 0, 1), lambda record: record)
        .batched(SAMPLES_PER_BATCH, collation_fn=lambda rows: [torch.stack([row[0] for row in rows]), [row[1] for row in rows]])
    )
    return webdataset.WebLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=workers > 0)


def report(figures: dict[str, Any], as_json: bool) -> None:
    """Print the figures."""
    ratios = {name: each["median"] for name, each in figures["ratios_by_round"].items()}
    if as_json:
        print(json.dumps({"ratios": ratios, "figures": figures, "machine": machine("cpu")}, indent=1))
        return
    print("| way | samples/s | lowest | highest | ours is faster by (lowest to highest) |\n|---|---|---|---|---|")
    for name, rate in figures["samples_per_second"].items():
        faster = figures["ratios_by_round"].get(name)
        told = f"{faster['median']:.2f} ({faster['lowest']:.2f} to {faster['highest']:.2f})" if faster else ""
        print(f"| {name} | {rate['median']:.0f} | {rate['lowest']:.0f} | {rate['highest']:.0f} | {told} |")
    print(", ".join(f"{name} {value}" for name, value in machine("cpu").items()))


if __name__ == "__main__":
    main()
