"""Conversations over any number of pictures: Mantis-Instruct and LLaVA-Interleave."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from data_pipelines.reading import field, read_lines, read_list
from data_pipelines.sources.chat import add_chat
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, key_of
from triscope.data.errors import TriscopeError


@dataclass(frozen=True)
class InterleavedSource(Source):
    """A file of conversations, each with pictures of its own; a sample is named by the number of its record.

    Args:
        annotations: a JSON list, or JSON lines if it is called `*.jsonl`.
        images: folders with the pictures; names in the file may lead through folders below them.
    """

    pictures_field: ClassVar[str]
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        read = read_lines if self.annotations.suffix == ".jsonl" else read_list
        for number, record in enumerate(read(self.annotations)):
            where = f"{self.annotations}, record {number}"
            names = record.get(self.pictures_field) or []
            paths = [_path_of(name, where) for name in ([names] if isinstance(names, str) else names)]
            field(record, "conversations" if "conversation" not in record else "conversation", where)
            yield Entry(key_of(self.name, f"{number:08d}"), tuple(Picture(files.find(path)) for path in paths), (record,))

    def ask(self, entry: Entry, draft: Draft) -> None:
        (record,) = entry.records
        messages = record["conversation"] if "conversation" in record else record["conversations"]
        add_chat(draft, "instruction", messages, f"record {record.get('id', record.get('sample_id', ''))}")


@dataclass(frozen=True)
class MantisInstruct(InterleavedSource):
    """Mantis-Instruct (Jiang et al., 2024; TIGER-Lab/Mantis-Instruct): converse about several pictures. Apache-2.0.

    Its arguments are those of `InterleavedSource`.
    """

    name = "mantis_instruct"
    pictures_field = "images"


@dataclass(frozen=True)
class LlavaInterleave(InterleavedSource):
    """LLaVA-Interleave (Li et al., 2024; lmms-lab/M4-Instruct-Data): `m4_instruct_annotations.json`. CC BY 4.0.

    Its arguments are those of `InterleavedSource`.
    """

    name = "llava_interleave"
    pictures_field = "image"


def _path_of(picture: str | dict, where: str) -> str:
    """A picture's name, which some files wrap as `{"path": ...}`."""
    name = picture.get("path") if isinstance(picture, dict) else picture
    if not isinstance(name, str) or not name:
        raise TriscopeError(f"{where}, picture", f"{picture!r:.60}", "a file name", "unpack the pictures into files first")
    return name
