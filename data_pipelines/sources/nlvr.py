"""NLVR (Suhr et al., 2017; https://github.com/lil-lab/nlvr): statements about three boxes of drawn things. CC BY 4.0."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import field, read_lines
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, clean, key_of
from triscope.data.sample import Level, Turn

BOXES = tuple((left, 0, left + 100, 100) for left in (0, 150, 300))  # in every published picture


@dataclass(frozen=True)
class Nlvr(Source):
    """Tell whether a statement is true of three pictures: the boxes of a published one, cut out (`train.json`, JSON lines).

    Which statement it is stands with each sample: consistency counts those that are judged rightly of all their pictures.

    Args:
        annotations: the file, named by its split.
        images: folders with the pictures.
    """

    name = "nlvr"
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        for number, record in enumerate(read_lines(self.annotations), start=1):
            identifier = field(record, "identifier", f"{self.annotations}, line {number}")
            file = record.get("image", f"{self.annotations.stem}-{identifier}-0.png")
            path = files.find(f"{record['directory']}/{file}" if "directory" in record else file)
            yield Entry(key_of(self.name, identifier), tuple(Picture(path, crop=box) for box in BOXES), (record,))

    def ask(self, entry: Entry, draft: Draft) -> None:
        (record,) = entry.records
        identifier = record["identifier"]
        add_statement(draft, record["sentence"], record["label"], identifier.partition("-")[0], identifier)


def add_statement(draft: Draft, sentence: str, label: str, statement: str, id: str) -> None:
    """Ask whether a sentence is true of the pictures.

    Args:
        draft: of the sample.
        sentence: as published.
        label: `true` or `false` in any case, as published.
        statement: which one it is; the same in all samples that are about it.
        id: of the sentence with its pictures, as published.
    """
    answer, text = {"true": "yes", "false": "no"}.get(str(label).lower()), clean(sentence)
    if answer is None or not text:
        draft.fault("bad_label" if text else "empty_question", f"label {label!r}")
        return
    prompt = draft.word("statement_of_pictures", statement=text)
    draft.talk("statement", Level.IMAGE, [Turn(prompt, (answer,), ("yes", "no"), text, id)])
    draft.extra["statement"] = statement
