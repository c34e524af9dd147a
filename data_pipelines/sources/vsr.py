"""Visual Spatial Reasoning (Liu et al., 2023): statements about COCO pictures, true or false. Apache-2.0."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.sources.source import Draft, Picture, PictureFolders, Source, group_by
from triscope.data.errors import TriscopeError
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

    def pictures(self) -> Iterator[Picture]:
        files = PictureFolders(self.images)
        for image, records in sorted(group_by(_read_lines(self.annotations), "image", self.annotations).items()):
            yield Picture(f"{self.name}-{Path(image).stem}", files.find(image), tuple(records))

    def ask(self, picture: Picture, draft: Draft) -> None:
        for record in picture.records:
            statement = record["caption"].strip()
            if record["label"] not in (0, 1) or not statement:
                draft.drop("bad_label" if statement else "empty_question", f"statement {statement!r}")
                continue
            draft.ask("statement", Level.IMAGE, [ANSWERS[record["label"]]], ANSWERS[::-1], statement=statement)


def _read_lines(path: Path) -> list[dict]:
    if not path.is_file():
        raise TriscopeError(str(path), "no file", "annotations in their published layout", "check the path")
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            where = f"{path}, line {number}"
            raise TriscopeError(where, f"text that is not JSON ({error})", "JSON", "download the file again") from None
    return records
