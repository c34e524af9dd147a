"""NLVR2 (Suhr et al., 2019; https://github.com/lil-lab/nlvr): statements about two photographs. Annotations CC BY 4.0."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import field, read_lines
from data_pipelines.sources.nlvr import add_statement
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, key_of


@dataclass(frozen=True)
class Nlvr2(Source):
    """Tell whether a statement is true of two pictures (`train.json`, JSON lines).

    Which statement it is stands with each sample: consistency counts those that are judged rightly of all their pairs.

    Args:
        annotations: the file.
        images: folders with the pictures, with the numbered folders of the training split or without.
    """

    name = "nlvr2"
    pictures_may_be_missing = True  # they are links to the web
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        for number, record in enumerate(read_lines(self.annotations), start=1):
            identifier = field(record, "identifier", f"{self.annotations}, line {number}")
            pair = identifier.rpartition("-")[0]  # of split-set-pair-sentence
            folder = f"{record['directory']}/" if "directory" in record else ""
            pictures = tuple(Picture(files.find(f"{folder}{pair}-img{side}.png")) for side in (0, 1))
            yield Entry(key_of(self.name, identifier), pictures, (record,))

    def ask(self, entry: Entry, draft: Draft) -> None:
        (record,) = entry.records
        split, group, _, sentence = record["identifier"].split("-")
        add_statement(draft, record["sentence"], record["label"], f"{split}-{group}-{sentence}", record["identifier"])
