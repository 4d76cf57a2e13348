"""A service's database, SQLite, and the loader that reads it, which workers of the tests are given."""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from lastword.contract.rfc3339 import format_rfc3339

VARIABLE = "ROWS_DATABASE"
"""Names the database's file to the loader."""

LOADER = "tests.rows:load"

Row = tuple[str, int | None, bytes]


class Rows:
    """The rows of products; each call of a loader is noted beside them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = {VARIABLE: str(path), "LASTWORD_LOADER": LOADER}
        with self._open() as database:
            columns = "id TEXT PRIMARY KEY, updated_at TEXT, sequence INT, data TEXT, fault TEXT"
            database.execute(f"CREATE TABLE IF NOT EXISTS row ({columns})")
            database.execute("CREATE TABLE IF NOT EXISTS call (number INTEGER PRIMARY KEY, ids TEXT)")

    def put(self, entity_id: str, updated_at_us: int, sequence: int | None, data: object, *, fault: str = "") -> None:
        """Let a product have this row. ``fault``: what whoever loads it suffers.

        ``raise`` or ``offline`` and a reason, or ``wait`` and a file: until that is gone.
        """
        row = (entity_id, format_rfc3339(updated_at_us), sequence, json.dumps(data), fault)
        with self._open() as database:
            database.execute("INSERT OR REPLACE INTO row VALUES (?, ?, ?, ?, ?)", row)

    def remove(self, entity_id: str) -> None:
        """Let a product have no row."""
        with self._open() as database:
            database.execute("DELETE FROM row WHERE id = ?", (entity_id,))

    def load(self, entity_ids: list[str]) -> dict[str, Row]:
        """The loader."""
        marks = ", ".join("?" * len(entity_ids))
        with self._open() as database:
            database.execute("INSERT INTO call (ids) VALUES (?)", (json.dumps(entity_ids),))
        with self._open() as database:
            found = database.execute(f"SELECT * FROM row WHERE id IN ({marks})", entity_ids).fetchall()  # noqa: S608
        for *_, fault in found:
            _suffer(fault)
        return {entity_id: (time, sequence, data.encode()) for entity_id, time, sequence, data, _ in found}

    def calls(self) -> list[list[str]]:
        """The product ids of each call of a loader so far."""
        with self._open() as database:
            return [json.loads(ids) for (ids,) in database.execute("SELECT ids FROM call ORDER BY number")]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=30)) as database, database:
            database.execute("PRAGMA synchronous = OFF")
            yield database


def load(entity_ids: list[str]) -> dict[str, Row]:
    """The loader of a worker: of the database that the environment names."""
    return Rows(Path(os.environ[VARIABLE])).load(entity_ids)


def _suffer(fault: str) -> None:
    match fault.partition(" "):
        case ("raise", _, reason):
            raise ValueError(reason)
        case ("offline", _, reason):
            raise ConnectionError(reason)
        case ("wait", _, path):
            while Path(path).exists():
                time.sleep(0.01)
