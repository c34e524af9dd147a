"""AESOP (Ravi et al., 2021; https://github.com/adobe-research/aesop): stories of three drawn panels. Research licence."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import field, read_list
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, key_of
from data_pipelines.sources.stories import add_story


@dataclass(frozen=True)
class Aesop(Source):
    """Tell the story of three panels, and its end (`train.json`, `test.json`).

    Args:
        annotations: the file.
        images: folders with the rendered panels.
    """

    name = "aesop"
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        for number, record in enumerate(read_list(self.annotations)):
            where = f"{self.annotations}, record {number}"
            pictures = tuple(Picture(files.find(path)) for path in field(record, "image_path", where))
            yield Entry(key_of(self.name, field(record, "storyid", where)), pictures, (record,))

    def ask(self, entry: Entry, draft: Draft) -> None:
        (record,) = entry.records
        add_story(draft, record["text"], f"story {record['storyid']}")
        draft.extra["theme"] = record.get("theme", "")
