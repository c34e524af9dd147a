"""Records by key in a temporary file: groups and joins over annotations of any size, in bounded memory.

The file is SQLite's own temporary database. It lies where TMPDIR points, appears when the records outgrow `CACHE_KIB`,
and goes with the process.
"""

import marshal
import sqlite3
from collections.abc import Hashable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

CACHE_KIB = 8192


class Table:
    """Records by key; a key may have many, in the order in which they were added.

    Args:
        records: (key, record) pairs to begin with; a key is a number or a text, a record plain data.
    """

    def __init__(self, records: Iterable[tuple[Hashable, Any]] = ()) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        for setting in (f"cache_size = -{CACHE_KIB}", "journal_mode = OFF", "synchronous = OFF", "temp_store = FILE"):
            self._database.execute(f"PRAGMA {setting}")
        self._database.execute("CREATE TABLE records (key, content BLOB)")
        self._indexed = False
        self.add(records)

    def add(self, records: Iterable[tuple[Hashable, Any]]) -> None:
        """Add records behind those that are there."""
        rows = ((key, marshal.dumps(record)) for key, record in records)
        self._database.execute("BEGIN")
        self._database.executemany("INSERT INTO records VALUES (?, ?)", rows)
        self._database.execute("COMMIT")

    def __getitem__(self, key: Hashable) -> list[Any]:
        """The records of a key; none if it has none."""
        if not self._indexed:
            self._database.execute("CREATE INDEX by_key ON records (key)")
            self._indexed = True
        rows = self._database.execute("SELECT content FROM records WHERE key = ? ORDER BY rowid", (key,))
        return [marshal.loads(content) for (content,) in rows]

    def groups(self) -> Iterator[tuple[Any, list[Any]]]:
        """Each key with its records, sorted by key: numbers, then texts."""
        rows = self._database.execute("SELECT key, content FROM records ORDER BY key, rowid")
        for key, group in groupby(rows, key=itemgetter(0)):
            yield key, [marshal.loads(content) for _, content in group]
