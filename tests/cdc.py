"""A database of a test's own behind Debezium: its table is written, and Redis must come to equal it."""

import contextlib
import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
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


class Behind(ABC):
    """A table ``products``, a connector of its own, and the flow behind it: what does not depend on the database."""

    def __init__(self, flow: Flow, connect: Connect, name: str) -> None:
        self.flow = flow
        self.name = name
        self.ids: tuple[str, ...] = ("id",)
        self._connect = connect

    @abstractmethod
    def query(self, query: str) -> list[Row]:
        """The rows that a query finds."""

    @abstractmethod
    def settle(self) -> None:
        """Return when all that is in the database's log is in Kafka, and all that is in Kafka is in Redis."""

    @contextlib.contextmanager
    def followed(self, **settings: str) -> Iterator[tuple[CeleryWorker, Bridge]]:
        """While the block lasts, a worker and a bridge."""
        environment = self.flow.environment
        environment |= {"LASTWORD_FORMAT": "debezium", "LASTWORD_ID_FIELD": ",".join(self.ids), **settings}
        with celery_worker(environment) as worker, self.flow.bridge() as bridge:
            yield worker, bridge

    def begin(self, file: Path, own: Mapping[str, str], options: Mapping[str, str], without: tuple[str, ...]) -> None:
        """Begin a connector by a file, but for what is the test's own; in the names of options ``__`` is a dot."""
        given = {name: value for name, value in read_properties(file).items() if not name.startswith(without)}
        others = {name.replace("__", "."): value for name, value in options.items()}
        self._connect.add(self.name, given | dict(own) | others)

    def wait_until_it_runs(self) -> None:
        wait_until(lambda: self._connect.runs(self.name), what=f"connector {self.name}")

    def wrong(self, query: str = "SELECT * FROM products", convert: Callable[[Row], Row] = dict) -> dict[str, Any]:
        """By product id, what Redis holds and what the database: where it is not the same."""
        rows = {",".join(str(row[name]) for name in self.ids): row for row in self.query(query)}
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
        writer = self._writer()
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(writer.write, statements)
            try:
                yield writer
            except BaseException:
                writer.give_up.set()
                raise
            writing.result()

    @abstractmethod
    def _writer(self) -> "Writer": ...


class Cdc(Behind):
    """The table in a PostgreSQL database of its own."""

    def __init__(self, flow: Flow, postgresql: PostgreSQL, connect: Connect, name: str) -> None:
        super().__init__(flow, connect, name)
        self._postgresql = postgresql
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

    def connector(self, file: Path = CONNECTOR, *, without: tuple[str, ...] = (), **options: str) -> None:
        """Begin a connector by a file, but for options that begin like these; in others ``__`` is a dot."""
        own = {
            "name": self.name,
            "database.port": str(self._postgresql.port),
            "database.dbname": self.name,
            "slot.name": self.name,
            "publication.name": self.name,
            "topic.prefix": self.name,
            "retriable.restart.connector.wait.ms": "500",
        }
        self.begin(file, own, options, without)

    def query(self, query: str) -> list[Row]:
        return self.source.query(query)

    def settle(self) -> None:
        self.source.wait_until_passed_on(self.name)
        self.flow.wait_until_all_is_committed()

    def _writer(self) -> "Writer":
        return Writer(self._session, psycopg.OperationalError)

    @contextlib.contextmanager
    def _session(self) -> Iterator["Execute"]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            yield lambda statement, values: connection.execute(statement.encode(), values)


Execute = Callable[[str, Sequence[object]], object]
Session = Callable[[], contextlib.AbstractContextManager[Execute]]


class Writer:
    """Executes statements, each a transaction and right to repeat, also while the database is away now and then."""

    def __init__(self, session: Session, *lost: type[Exception]) -> None:
        self._session = session
        self._lost = lost
        self.give_up = threading.Event()
        self.count = 0

    def write(self, statements: Iterable[Statement]) -> None:
        end = time.monotonic() + DEADLINE_S
        with contextlib.ExitStack() as stack:
            execute = stack.enter_context(self._session())
            for statement, *values in statements:
                while not self.give_up.wait(1 / PER_SECOND):
                    try:
                        execute(statement, values)
                        break
                    except self._lost:
                        assert time.monotonic() < end
                        stack.close()
                        execute = self._connected(stack, end)
                self.count += 1

    def _connected(self, stack: contextlib.ExitStack, end: float) -> Execute:
        while True:
            try:
                return stack.enter_context(self._session())
            except self._lost:
                if self.give_up.wait(RECONNECT_S) or time.monotonic() > end:
                    raise

    def wait_for(self, count: int) -> None:
        wait_until(lambda: self.count >= count, what=f"{count} statements")
