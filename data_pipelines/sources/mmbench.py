"""MMBench (Liu et al., 2023; https://github.com/open-compass/MMBench): choices, asked in every order. Apache-2.0."""

import base64
import binascii
import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.sources.choices import add_choice
from data_pipelines.sources.source import Draft, Entry, Picture, Source, key_of
from data_pipelines.table import Table
from triscope.data.errors import TriscopeError

LETTERS = "ABCDEFGH"
PASSES_APART = 1_000_000  # numbers of one question's passes differ by this
LONGEST_REFERENCE = 64  # characters; a longer `image` is a picture, a shorter one the number of the row that has it
COLUMNS = ("index", "question", "A", "B", "image")


@dataclass(frozen=True)
class MmBench(Source):
    """Choose the answer, with the choices in every order (`mmbench_*.tsv`): it counts if it is chosen each time.

    The published rows of a question become one sample. Where the file has one row a question, its choices are put into every
    order here.

    Args:
        annotations: the file, with pictures in base64.
    """

    name = "mmbench"
    annotations: Path

    def entries(self) -> Iterator[Entry]:
        questions = Table((int(row["index"]) % PASSES_APART, row) for row in self._rows())
        numbers = Table((int(row["index"]), row["image"]) for row in self._rows())
        for number, rows in questions.groups():
            image = rows[0]["image"]
            if len(image) <= LONGEST_REFERENCE:
                (image, *_) = numbers[int(image)] or [""]
            records = [{name: value for name, value in row.items() if name != "image"} for row in rows]
            yield Entry(key_of(self.name, number), (Picture(self.annotations, content=_decoded(image)),), tuple(records))

    def ask(self, entry: Entry, draft: Draft) -> None:
        for record in entry.records if len(entry.records) > 1 else _passes(entry.records[0]):
            choices = _choices(record)
            right = LETTERS.find(record["answer"].strip()) if record.get("answer") else None
            question = f"{record.get('hint') or ''} {record['question']}"
            add_choice(draft, question, list(choices.values()), right, record["index"], "circular_choice")
        first = entry.records[0]
        draft.extra |= {"category": first.get("category", ""), "ability": first.get("l2-category", "")}

    def _rows(self) -> Iterator[dict]:
        if not self.annotations.is_file():
            raise TriscopeError(str(self.annotations), "no file", "a table of MMBench", "check the path")
        csv.field_size_limit(sys.maxsize)  # pictures are long
        with open(self.annotations, encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t")
            missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
            if missing:
                found = f"columns {rows.fieldnames}"
                raise TriscopeError(str(self.annotations), found, f"also {missing}", "check which file this is")
            yield from rows


def _decoded(text: str) -> bytes:
    """A picture; none that can be read where the text is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


def _choices(record: dict) -> dict[str, str]:
    """The choices of a row by letter."""
    return {letter: record[letter] for letter in LETTERS if (record.get(letter) or "").strip() not in ("", "nan")}


def _passes(record: dict) -> Iterator[dict]:
    """A question with its choices in every order: each time the first goes to the end."""
    texts = list(_choices(record).values())
    right = LETTERS.find(record["answer"].strip()) if record.get("answer") else None
    for shift in range(len(texts)):
        turned = dict(zip(LETTERS, texts[shift:] + texts[:shift], strict=False))
        answer = "" if right is None else LETTERS[(right - shift) % len(texts)]
        number = int(record["index"]) + shift * PASSES_APART
        yield record | turned | {"answer": answer, "index": str(number)}
