"""Visual Spatial Reasoning (Liu et al., 2023): statements about COCO pictures, true or false. Apache-2.0."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import keyed, read_lines
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, key_of
from data_pipelines.table import Table
from triscope.data.sample import Level

ANSWERS = ("no", "yes")  # by label


@dataclass(frozen=True)
class Vsr(Source):
    """Tell whether a statement is true of the picture (JSON lines of image, caption, label).

    Args:
        annotations: `train.jsonl` or another split.
        images: folders with the COCO pictures.
    """

    name = "vsr"
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        for image, records in Table(keyed(read_lines(self.annotations), "image", self.annotations)).groups():
            yield Entry(key_of(self.name, image), (Picture(files.find(image)),), tuple(records))

    def ask(self, entry: Entry, draft: Draft) -> None:
        for record in entry.records:
            statement = record["caption"].strip()
            if record["label"] not in (0, 1) or not statement:
                draft.drop("bad_label" if statement else "empty_question", f"statement {statement!r}")
                continue
            draft.ask("statement", Level.IMAGE, [ANSWERS[record["label"]]], ANSWERS[::-1], statement=statement)
