"""Spot-the-Diff (Jhamtani and Berg-Kirkpatrick, 2018; https://github.com/harsh19/spot-the-diff): two frames of a camera."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import keyed, read_list
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, clean, key_of
from data_pipelines.table import Table
from triscope.data.sample import Level


@dataclass(frozen=True)
class SpotTheDiff(Source):
    """Say what changed between two frames (`train.json`); all sentences about a pair are one answer.

    A pair that several people described has several references.

    Args:
        annotations: the file.
        images: folders with the pictures `ID.png` and `ID_2.png`.
    """

    name = "spot_the_diff"
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        for number, records in Table(keyed(read_list(self.annotations), "img_id", self.annotations)).groups():
            pictures = tuple(Picture(files.find(f"{number}{end}.png")) for end in ("", "_2"))
            yield Entry(key_of(self.name, number), pictures, tuple(records))

    def ask(self, entry: Entry, draft: Draft) -> None:
        answers = []
        for record in entry.records:
            answer = " ".join(filter(None, map(clean, record["sentences"])))
            if answer:
                answers.append(answer)
            else:
                draft.drop("empty_answer", f"pair {record['img_id']}")
        if answers:
            draft.ask("difference", Level.IMAGE, dict.fromkeys(answers))
