"""What a run has logged: read back from its CSV file and from its offline W&B file."""

import csv
import json
import struct
from collections.abc import Iterator
from pathlib import Path

from wandb.proto import wandb_internal_pb2

_HEADER, _BLOCK = 7, 32768  # bytes; the framing is LevelDB's log
_FULL, _LAST = 1, 4


def csv_rows(folder: Path) -> list[dict[str, float]]:
    """The rows of `metrics.csv`, without empty cells."""
    with (folder / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def wandb_history(folder: Path) -> list[dict]:
    """What was logged to W&B, step by step."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    rows = []
    for content in _records(file.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(content)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return rows


def wandb_config(folder: Path) -> dict:
    """What was kept in W&B's configuration of the run."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    kept = {}
    for content in _records(file.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(content)
        items = {"config": record.config, "run": record.run.config}.get(record.WhichOneof("record_type"))
        kept |= {item.key or item.nested_key[0]: json.loads(item.value_json) for item in (items.update if items else ())}
    return kept


def _records(content: bytes) -> Iterator[bytes]:
    """Records of a LevelDB log: pieces of (checksum, length, kind), none across the border of two blocks."""
    place, record = _HEADER, b""
    while place + 7 <= len(content):
        if _BLOCK - place % _BLOCK < 7:
            place += _BLOCK - place % _BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (_FULL, _LAST):
            yield record
            record = b""
