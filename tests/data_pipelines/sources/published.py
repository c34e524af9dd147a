"""Hand-made files in published layouts, and what becomes of them."""

import json
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage

from data_pipelines.make_shards import Made
from data_pipelines.sources.source import Source, convert_entry


def photo(path: Path, size: tuple[int, int] = (200, 100), color: str = "gray") -> None:
    """A picture, with the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.new("RGB", size, color).save(path)


def written(path: Path, content: Any) -> Path:
    """A JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def lines(path: Path, records: list[dict]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def converted(source: Source) -> list[Made]:
    """What becomes of each entry of a source."""
    return [convert_entry(source, 0, entry) for entry in source.entries()]


def turns(made: Made) -> list[tuple[str, str]]:
    """Prompt and first answer of every turn of a sample."""
    assert made.sample is not None, made.drops
    return [(turn.prompt, turn.answers[0]) for talk in made.sample.conversations for turn in talk.turns]


def dropped(made: Made) -> list[tuple[str, str | None]]:
    """Reason of everything left out, and what it cost if it is a fault."""
    return [(drop.reason, drop.fault and str(drop.fault)) for drop in made.drops]
