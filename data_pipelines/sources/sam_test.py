"""The test files of SAM's authors (https://github.com/McCartney01/SAM): a list of {id, img_list, instruction, output}."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import field, read_list
from data_pipelines.sources.instruction import add_instruction
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, key_of


@dataclass(frozen=True)
class SamTest(Source):
    """Follow an instruction about several pictures (`{id, img_list, instruction, output}`): group captions, ends of stories.

    Args:
        annotations: the file.
        images: folders with the pictures.
        task: what the file's task is called in scores, such as `group_caption` or `story_end`.
    """

    name = "sam_test"
    annotations: Path
    images: tuple[Path, ...]
    task: str = "group_caption"

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        for number, record in enumerate(read_list(self.annotations)):
            where = f"{self.annotations}, record {number}"
            pictures = tuple(Picture(files.find(path)) for path in field(record, "img_list", where))
            yield Entry(key_of(self.name, field(record, "id", where)), pictures, (record,))

    def ask(self, entry: Entry, draft: Draft) -> None:
        (record,) = entry.records
        add_instruction(draft, self.task, record["instruction"], record["output"], f"record {record['id']}")
