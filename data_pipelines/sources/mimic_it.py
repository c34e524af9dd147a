"""MIMIC-IT (Li et al., 2023; https://github.com/Luodian/Otter/blob/main/docs/mimicit_format.md). CC BY-NC-SA 4.0."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import field, read_members
from data_pipelines.sources.instruction import add_instruction
from data_pipelines.sources.source import Draft, Entry, Picture, Source, key_of
from data_pipelines.table import Table

_STANDARD = str.maketrans("-_", "+/")  # some files are base64 for URLs, some are plain


@dataclass(frozen=True)
class MimicIt(Source):
    """Follow instructions about one or several pictures (`XX_instructions.json` and `XX.json`, pictures as base64).

    Instructions about the same pictures become one sample. Related instructions, meant for examples in the context, are
    not read.

    Args:
        instructions: `XX_instructions.json`.
        pictures: `XX.json`, pictures by their id.
    """

    name = "mimic_it"
    instructions: Path
    pictures: Path

    def entries(self) -> Iterator[Entry]:
        encoded = Table(read_members(self.pictures))
        groups = Table(
            ("\n".join(field(record, "image_ids", f"{self.instructions}, {number}")), record | {"id": number})
            for number, record in read_members(self.instructions, "data")
        )
        for names, records in groups.groups():
            pictures = tuple(self._picture(name, encoded[name]) for name in names.split("\n") if name)
            yield Entry(key_of(self.name, records[0]["id"]), pictures, tuple(records))

    def ask(self, entry: Entry, draft: Draft) -> None:
        for record in entry.records:
            add_instruction(draft, "instruction", record["instruction"], record["answer"], f"instruction {record['id']}")

    def _picture(self, name: str, contents: list[str]) -> Picture:
        """A picture decoded; one that is not there, or not base64, is told when it is read."""
        path = self.pictures / name
        if not contents:
            return Picture(path)
        text = contents[0].translate(_STANDARD).rstrip("=")
        try:
            return Picture(path, content=base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
        except ValueError:
            return Picture(path, content=b"")
