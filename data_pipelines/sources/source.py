"""What all public data sets have in common: a picture, what is asked about it, and what had to be dropped.

A source lists its pictures with their annotation records (`pictures`, in the main process) and turns the records of one
picture into questions (`ask`, in any process). All questions about one picture become one sample, so that training
decodes the picture once. A picture's wordings are drawn from a generator seeded by its key: the output does not depend
on how many processes made it.
"""

import io
import json
import random
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image as PillowImage

from data_pipelines.wordings import word
from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import BadSampleError, TriscopeError
from triscope.data.sample import Conversation, Image, Level, Region, Sample, Turn

SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
ROUNDING_PIXELS = 1.0  # published boxes reach this far outside their picture by rounding


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and its annotation records.

    Args:
        key: of its sample.
        path: of its file, which may be missing.
        records: as published.
        size: (width, height) in pixels that the annotations give, if they do.
    """

    key: str
    path: Path
    records: tuple[Any, ...]
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """Something left out: why, in one word of the report, and which."""

    reason: str
    example: str


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of a picture.

    Args:
        sample: nothing if the picture was dropped.
        images: its encoded picture.
        drops: annotations that were left out.
        fault: why the whole picture was lost, if that is a fault of the data and not of our rules.
    """

    sample: Sample | None = None
    images: tuple[bytes, ...] = ()
    drops: tuple[Drop, ...] = ()
    fault: Drop | None = None


class Source(ABC):
    """One public data set in its published layout."""

    name: ClassVar[str]

    @abstractmethod
    def pictures(self) -> Iterator[Picture]:
        """All pictures with their records, in a fixed order.

        Raises:
            TriscopeError: a file is missing or has another layout.
        """

    @abstractmethod
    def ask(self, picture: Picture, draft: "Draft") -> None:
        """Put everything that the records ask about the picture into the draft."""


@dataclass(slots=True)
class Draft:
    """The sample of a picture while its records are read.

    Args:
        key: of the sample.
        width, height: of the picture, in pixels.
        rng: draws wordings.
    """

    key: str
    width: int
    height: int
    rng: random.Random
    regions: list[Region] = field(default_factory=list)
    conversations: list[Conversation] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    drops: list[Drop] = field(default_factory=list)

    def box(self, box: Box, annotation: str) -> Box | None:
        """The box inside the picture; boxes outside by more than rounding are dropped and counted."""
        inside = box.clipped(self.width, self.height)
        try:
            box.check(self.width, self.height, annotation, tolerance=ROUNDING_PIXELS / min(self.width, self.height))
            inside.check(self.width, self.height, annotation)
        except BadSampleError:
            reason = "box_outside_picture" if box.area > 0 else "box_without_area"
            self.drop(reason, f"{annotation}: {box.corners} of {self.width}x{self.height}")
            return None
        return inside

    def region(self, box: Box) -> str:
        """The marker under which prompts and answers name the box."""
        self.regions.append(Region(image=0, box=box))
        return f"<region:{len(self.regions)}>"

    def ask(self, task: str, level: Level, answers: Iterable[str], candidates: Iterable[str] = (), **fields: str) -> None:
        """Add a question in one of its task's wordings, whose `fields` are filled."""
        turn = Turn(word(task, self.rng, **fields), tuple(answers), tuple(candidates))
        self.conversations.append(Conversation(task, level, (turn,)))

    def drop(self, reason: str, example: str) -> None:
        """Count an annotation that is left out."""
        self.drops.append(Drop(reason, f"{self.key}, {example}"))


def convert_picture(source: Source, seed: int, picture: Picture) -> Converted:
    """Make the sample of one picture; faults of the data are returned, not raised."""
    where = f"{picture.key}, {picture.path}"
    if not picture.path.is_file():
        return Converted(fault=Drop("picture_missing", where))
    content = picture.path.read_bytes()
    try:
        width, height, suffix = _probe(content)
    except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError) as error:
        return Converted(fault=Drop("picture_unreadable", f"{where}: {error}"))
    if picture.size not in (None, (width, height)):
        return Converted(fault=Drop("picture_of_other_size", f"{where}: {width}x{height}, annotated {picture.size}"))
    draft = Draft(picture.key, width, height, random.Random(f"{seed} {picture.key}"))
    try:
        source.ask(picture, draft)
        if not draft.conversations:
            return Converted(drops=(*draft.drops, Drop("nothing_to_ask", where)))
        sample = Sample(
            key=picture.key,
            images=(Image(f"0.{suffix}", width, height),),
            conversations=tuple(draft.conversations),
            regions=tuple(draft.regions),
            source=source.name,
            extra=draft.extra,
        )
        sample.check()
    except (KeyError, TypeError, ValueError) as error:
        fault = Drop("record_unusable", f"{where}: {type(error).__name__} {error}")
        return Converted(drops=tuple(draft.drops), fault=fault)
    return Converted(sample, (content,), tuple(draft.drops))


def read_json(path: Path) -> Any:
    """Content of an annotation file.

    Raises:
        TriscopeError: no file, or not JSON.
    """
    if not path.is_file():
        raise TriscopeError(str(path), "no file", "annotations in their published layout", "check the path")
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise TriscopeError(str(path), f"text that is not JSON ({error})", "JSON", "download the file again") from None


def records_of(content: Any, path: Path, name: str | None = None) -> list[dict]:
    """The list of records in an annotation file, under `name` if it is an object.

    Raises:
        TriscopeError: another layout.
    """
    records = content.get(name) if name is not None and isinstance(content, dict) else content
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        expected = f"a list of records under {name!r}" if name else "a list of records"
        raise TriscopeError(str(path), f"{type(content).__name__} without it", expected, "check which file this is")
    return records


def group_by(records: list[dict], key: str, path: Path) -> dict[Any, list[dict]]:
    """Records by the value of one of their fields, in order of first occurrence.

    Raises:
        TriscopeError: a record lacks the field.
    """
    groups: dict[Any, list[dict]] = defaultdict(list)
    for number, record in enumerate(records):
        if key not in record:
            where = f"{path}, record {number}"
            raise TriscopeError(where, f"fields {sorted(record)}", f"a field {key!r}", "check which file this is")
        groups[record[key]].append(record)
    return groups


def box_from_xywh(numbers: Iterable[float]) -> Box:
    """A box in pixels from x, y, width, height.

    Raises:
        ValueError: not four numbers.
    """
    x, y, width, height = (float(number) for number in numbers)
    return Box.from_xywh(x, y, width, height, BoxSpace.PIXELS)


class PictureFolders:
    """Finds pictures by file name in the folders given.

    Raises:
        TriscopeError: a folder is missing.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = tuple(folders)
        for folder in self.folders:
            if not folder.is_dir():
                raise TriscopeError(str(folder), "no folder", "a folder of pictures", "check --images")

    def find(self, *names: str) -> Path:
        """The first of the names (their last parts) that exists, else where the first was expected."""
        paths = [folder / Path(name).name for name in names for folder in self.folders]
        return next((path for path in paths if path.is_file()), paths[0])


def _probe(content: bytes) -> tuple[int, int, str]:
    """Width, height and suffix of an encoded picture, read to its end."""
    with PillowImage.open(io.BytesIO(content)) as picture:
        if picture.format not in SUFFIXES:
            raise ValueError(f"format {picture.format}; shards hold {', '.join(SUFFIXES)}")
        width, height = picture.size
        picture.draft("RGB", (1, 1))  # a JPEG is then decoded at an eighth of its size: fast, and finds cut-off files
        picture.load()
        return width, height, SUFFIXES[picture.format]
