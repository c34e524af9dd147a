"""A table of your own: a CSV (or TSV) with one question a row, and folders of pictures."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import read_rows
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, clean, key_of
from data_pipelines.table import Table
from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import BadSampleError, TriscopeError
from triscope.data.sample import MARKER, Level, Tag, Turn

NEEDED = ("picture", "question", "answer")
OPTIONAL = ("boxes", "level", "task", "tags")
SEPARATOR = ";"  # between the boxes, and between the tags, of a cell
SPACES = {"pixels": BoxSpace.PIXELS, "shares": BoxSpace.UNIT, "thousandths": BoxSpace.THOUSANDTHS}


@dataclass(frozen=True)
class QuestionTable(Source):
    """Answer the questions of a table of your own (columns picture, question, answer; boxes, level, task, tags).

    Rows about one picture become one sample. Rows that ask the same of it give the references of one question.

    Args:
        table: CSV with a header, or TSV. `boxes` holds `x1,y1,x2,y2`, further ones behind a semicolon; question and answer
            name them as `<region:1>`, `<region:2>`. `level` is image or region (default: region where a box is named),
            `task` a name for losses and scores (default: pointing where the answer is a box, else question), `tags` names
            with semicolons between them.
        images: folders with the pictures.
        boxes_are: what the numbers of boxes count: pixels, shares (0 to 1) or thousandths of the picture.
    """

    name = "table"
    table: Path
    images: tuple[Path, ...]
    boxes_are: str = "pixels"

    def entries(self) -> Iterator[Entry]:
        if self.boxes_are not in SPACES:
            raise TriscopeError("--boxes_are", repr(self.boxes_are), " or ".join(SPACES), "say what the numbers count")
        files = PictureFolders(self.images)
        rows = ((row["picture"], row | {"line": line}) for line, row in read_rows(self.table, NEEDED, OPTIONAL))
        for picture, records in Table(rows).groups():
            yield Entry(key_of(self.name, picture), (Picture(files.find(picture)),), tuple(records))

    def ask(self, entry: Entry, draft: Draft) -> None:
        names = [name.strip() for record in entry.records for name in record["tags"].split(SEPARATOR)]
        draft.tags[0] = tuple(Tag(name) for name in dict.fromkeys(names) if name)
        same: dict[tuple[str, ...], list[dict]] = {}
        for record in entry.records:
            same.setdefault(tuple(record[name] for name in ("question", "boxes", "level", "task")), []).append(record)
        for records in same.values():
            try:
                self._ask(records, draft)
            except BadSampleError as error:
                draft.fault("row_unusable", f"line {records[0]['line']}: {error}")

    def _ask(self, records: list[dict], draft: Draft) -> None:
        """Add the question that some rows have in common."""
        first = records[0]
        boxes = self._boxes(first["boxes"], draft)
        before = len(draft.regions)

        def text(record: dict, column: str) -> str:
            """A cell whose markers count the regions of the sample."""
            cell = clean(record[column])
            if not cell:
                raise BadSampleError(column, "nothing", "text", "fill in the cell, or take the row out")
            for kind, number in MARKER.findall(cell):
                if kind != "region" or not 1 <= int(number) <= len(boxes):
                    remedy = "name the boxes of the row as <region:1>, <region:2>, ..."
                    raise BadSampleError(column, f"<{kind}:{number}>", f"one of the row's {len(boxes)} boxes", remedy)
            return MARKER.sub(lambda marker: f"<region:{before + int(marker[2])}>", cell)

        question, answers = text(first, "question"), tuple(text(record, "answer") for record in records)
        names_a_box = any(MARKER.search(part) for part in (question, *answers))
        level = first["level"] or (Level.REGION if names_a_box else Level.IMAGE)
        if level not in tuple(Level):
            raise BadSampleError("level", repr(level), "image or region", "correct the cell, or leave it empty")
        task = first["task"] or ("pointing" if MARKER.fullmatch(answers[0]) else "question")
        for box in boxes:
            draft.region(box)
        draft.talk(task, Level(level), [Turn(question, answers)])

    def _boxes(self, cell: str, draft: Draft) -> list[Box]:
        """The boxes of a cell, in pixels."""
        boxes = []
        for part in filter(None, map(str.strip, cell.split(SEPARATOR))):
            try:
                x1, y1, x2, y2 = (float(number) for number in part.split(","))
            except ValueError:
                remedy = f"write x1,y1,x2,y2, and {SEPARATOR} between two boxes"
                raise BadSampleError("boxes", repr(part), "four numbers with commas", remedy) from None
            box = Box(x1, y1, x2, y2, SPACES[self.boxes_are])
            box.check(*draft.sizes[0], "boxes")
            boxes.append(box.to(BoxSpace.PIXELS, *draft.sizes[0]))
        return boxes
