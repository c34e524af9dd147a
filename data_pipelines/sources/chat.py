"""Conversations between `human` and `gpt`, as LLaVA published them and many data sets after it, made into turns."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from data_pipelines.reading import field, read_list
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, key_of
from data_pipelines.table import Table
from triscope.data.boxes import Box
from triscope.data.errors import BadSampleError
from triscope.data.image_markers import number_images
from triscope.data.region_text import read_regions
from triscope.data.sample import MARKER, Level, Region, Turn

HUMAN, ASSISTANT = ("human", "user"), ("gpt", "assistant")
_BOX_AS_TEXT = re.compile(r"\[\s*[01]?\.\d+(\s*,\s*[01]?\.\d+){3}\s*\]")


@dataclass(frozen=True)
class ChatSource(Source):
    """A JSON list of conversations, each about one picture or none; all about one picture become one sample.

    Args:
        annotations: the file.
        images: folders with the pictures.
    """

    task: ClassVar[str]
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        records = enumerate(read_list(self.annotations))
        by_image = Table((_image_of(record, f"{self.annotations}, record {number}"), record) for number, record in records)
        for image, records_of_image in by_image.groups():
            pictures = () if image.startswith(WITHOUT_IMAGE) else (Picture(files.find(image)),)
            yield Entry(key_of(self.name, image), pictures, tuple(records_of_image))

    def ask(self, entry: Entry, draft: Draft) -> None:
        for record in entry.records:
            add_chat(draft, self.task, record["conversations"], f"record {record.get('id', '')}")


WITHOUT_IMAGE = "text/"  # no picture lies under such a name: `find` would look for it as a file


def add_chat(draft: Draft, task: str, messages: list[dict[str, Any]], record: str) -> None:
    """Add a published conversation to a draft, or count why it cannot be used.

    Regions in PVIT's text form become regions of the first picture. With a single picture its mark is left out: the
    picture stands before the first prompt. A conversation that names a region needs region-level knowledge.

    Args:
        draft: of the sample.
        task: of the conversation.
        messages: `{from, value}` or `{role, content}`, by turns; one of the system is passed over.
        record: for the report.
    """
    images = len(draft.sizes)
    reason = "conversation_broken"
    try:
        texts = _texts(messages, draft.key)
        reason = "image_marks_unequal"
        texts = number_images(texts, images, draft.key)
        reason = "region_broken"
        texts, boxes = _read_regions(texts, draft)
    except BadSampleError as error:
        draft.fault(reason, f"{record}: {error}")
        return
    if any(_BOX_AS_TEXT.search(text) for text in texts):
        draft.drop("box_as_text", record)  # of an unknown space: LLaVA's are shares of a picture padded to a square
        return
    if images == 1:
        texts = [text.replace("<image:1>", "").strip() for text in texts]
    if not all(MARKER.sub("", text).strip() for text in texts):
        draft.fault("turn_empty", record)
        return
    draft.regions += [Region(0, box) for box in boxes]
    turns = [Turn(prompt, (answer,)) for prompt, answer in zip(texts[::2], texts[1::2], strict=True)]
    draft.talk(task, Level.REGION if boxes else Level.IMAGE, turns)


def _image_of(record: dict, where: str) -> str:
    """What a record is grouped by: its picture, or itself if it has none."""
    return record["image"] if record.get("image") else f"{WITHOUT_IMAGE}{field(record, 'id', where)}"


def _texts(messages: list[dict[str, Any]], where: str) -> list[str]:
    """What was said, human first, by turns."""
    said = [(message.get("from", message.get("role")), message.get("value", message.get("content"))) for message in messages]
    if said and said[0][0] == "system":
        said = said[1:]
    roles = [role for role, _ in said]
    by_turns = all(role in (ASSISTANT if number % 2 else HUMAN) for number, role in enumerate(roles))
    if not said or len(said) % 2 or not by_turns:
        raise BadSampleError(where, f"turns of {roles}", "human and gpt by turns", "mend the record or leave it out")
    texts = [text for _, text in said if isinstance(text, str) and text.strip()]
    if len(texts) < len(said):
        raise BadSampleError(where, "an empty turn", "turns with text", "mend the record or leave it out")
    return texts


def _read_regions(texts: list[str], draft: Draft) -> tuple[list[str], list[Box]]:
    """The texts with markers in place of published regions, and their boxes."""
    read: list[str] = []
    boxes: list[Box] = []
    for text in texts:
        marked, more = read_regions(text, draft.key, first=len(draft.regions) + len(boxes) + 1)
        read.append(marked)
        boxes += more
    if boxes and not draft.sizes:
        raise BadSampleError(draft.key, "a region", "none, where there is no picture", "leave the record out")
    return read, boxes
