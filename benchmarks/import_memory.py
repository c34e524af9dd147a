"""How much memory an import takes, beside the largest file that it reads.

    python -m benchmarks.import_memory
    python -m benchmarks.import_memory --gigabytes 24 --folder /data/generated

Generates the shards of an InstructBLIP over a T5 (zeros, written one tensor at a time), imports them, and prints the peak.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from triscope.checkpoints.import_weights import import_weights
from triscope.checkpoints.tensor_files import write_safetensors

LAYER_MEGABYTES = 101  # of an encoder's and a decoder's layer together, at the sizes below
WIDTHS = {"d_model": 1024, "d_kv": 64, "d_ff": 2048, "num_heads": 16}


def main() -> None:
    """Generate, import, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="of all shards together (default: %(default)s)")
    parser.add_argument("--shards", type=int, default=2, help="as many files (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="for the shards and the result; a temporary one if it is not given")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = parsed.folder or Path(temporary)
        needed, free = 2 * parsed.gigabytes, shutil.disk_usage(folder).free / 1e9
        if needed > 0.9 * free:
            parser.error(f"{folder} has {free:.0f} GB free; shards and result take {needed:.0f}: give fewer --gigabytes")
        largest = write_shards(folder / "generated", parsed.gigabytes, parsed.shards)
        before = reset_peak()
        import_weights("instructblip", folder / "generated", folder / "imported")
        peak = peak_bytes()
    print("total GB  largest shard GB  peak GB  of which before the import GB  growth / largest shard  peak / largest shard")
    print(
        f"{parsed.gigabytes:8.1f}  {largest / 1e9:16.2f}  {peak / 1e9:7.2f}  {before / 1e9:29.2f}"
        f"  {(peak - before) / largest:22.2f}  {peak / largest:20.2f}"
    )


def write_shards(folder: Path, gigabytes: float, shards: int) -> int:
    """Write a model as Hugging Face would, its tensors zero.

    Args:
        folder: for it.
        gigabytes: of all files together, about.
        shards: how many files.

    Returns:
        Bytes of the largest file.
    """
    from transformers import InstructBlipConfig, InstructBlipForConditionalGeneration  # once triscope has mended torchvision

    layers = max(1, round(gigabytes * 1000 / LAYER_MEGABYTES))
    text = {"model_type": "t5", **WIDTHS, "num_layers": layers, "vocab_size": 32128, "feed_forward_proj": "gated-gelu"}
    config = InstructBlipConfig(
        vision_config={"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2},
        qformer_config={"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "encoder_hidden_size": 64},
        text_config=text,
    )
    with torch.device("meta"):
        model = InstructBlipForConditionalGeneration(config)
    named = {name: parameter.detach() for name, parameter in model.named_parameters()}
    folder.mkdir(parents=True)
    config.save_pretrained(folder)
    each = sum(tensor.nbytes for tensor in named.values()) / shards
    files: list[dict[str, Tensor]] = [{}]
    for name, tensor in named.items():
        if sum(other.nbytes for other in files[-1].values()) > each:
            files.append({})
        files[-1][_stored_name(name)] = tensor
    names = [f"model-{number:05d}.safetensors" for number in range(len(files))]
    for file, layout in zip(names, files, strict=True):
        write_safetensors(folder / file, layout, _zeros(layout))
    index = {name: file for file, layout in zip(names, files, strict=True) for name in layout}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return max((folder / file).stat().st_size for file in names)


def _stored_name(name: str) -> str:
    """Names in files do not begin with the inner model's."""
    return name.removeprefix("model.") if name.startswith("model.") else name


def _zeros(layout: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in layout.items():
        yield name, torch.zeros(tensor.shape, dtype=tensor.dtype)


def reset_peak() -> int:
    """Forget the peak of this process's memory (Linux); what it has now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak_bytes() -> int:
    """The peak since `reset_peak`."""
    return _status("VmHWM")


def _status(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
