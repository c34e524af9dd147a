"""Annotation files read record by record, so that their size does not matter: memory holds the record at hand."""

import csv
import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from triscope.data.errors import TriscopeError, reason


def read_list(path: Path, name: str | None = None) -> Iterator[dict]:
    """The records of a JSON list.

    Args:
        path: of the file: a list, or an object that holds the list under `name`.
        name: of the list, where the file is an object; a bare list is read as well.

    Raises:
        TriscopeError: no file, not JSON, or no list of records.
    """
    for item in read_items(path, name):
        if not isinstance(item, dict):
            expected = f"a list of records under {name!r}" if name else "a list of records"
            raise TriscopeError(str(path), f"an item that is {item!r:.40}", expected, "check which file this is")
        yield item


def read_items(path: Path, name: str | None = None) -> Iterator[Any]:
    """The items of a JSON list, whatever they are; otherwise like `read_list`."""
    with _opened(path) as file:
        bare = name is None or _first_character(file) == b"["
        found = False
        for item in ijson.items(file, "item" if bare else f"{name}.item", use_float=True):
            found = True
            yield item
        if not found:
            expected = f"a list of records under {name!r}" if name else "a list of records"
            raise TriscopeError(str(path), "JSON without any", expected, "check which file this is")


def read_members(path: Path, name: str | None = None) -> Iterator[tuple[str, Any]]:
    """Name and value of each member of a JSON object, such as records by their id.

    Args:
        path: of the file: an object, or an object that holds it under `name`.
        name: of the inner object, if any.

    Raises:
        TriscopeError: no file, not JSON, or no object with members.
    """
    with _opened(path) as file:
        found = False
        for member in ijson.kvitems(file, name or "", use_float=True):
            found = True
            yield member
        if not found:
            expected = f"records by id under {name!r}" if name else "records by id"
            raise TriscopeError(str(path), "JSON without any", expected, "check which file this is")


def read_lines(path: Path) -> Iterator[dict]:
    """The records of a file with one JSON object a line; empty lines are passed over.

    Raises:
        TriscopeError: no file, or a line that is no JSON object.
    """
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                record = json.loads(line)
            except ValueError as error:
                raise _not_json(where, error) from None
            if not isinstance(record, dict):
                raise TriscopeError(where, type(record).__name__, "an object", "check which file this is")
            yield record


def read_rows(path: Path, needed: Collection[str], allowed: Collection[str] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with a header, or of a TSV file: cells without blanks around them, by column.

    Args:
        path: of the file, in UTF-8; `.tsv` has tabs between its cells, any other suffix commas.
        needed: columns that must be there.
        allowed: columns that may be there; their cells are "" where they are not.

    Yields:
        The number of the line, and the row.

    Raises:
        TriscopeError: no file, not CSV, a column missing or unknown, or a row with more cells than columns.
    """
    columns = [*needed, *allowed]
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True, delimiter="\t" if path.suffix == ".tsv" else ",")
            found = [name.strip() for name in next(rows, [])]
            if not set(needed) <= set(found) <= set(columns) or len(set(found)) < len(found):
                expected = ", ".join(needed) + (f" and, if wanted, {', '.join(allowed)}" if allowed else "")
                raise TriscopeError(f"{path}, line 1", f"columns {', '.join(found) or 'none'}", expected, "correct the header")
            for cells in filter(None, rows):
                if len(cells) > len(found):
                    where = f"{path}, line {rows.line_num}"
                    raise TriscopeError(where, f"{cells}", f"{len(found)} cells", "quote cells that hold commas")
                row = dict(zip(found, map(str.strip, cells), strict=False))
                yield rows.line_num, {name: row.get(name, "") for name in columns}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        found_instead = "no file" if isinstance(error, FileNotFoundError) else reason(error)
        raise TriscopeError(str(path), found_instead, "a CSV with a header", "correct the path or the file") from None


def read_json(path: Path) -> Any:
    """The whole content of a small JSON file.

    Raises:
        TriscopeError: no file, or not JSON.
    """
    with _opened(path) as file:
        return json.load(file)


def keyed(records: Iterable[dict], name: str, path: Path) -> Iterator[tuple[int | str, dict]]:
    """Records with the value of one of their fields, for a `Table`.

    Args:
        records: of a file.
        name: of the field; its value is a number or a text.
        path: of the file, for messages.

    Raises:
        TriscopeError: a record lacks the field.
    """
    for number, record in enumerate(records):
        key = field(record, name, f"{path}, record {number}")
        if not isinstance(key, int | str):
            raise TriscopeError(f"{path}, record {number}, {name}", f"{key!r}", "a number or a text", "check which file this is")
        yield key, record


def field(record: dict, name: str, where: str) -> Any:
    """A field that every record of a file has.

    Raises:
        TriscopeError: it has not: this is another file.
    """
    if name not in record:
        raise TriscopeError(where, f"fields {sorted(record)}", f"a field {name!r}", "check which file this is")
    return record[name]


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A file that is there and holds JSON, or an error that says so."""
    if not path.is_file():
        raise TriscopeError(str(path), "no file", "annotations in their published layout", "check the path")
    with open(path, "rb") as file:
        try:
            yield file
        except TriscopeError:
            raise
        except (ijson.JSONError, ValueError) as error:
            raise _not_json(str(path), error) from None


def _first_character(file: BinaryIO) -> bytes:
    """The first character that is not blank; the file is at its beginning again."""
    first = file.read(1024).lstrip()[:1]
    file.seek(0)
    return first


def _not_json(where: str, error: Exception) -> TriscopeError:
    return TriscopeError(where, f"text that is not JSON ({' '.join(str(error).split())})", "JSON", "download the file again")
