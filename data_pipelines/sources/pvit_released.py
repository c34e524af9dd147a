"""The files that PVIT's authors released (https://huggingface.co/PVIT), both stages, as they are. CC BY-NC 4.0."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from data_pipelines.reading import field, read_list
from data_pipelines.sources.chat import add_chat
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, key_of
from data_pipelines.table import Table
from triscope.data.errors import TriscopeError


@dataclass(frozen=True)
class PvitReleased(Source):
    """Answer questions about regions (`mapping.yaml` and the JSON files beside it); the task is named by the file.

    Args:
        mapping: `mapping.yaml`; folders of pictures in it may be relative to it.
    """

    name = "pvit_released"
    mapping: Path

    def entries(self) -> Iterator[Entry]:
        mapping = self._read_mapping()
        folders = {name: PictureFolders([self.mapping.parent / path]) for name, path in mapping["image_paths"].items()}
        table = Table()
        for stem, pictures in mapping["mapping"].items():
            if pictures not in folders:
                where = f"{self.mapping}, mapping.{stem}"
                raise TriscopeError(where, repr(pictures), f"one of {sorted(folders)}", "name a set of image_paths")
            table.add(self._records(stem, pictures, mapping.get("count", {}).get(stem)))
        for name, records in table.groups():
            pictures, image = name.split("/", 1)
            yield Entry(key_of(self.name, name), (Picture(folders[pictures].find(image)),), tuple(records))

    def ask(self, entry: Entry, draft: Draft) -> None:
        for task, record in entry.records:
            add_chat(draft, task, record["conversations"], f"{task}, record {record.get('id', '')}")

    def _records(self, stem: str, pictures: str, expected: int | None) -> Iterator[tuple[str, tuple[str, dict]]]:
        """Task and record of each line of a file, by its picture."""
        path = self.mapping.parent / f"{stem}.json"
        task = re.sub(r"[^a-z0-9_]", "_", stem.lower())
        count = 0
        for record in read_list(path):
            yield f"{pictures}/{field(record, 'image', f'{path}, record {count}')}", (task, record)
            count += 1
        if expected not in (None, count):
            raise TriscopeError(str(path), f"{count} records", f"{expected}, as {self.mapping.name} says", "download it again")

    def _read_mapping(self) -> dict:
        if not self.mapping.is_file():
            raise TriscopeError(str(self.mapping), "no file", "mapping.yaml", "check the path")
        try:
            mapping = yaml.safe_load(self.mapping.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            told = " ".join(str(error).split())
            raise TriscopeError(str(self.mapping), f"no YAML ({told})", "mapping.yaml", "check which file this is") from None
        if not isinstance(mapping, dict) or not all(isinstance(mapping.get(key), dict) for key in ("image_paths", "mapping")):
            expected = "image_paths (folder by set) and mapping (set by file)"
            raise TriscopeError(str(self.mapping), "another layout", expected, "check which file this is")
        return mapping
