"""What all public data sets have in common: pictures, what is asked about them, and what had to be dropped.

A source lists its entries, pictures with their annotation records (`entries`, in the main process), and turns the
records of one entry into questions (`ask`, in any process). All questions about one picture, or about one group of
pictures, become one sample, so that training decodes a picture once. An entry's wordings are drawn from a generator
seeded by its key: the output does not depend on how many processes made it.
"""

import hashlib
import io
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from PIL import Image as PillowImage

from data_pipelines.make_shards import Made
from data_pipelines.report import Drop, Fault
from data_pipelines.wordings import word
from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import BadSampleError, TriscopeError, reason
from triscope.data.sample import Conversation, Image, Level, Region, Sample, Tag, Turn
from triscope.data.shard_writer import MAX_KEY_CHARACTERS
from triscope.data.shards import MAX_ENTRY_BYTES

SUFFIXES = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}  # MPO: a JPEG with another one behind it
ROUNDING_PIXELS = 1.0  # published boxes reach this far outside their picture by rounding


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of an entry.

    Args:
        path: of its file, which may be missing.
        size: (width, height) in pixels that the annotations give, if they do.
        content: the encoded picture, if it does not lie in a file of its own; `path` then says where it came from.
        crop: the part to cut out (left, top, right, bottom in pixels), if it is not the whole.
    """

    path: Path
    size: tuple[int, int] | None = None
    content: bytes | None = None
    crop: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What becomes one sample: pictures, and the annotation records about them.

    Args:
        key: of the sample.
        pictures: in the order in which `<image:1>`, `<image:2>`, ... name them; none for text alone.
        records: as published.
    """

    key: str
    pictures: tuple[Picture, ...]
    records: tuple[Any, ...]


@dataclass(frozen=True)
class Source(ABC):
    """One public data set in its published layout; its fields are the files that it reads."""

    name: ClassVar[str]
    pictures_may_be_missing: ClassVar[bool] = False  # links rot: a picture that is gone is then no fault

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """All entries, in a fixed order.

        Raises:
            TriscopeError: a file is missing or has another layout.
        """

    @abstractmethod
    def ask(self, entry: Entry, draft: "Draft") -> None:
        """Put everything that the records ask into the draft."""


@dataclass(slots=True)
class Draft:
    """The sample of an entry while its records are read.

    Args:
        key: of the sample.
        sizes: (width, height) of each picture, in pixels.
        rng: draws wordings.

    Attributes:
        tags: of each picture that has some, by its number from 0.
    """

    key: str
    sizes: tuple[tuple[int, int], ...]
    rng: random.Random
    regions: list[Region] = field(default_factory=list)
    conversations: list[Conversation] = field(default_factory=list)
    tags: dict[int, tuple[Tag, ...]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    drops: list[Drop] = field(default_factory=list)

    def box(self, box: Box, annotation: str, image: int = 0, rounding: float = ROUNDING_PIXELS) -> Box | None:
        """The box inside its picture; one without area, or outside by more than rounding, is a fault and counted.

        Args:
            box: in pixels.
            annotation: for the report.
            image: which picture it lies in, from 0.
            rounding: pixels by which it may reach outside.
        """
        width, height = self.sizes[image]
        inside = box.clipped(width, height)
        try:
            box.check(width, height, annotation, tolerance=rounding / min(width, height))
            inside.check(width, height, annotation)
        except BadSampleError:
            reason = "box_outside_picture" if box.area > 0 else "box_without_area"
            self.fault(reason, f"{annotation}: {box} of {width}x{height}")
            return None
        return inside

    def region(self, box: Box, image: int = 0) -> str:
        """The marker under which prompts and answers name the box."""
        self.regions.append(Region(image, box))
        return f"<region:{len(self.regions)}>"

    def word(self, task: str, **fields: str) -> str:
        """A wording of a task, its `fields` filled."""
        return word(task, self.rng, **fields)

    def ask(
        self, task: str, level: Level, answers: Iterable[str], candidates: Iterable[str] = (), id: str | int = "", **fields: str
    ) -> None:
        """Add a question in one of its task's wordings, whose `fields` are filled."""
        prompt, content = self.word(task, **fields), " ".join(fields.values())
        self.talk(task, level, [Turn(prompt, tuple(answers), tuple(candidates), content, str(id))])

    def quote(self, task: str, question: str, answers: Iterable[str], candidates: Iterable[str] = (), id: str | int = "") -> None:
        """Add a question about whole pictures as it was published; one without text, or without an answer, is counted."""
        question, known = clean(question), tuple(filter(None, map(clean, answers)))
        if not question or not known:
            self.drop("empty_answer" if question else "empty_question", f"question {id}")
            return
        self.talk(task, Level.IMAGE, [Turn(question, known, tuple(map(clean, candidates)), id=str(id))])

    def talk(self, task: str, level: Level, turns: Iterable[Turn]) -> None:
        """Add a conversation of any number of turns."""
        self.conversations.append(Conversation(task, level, tuple(turns)))

    def drop(self, reason: str, example: str) -> None:
        """Count an annotation that our rules leave out."""
        self.drops.append(Drop(reason, f"{self.key}, {example}"))

    def fault(self, reason: str, example: str) -> None:
        """Count an annotation that is left out because it is faulty; the error budget allows so many."""
        self.drops.append(Drop(reason, f"{self.key}, {example}", Fault.RECORD))


def convert_entry(source: Source, seed: int, entry: Entry) -> Made:
    """Make the sample of an entry; faults of the data are returned, not raised."""
    contents: list[bytes] = []
    images: list[Image] = []
    for picture in entry.pictures:
        where = f"{entry.key}, {picture.path}"
        if picture.content is None and not picture.path.is_file():
            fault = None if source.pictures_may_be_missing else Fault.SAMPLE
            return _nothing(entry, Drop("picture_missing", where, fault))
        try:
            content, size, suffix = _read(picture)
        except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError) as error:
            return _nothing(entry, Drop("picture_unreadable", f"{where}: {error}", Fault.SAMPLE))
        if picture.size not in (None, size):
            example = f"{where}: {size[0]}x{size[1]}, annotated {picture.size}"
            return _nothing(entry, Drop("picture_of_other_size", example, Fault.SAMPLE))
        images.append(Image(f"{len(images)}.{suffix}", *size))
        contents.append(content)
    sizes = tuple((image.width, image.height) for image in images)
    draft = Draft(entry.key, sizes, random.Random(f"{seed} {entry.key}"))
    try:
        source.ask(entry, draft)
        if not draft.conversations:
            return _nothing(entry, *draft.drops, Drop("nothing_to_ask", entry.key))
        sample = Sample(
            key=entry.key,
            images=tuple(replace(image, tags=draft.tags.get(number, ())) for number, image in enumerate(images)),
            conversations=tuple(draft.conversations),
            regions=tuple(draft.regions),
            source=source.name,
            extra=draft.extra,
        )
        sample.check()
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        example = f"{entry.key}: {reason(error)}"
        return _nothing(entry, *draft.drops, Drop("record_unusable", example, Fault.SAMPLE))
    return Made(sample, tuple(contents), tuple(draft.drops), len(entry.records))


def box_from_xywh(numbers: Iterable[float]) -> Box:
    """A box in pixels from x, y, width, height.

    Raises:
        ValueError: not four numbers.
    """
    x, y, width, height = (float(number) for number in numbers)
    return Box.from_xywh(x, y, width, height, BoxSpace.PIXELS)


def clean(text: str) -> str:
    """A text without blanks at its ends, double blanks and line ends."""
    return " ".join(text.split())


def key_of(source: str, name: str | int) -> str:
    """A sample's key from the name that its data set gives it; another name, another key.

    A suffix of three or four letters is left out, folders are joined with `-`; a name that has other characters, or is
    too long, ends in a hash of itself.
    """
    plain = re.sub(r"\.[A-Za-z]{3,4}$", "", str(name)).replace("/", "-")
    key = f"{source}-{re.sub(r'[^A-Za-z0-9_-]', '_', plain)}"
    if key == f"{source}-{plain}" and len(key) <= MAX_KEY_CHARACTERS:
        return key
    digest = hashlib.sha256(str(name).encode()).hexdigest()[:8]
    return f"{key[: MAX_KEY_CHARACTERS - len(digest) - 1]}-{digest}"


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
        """The first of the names that exists, with its own folders or without; else where the first was expected."""
        paths = [folder / inner for name in names for inner in _inside(name) for folder in self.folders]
        return next((path for path in paths if path.is_file()), paths[0])


def _inside(name: str) -> list[PurePosixPath]:
    """A published name as paths that cannot leave a folder: as it is, and its last part."""
    path = PurePosixPath(name)
    last = PurePosixPath(path.name)
    return [last] if path == last or path.is_absolute() or ".." in path.parts else [path, last]


def _nothing(entry: Entry, *drops: Drop) -> Made:
    return Made(drops=drops, records=len(entry.records))


def _read(picture: Picture) -> tuple[bytes, tuple[int, int], str]:
    """Content, (width, height) and suffix of a picture, read to its end.

    Raises:
        ValueError, OSError, SyntaxError, DecompressionBombError: it cannot be used.
    """
    content = picture.path.read_bytes() if picture.content is None else picture.content
    if len(content) > MAX_ENTRY_BYTES:
        raise ValueError(f"{len(content)} bytes; shards hold at most {MAX_ENTRY_BYTES}")
    with PillowImage.open(io.BytesIO(content)) as opened:
        if opened.format not in SUFFIXES:
            raise ValueError(f"format {opened.format}; shards hold {', '.join(SUFFIXES)}")
        size, suffix = opened.size, SUFFIXES[opened.format]
        if picture.crop is None:
            opened.draft("RGB", (1, 1))  # a JPEG is then decoded at an eighth of its size: fast, and finds cut-off files
            opened.load()
            return content, size, suffix
        left, top, right, bottom = picture.crop
        if not (0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]):
            raise ValueError(f"{size[0]}x{size[1]}, too small for its part {picture.crop}")
        part = io.BytesIO()
        opened.convert("RGB").crop(picture.crop).save(part, "PNG")
        return part.getvalue(), (right - left, bottom - top), "png"
