"""Sample: one or more pictures and everything asked about them. What converters emit and shards hold. No torch here.

    Sample   key . images[] . regions[] . conversations[] . source
    Image    file . width . height . tags[] (name, score)
    Region   image . box                                   shown in a prompt at <region:1>, a picture at <image:1>
    Conversation   task . level . turns[]
    Turn     prompt . answers[] (the first is the training target) . candidates[] . content . id

How a region reaches the model (as text coordinates, as a region token, or both) is the choice of the prompt style, not
of the data: prompts and answers name `<region:k>` and hold no numbers.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import BadSampleError, reason
from triscope.data.region_text import check_no_marks

SCHEMA_VERSION = 1
MARKER = re.compile(r"<(image|region):(\d+)>")
_KEY = re.compile(r"[A-Za-z0-9_\-]+")
_TASK = re.compile(r"[a-z0-9_]+")


class Level(StrEnum):
    """Which kind of visual knowledge a task needs; the adapter router is told by row (LION, section 3.2)."""

    REGION = "region"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Tag:
    """A name that a tagger gave to a picture, with its confidence (0 to 1)."""

    name: str
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Image:
    """A picture of a sample.

    Args:
        file: name inside the shard without the sample's key, such as `0.jpg`; the number is the image's index.
        width, height: size in pixels.
        tags: names seen by a tagger, in its order.
    """

    file: str
    width: int
    height: int
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, slots=True)
class Region:
    """A box of one of the sample's pictures; the k-th region (from 1) is `<region:k>` in prompts and answers.

    Args:
        image: index of the picture, from 0.
        box: in pixels or unit shares of that picture.
    """

    image: int
    box: Box


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its accepted answers.

    Args:
        prompt: text with markers `<image:k>` and `<region:k>`. Without any image marker, all images stand before it.
        answers: references; the first is the training target. May contain `<region:k>`: the answer is that box.
        candidates: the closed list to rank, if the task has one.
        content: what is asked, without words around it, such as the phrase to find; empty where the prompt is just that.
            Kept so that a benchmark can put its own words around it.
        id: the question's number in its data set, for official files of results.
    """

    prompt: str
    answers: tuple[str, ...]
    candidates: tuple[str, ...] = ()
    content: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns about the sample's pictures, all of one task.

    Args:
        task: name under which losses and scores are reported, such as `caption` or `pointing`.
        level: which visual knowledge it needs.
        turns: in order.
    """

    task: str
    level: Level
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """Pictures and everything asked about them, so that a picture is decoded and encoded once for all its questions.

    Args:
        key: unique in its shard set; letters, digits, `_` and `-` only (a dot would break tar grouping).
        images: none for text-only samples.
        conversations: at least one.
        regions: boxes that prompts and answers refer to.
        source: data set it came from.
    """

    key: str
    images: tuple[Image, ...]
    conversations: tuple[Conversation, ...]
    regions: tuple[Region, ...] = ()
    source: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The sample as it is stored in `KEY.json`."""
        return json.dumps({"schema": SCHEMA_VERSION, **asdict(self)}, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> "Sample":
        """Read and check a stored sample.

        Args:
            text: content of `KEY.json`.
            where: shard and key, for messages.

        Raises:
            BadSampleError: not JSON, another schema, a missing or unknown field, or anything `check` refuses.
        """
        sample = cls.from_json_unchecked(text, where)
        sample.check(where)
        return sample

    @classmethod
    def from_json_unchecked(cls, text: str | bytes, where: str) -> "Sample":
        """Like `from_json`, but leaves the sample's faults to `problems`."""
        try:
            record = json.loads(text)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            found = f"text that is not JSON ({error})" if text else "no record (KEY.json is missing or empty)"
            raise BadSampleError(where, found, "a sample", "write shards with ShardWriter") from None
        if not isinstance(record, dict) or record.pop("schema", None) != SCHEMA_VERSION:
            raise BadSampleError(where, "no schema number, or another", f"schema {SCHEMA_VERSION}", "convert the data again")
        try:
            sample = cls(
                key=str(record.pop("key")),
                images=tuple(_image(entry) for entry in record.pop("images")),
                conversations=tuple(_conversation(entry) for entry in record.pop("conversations")),
                regions=tuple(_region(entry) for entry in record.pop("regions", ())),
                source=str(record.pop("source", "")),
                extra=record.pop("extra", {}),
            )
        except _MISREAD as error:
            place, found = _misread_in(json.loads(text)) or ("", reason(error))
            raise BadSampleError(f"{where}{place}", found, "the fields of a Sample", "see triscope/data/sample.py") from None
        if record:
            raise BadSampleError(where, f"unknown fields {sorted(record)}", "the fields of a Sample", "remove them")
        return sample

    def check(self, where: str = "") -> None:
        """Refuse what would train wrongly or not at all.

        Args:
            where: file and key, for messages.

        Raises:
            BadSampleError: naming file, key and field.
        """
        problem = next(self.problems(where or f"{self.source or 'sample'}, key {self.key!r}"), None)
        if problem is not None:
            raise problem

    def problems(self, where: str) -> Iterator[BadSampleError]:
        """Every fault of the sample, in reading order (`lint` lists them all; `check` raises the first)."""
        if not _KEY.fullmatch(self.key):
            yield BadSampleError(where, f"key {self.key!r}", "letters, digits, _ and - only", "replace dots and slashes")
        for index, image in enumerate(self.images):
            if image.width < 1 or image.height < 1:
                yield BadSampleError(
                    f"{where}, images[{index}]",
                    f"size {image.width}x{image.height}",
                    "at least 1x1",
                    "read it from the file",
                )
        for index, region in enumerate(self.regions):
            yield from self._region_problems(region, f"{where}, regions[{index}]")
        if not self.conversations:
            yield BadSampleError(where, "no conversation", "at least one", "leave the sample out")
        for number, conversation in enumerate(self.conversations):
            yield from self._conversation_problems(conversation, f"{where}, conversations[{number}]")

    def _region_problems(self, region: Region, where: str) -> Iterator[BadSampleError]:
        if not 0 <= region.image < len(self.images):
            yield BadSampleError(where, f"image {region.image}", f"0 to {len(self.images) - 1}", "count images from 0")
            return
        if not all(math.isfinite(corner) for corner in region.box.corners):
            yield BadSampleError(where, f"box {region.box}", "four finite numbers", "leave the region out")
            return
        image = self.images[region.image]
        try:
            region.box.check(image.width, image.height, where)
        except BadSampleError as error:
            yield error

    def _conversation_problems(self, conversation: Conversation, where: str) -> Iterator[BadSampleError]:
        if not _TASK.fullmatch(conversation.task):
            yield BadSampleError(f"{where}.task", repr(conversation.task), "lower case, digits and _", "rename the task")
        if not conversation.turns:
            yield BadSampleError(where, "no turn", "at least one", "leave the conversation out")
        available = {"image": len(self.images), "region": len(self.regions)}
        for index, turn in enumerate(conversation.turns):
            place = f"{where}.turns[{index}]"
            if not turn.prompt.strip():
                yield BadSampleError(f"{place}.prompt", "no text", "a question", "leave the turn out")
            if not turn.answers or not all(answer.strip() for answer in turn.answers):
                yield BadSampleError(f"{place}.answers", f"{list(turn.answers)}", "answers with text", "leave the turn out")
            texts = [("prompt", turn.prompt), ("content", turn.content)]
            texts += [("answers", text) for text in turn.answers] + [("candidates", text) for text in turn.candidates]
            for name, text in texts:
                try:
                    check_no_marks(text, f"{place}.{name}")
                except BadSampleError as error:
                    yield error
                for kind, number in MARKER.findall(text):
                    if not 1 <= int(number) <= available[kind]:
                        yield BadSampleError(
                            f"{place}.{name}",
                            f"<{kind}:{number}>",
                            f"at most {available[kind]} {kind}(s)",
                            f"count {kind} markers from 1 and add the missing {kind}",
                        )


_MISREAD = (KeyError, TypeError, ValueError, AttributeError)


def _misread_in(record: dict) -> tuple[str, str] | None:
    """Which entry of a record cannot be read, and why; None if it is none of an entry."""
    for name, read in (("images", _image), ("conversations", _conversation), ("regions", _region)):
        for index, entry in enumerate(record[name] if isinstance(record.get(name), list) else ()):
            try:
                read(entry)
            except _MISREAD as error:
                return f", {name}[{index}]", reason(error)
    return None


def _image(record: dict) -> Image:
    tags = tuple(Tag(str(tag["name"]), float(tag["score"])) for tag in record.get("tags", ()))
    return Image(str(record["file"]), int(record["width"]), int(record["height"]), tags)


def _region(record: dict) -> Region:
    box = record["box"]
    x1, y1, x2, y2 = (float(box[name]) for name in ("x1", "y1", "x2", "y2"))
    return Region(int(record["image"]), Box(x1, y1, x2, y2, BoxSpace(box["space"])))


def _conversation(record: dict) -> Conversation:
    return Conversation(str(record["task"]), Level(record["level"]), tuple(_turn(turn) for turn in record["turns"]))


def _turn(record: dict) -> Turn:
    texts = _texts(record, "answers"), _texts(record, "candidates")
    return Turn(str(record["prompt"]), *texts, str(record.get("content", "")), str(record.get("id", "")))


def _texts(turn: dict, name: str) -> tuple[str, ...]:
    """A list of texts; a bare text would silently become a list of its letters."""
    texts = turn.get(name, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{name} {texts!r} is not a list of texts")
    return tuple(texts)
