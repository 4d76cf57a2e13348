"""A database of a test's own behind Debezium: its table is written, and Redis must come to equal it."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, cast

import psycopg
from confluent_kafka import Message

from examples.cdc.__main__ import CONNECTOR
from examples.cdc.source import Source
from servers.connect import Connect, ConnectError, read_properties
from servers.postgresql import PostgreSQL
from tests.flow import PARTITIONS, Bridge, Flow
from tests.history.kafka_log import ends_of, read_letters
from tests.kafka_helpers import read
from tests.waiting import DEADLINE_S, wait_until
from tests.worker_helpers import CeleryWorker, celery_worker

PER_SECOND: Final = 400
RECONNECT_S: Final = 0.05

Row = dict[str, Any]
Statement = tuple[str, *tuple[object, ...]]


class Cdc:
    """A table ``products`` in a database of its own, a connector of its own, and the flow behind it."""

    def __init__(self, flow: Flow, postgresql: PostgreSQL, connect: Connect, name: str) -> None:
        self.flow = flow
        self.name = name
        self.ids: tuple[str, ...] = ("id",)
        self._postgresql = postgresql
        self._connect = connect
        self.source = Source(self.url)
        self.source.prepare()

    @property
    def url(self) -> str:
        return f"{self._postgresql.url.rpartition('/')[0]}/{self.name}"

    def close(self) -> None:
        with contextlib.suppress(ConnectError):  # the test has not come so far
            self._connect.remove(self.name)
        # A slot that is left would keep the log, and their number is bounded; Connect gives it up a moment later.
        left = "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s"
        drop = (
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
        )
        wait_until(
            lambda: self.source.do(drop, self.name) or not self.source.do(left, self.name),
            what=f"the end of slot {self.name}",
        )
        self.source.close()

    @contextlib.contextmanager
    def followed(self, **settings: str) -> Iterator[tuple[CeleryWorker, Bridge]]:
        """While the block lasts, a worker and a bridge."""
        environment = self.flow.environment
        environment |= {"LASTWORD_FORMAT": "debezium", "LASTWORD_ID_FIELD": ",".join(self.ids), **settings}
        with celery_worker(environment) as worker, self.flow.bridge() as bridge:
            yield worker, bridge

    def connector(self, *, without: tuple[str, ...] = (), **options: str) -> None:
        """Begin a connector by the example's file, but for options that begin like these; in others ``__`` is a dot."""
        given = {name: value for name, value in read_properties(CONNECTOR).items() if not name.startswith(without)}
        own = {
            "name": self.name,
            "database.port": str(self._postgresql.port),
            "database.dbname": self.name,
            "slot.name": self.name,
            "publication.name": self.name,
            "topic.prefix": self.name,
            "retriable.restart.connector.wait.ms": "500",
        }
        self._connect.add(self.name, given | own | {name.replace("__", "."): value for name, value in options.items()})

    def wait_until_it_runs(self) -> None:
        wait_until(lambda: self._connect.runs(self.name), what=f"connector {self.name}")

    def settle(self) -> None:
        """Return when all that is in the database's log is in Kafka, and all that is in Kafka is in Redis."""
        self.source.wait_until_passed_on(self.name)
        self.flow.wait_until_all_is_committed()

    def wrong(self, query: str = "SELECT * FROM products", convert: Callable[[Row], Row] = dict) -> dict[str, Any]:
        """By product id, what Redis holds and what the database: where it is not the same."""
        rows = {",".join(str(row[name]) for name in self.ids): row for row in self.source.query(query)}
        held = {}
        for key in self.flow.cache.scan_iter(f"{self.flow.prefix}*", count=1_000):
            data, deleted = cast("list[bytes | None]", self.flow.cache.hmget(key, "data", "deleted"))
            row = None if data is None else convert(json.loads(data))
            held[key.removeprefix(self.flow.prefix.encode()).decode()] = None if deleted == b"1" else row
        ids = rows.keys() | held.keys()
        return {one: (held.get(one), rows.get(one)) for one in ids if held.get(one) != rows.get(one)}

    def letters(self) -> list[str]:
        """The reasons of the dead letters."""
        address = self.flow.environment["KAFKA_BOOTSTRAP_SERVERS"]
        return [letter.reason for letter in read_letters(address, f"{self.flow.topic}-dlt")]

    def records(self) -> list[Message]:
        """All of the topic, each partition's in order."""
        address = self.flow.environment["KAFKA_BOOTSTRAP_SERVERS"]
        count = sum(ends_of(address, self.flow.topic).values())
        return read(address, self.flow.topic, count, partitions=PARTITIONS)

    def dated_wrongly(self) -> int:
        """Of how many records the time of the source is before that of the same row's record before them."""
        newest: dict[bytes | None, int] = {}
        count = 0
        for message in self.records():
            if value := message.value():
                told, key = json.loads(value)["source"]["ts_us"], message.key()
                count += told < newest.get(key, told)
                newest[key] = told
        return count

    @contextlib.contextmanager
    def written(self, statements: Iterable[Statement]) -> Iterator["Writer"]:
        """Statements are executed side by side with the block; all have been on its exit."""
        writer = Writer(self.url)
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(writer.write, statements)
            try:
                yield writer
            except BaseException:
                writer.give_up.set()
                raise
            writing.result()


class Writer:
    """Executes statements, each a transaction and right to repeat, also while the database is away now and then."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.give_up = threading.Event()
        self.count = 0

    def write(self, statements: Iterable[Statement]) -> None:
        connection = psycopg.connect(self._url, autocommit=True)
        end = time.monotonic() + DEADLINE_S
        for statement, *values in statements:
            while not self.give_up.wait(1 / PER_SECOND):
                try:
                    connection.execute(statement.encode(), values)
                    break
                except psycopg.OperationalError:
                    assert time.monotonic() < end
                    connection.close()
                    connection = self._connected(end)
            self.count += 1
        connection.close()

    def _connected(self, end: float) -> psycopg.Connection:
        while True:
            try:
                return psycopg.connect(self._url, autocommit=True)
            except psycopg.OperationalError:
                if self.give_up.wait(RECONNECT_S) or time.monotonic() > end:
                    raise

    def wait_for(self, count: int) -> None:
        wait_until(lambda: self.count >= count, what=f"{count} statements")
