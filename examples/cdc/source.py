"""A table in PostgreSQL that Debezium follows: its rows, what is done to them, how far its log has been passed on."""

import itertools
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

NUDGE_S: Final = 0.2
DEADLINE_S: Final = 180.0
LARGE: Final = 200
"""The rows with a large description: up to this id. They are never deleted."""

SIGNALS: Final = """CREATE TABLE debezium_signal (
    id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048))"""
NUDGED: Final = "INSERT INTO debezium_signal VALUES ('nudge', 'none', '')"
NUDGE: Final = "UPDATE debezium_signal SET data = clock_timestamp()::text WHERE id = 'nudge'"
CONFIRMED: Final = "SELECT active, confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s"
SNAPSHOT: Final = """INSERT INTO debezium_signal VALUES (
    gen_random_uuid(), 'execute-snapshot', '{"type": "incremental", "data-collections": ["public.products"]}')"""

PRODUCTS: Final = """CREATE TABLE products (
    id integer PRIMARY KEY,
    name text NOT NULL,
    price numeric(10, 2) NOT NULL,
    stock integer NOT NULL,
    description text)"""
STORED_APART: Final = "ALTER TABLE products ALTER COLUMN description SET STORAGE EXTERNAL"
FILL: Final = """INSERT INTO products
    SELECT id, 'Product ' || id, id * 0.37, mod(id, 100), CASE WHEN id <= %s THEN repeat(md5(id::text), 250) END
    FROM generate_series(1, %s) id"""


class SourceError(Exception):
    """The connector does not pass on what is in the database's log."""


class Source:
    """The database, by a connection of its own; every statement is a transaction."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = psycopg.connect(url, autocommit=True)

    def connect(self) -> None:
        """Have another connection: where the database was away."""
        self.close()
        self._connection = psycopg.connect(self._url, autocommit=True)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def prepare(self) -> None:
        """Make the table for signals to Debezium."""
        self.do(SIGNALS)
        self.do(NUDGED)

    def create(self, rows: int) -> None:
        """Make the table of products with so many rows, and the one for signals."""
        self.prepare()
        self.do(PRODUCTS)
        self.do(STORED_APART)
        self.do(FILL, LARGE, rows)

    def do(self, statement: str, *values: object) -> int:
        """Execute a statement; how many rows it has changed."""
        return self._connection.execute(statement.encode(), values or None).rowcount

    def query(self, query: str) -> list[dict[str, Any]]:
        """The rows that a query finds."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode()).fetchall()

    def rows(self) -> dict[int, dict[str, Any]]:
        """The products by id, each as Debezium writes it with decimals as text."""
        found = self.query("SELECT id, name, price::text, stock, description FROM products")
        return {row["id"]: row for row in found}

    def signals(self) -> int:
        """How many signals there are: yours, and two for each part of the table that Debezium reads anew."""
        found = self._connection.execute("SELECT count(*) FROM debezium_signal").fetchone()
        return int(found[0]) if found else 0

    def wait_until_passed_on(self, slot: str) -> None:
        """Return when all that is in the log by now is in Kafka, by what Debezium has confirmed to PostgreSQL.

        It confirms what it has stored, and that with what comes after it: hence the nudges, of another table. While it
        takes its first snapshot, the slot stands where the snapshot will end, and is not active.
        """
        end = time.monotonic() + DEADLINE_S
        now = None
        while True:
            self._connection.execute(NUDGE)
            active, confirmed = self._connection.execute(CONFIRMED, [now, slot]).fetchone() or (False, None)
            if confirmed:
                return
            if now is None and active:
                (now,) = self._connection.execute("SELECT pg_current_wal_lsn()").fetchone() or (None,)
            if time.monotonic() > end:
                raise SourceError(f"the connector has not passed on all of the log after {DEADLINE_S:g} s")
            time.sleep(NUDGE_S)

    def wait_until_read_again(self, slot: str) -> None:
        """Return when an incremental snapshot is over: no part of the table is asked for any more."""
        before = 0
        while (found := self.signals()) != before:
            before = found
            self.wait_until_passed_on(slot)

    @contextmanager
    def written(self, per_second: float) -> Iterator["Writer"]:
        """While the block lasts, rows are changed, deleted and made, by a connection of its own."""
        writer = Writer(self._url, per_second)
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(writer.write)
            try:
                yield writer
            finally:
                writer.end()
            writing.result()


class Writer:
    """Changes rows at random, at a steady pace; ``count``: how many changes it has made."""

    new_ids = itertools.count(1_000_001)

    def __init__(self, url: str, per_second: float, seed: int = 7) -> None:
        self._url = url
        self._pause_s = 1 / per_second
        self._chance = random.Random(seed)
        self._ended = threading.Event()
        self.count = 0

    def write(self) -> None:
        """Go on until the end."""
        try:
            with psycopg.connect(self._url, autocommit=True) as connection:
                (highest,) = connection.execute("SELECT count(*) FROM products").fetchone() or (0,)
                while not self._ended.wait(self._pause_s):
                    statement, *values = self._change(highest)
                    self.count += connection.execute(statement, values).rowcount
        finally:
            self._ended.set()

    def end(self) -> None:
        """Have it stop after what it is doing."""
        self._ended.set()

    def wait_for(self, count: int) -> None:
        """Return when it has made so many changes."""
        end = time.monotonic() + DEADLINE_S
        while self.count < count and time.monotonic() < end and not self._ended.is_set():
            time.sleep(self._pause_s)

    def _change(self, highest: int) -> tuple[Any, ...]:
        what = self._chance.randrange(20)
        if what == 0:
            return "DELETE FROM products WHERE id = %s", self._chance.randrange(LARGE + 1, highest)
        if what == 1:
            return "INSERT INTO products VALUES (%s, 'New', 1.10, 0, NULL)", next(self.new_ids)
        return (
            "UPDATE products SET price = price + 0.01, stock = %s WHERE id = %s",
            self._chance.randrange(100),
            self._chance.randrange(1, highest),
        )
