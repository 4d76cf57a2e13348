"""A MariaDB database of a test's own behind Debezium: its table is written, and Redis must come to equal it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import pymysql
from pymysql.cursors import DictCursor

from servers.connect import Connect, ConnectError
from servers.mariadb import USER, MariaDB
from servers.ports import LOOPBACK
from tests.cdc import Behind, Execute, Row, Writer
from tests.flow import Flow
from tests.waiting import wait_until

CONNECTOR: Final = Path(__file__).parents[1] / "examples" / "connectors" / "mariadb.properties"

NUDGED: Final = "INSERT INTO debezium_signal VALUES ('nudge', 'none', '')"
NUDGE: Final = "UPDATE debezium_signal SET data = UUID() WHERE id = 'nudge'"

Connection: TypeAlias = "pymysql.Connection[DictCursor]"


class MariaCdc(Behind):
    """The table in a MariaDB database of its own, prepared as the connector's file says.

    ``renews``: a connector that has failed is begun anew, as whoever operates it would.
    """

    def __init__(self, flow: Flow, mariadb: MariaDB, connect: Connect, name: str) -> None:
        super().__init__(flow, connect, name)
        self.renews = False
        self._mariadb = mariadb
        self._connection = self.opened(None)
        self.do(f"CREATE DATABASE {name}")
        self.do("DROP USER IF EXISTS debezium")  # the test's before
        for statement in said_in(CONNECTOR):
            self.do(statement.replace("shop.", f"{name}."))
        self._connection.select_db(name)
        self.do(NUDGED)

    def opened(self, database: str | None) -> Connection:
        """A connection; each statement on it is a transaction."""
        return pymysql.connect(
            host=LOOPBACK,
            port=self._mariadb.port,
            user=USER,
            database=database,
            autocommit=True,
            cursorclass=DictCursor,
        )

    def reconnect(self) -> None:
        """Have another connection: where the database was away."""
        self._connection = self.opened(self.name)

    def close(self) -> None:
        with contextlib.suppress(ConnectError):  # the test has not come so far
            self._connect.remove(self.name)
        if self._connection.open:
            self._connection.close()

    def connector(self, file: Path = CONNECTOR, *, without: tuple[str, ...] = (), **options: str) -> None:
        """Begin a connector by a file, but for options that begin like these; in others ``__`` is a dot."""
        own = {
            "name": self.name,
            "database.port": str(self._mariadb.port),
            "database.include.list": self.name,
            "table.include.list": f"{self.name}.products,{self.name}.debezium_signal",
            "signal.data.collection": f"{self.name}.debezium_signal",
            "schema.history.internal.file.filename": f"{self.name}.history",
            "topic.prefix": self.name,
            "retriable.restart.connector.wait.ms": "500",
        }
        self.begin(file, own, options, without)

    def do(self, statement: str, *values: object) -> int:
        """Execute a statement; how many rows it has changed."""
        with self._connection.cursor() as cursor:
            return cursor.execute(statement, values or None)

    def query(self, query: str) -> list[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def settle(self) -> None:
        self.wait_until_passed_on()
        self.flow.wait_until_all_is_committed()

    def wait_until_passed_on(self) -> None:
        """Return when all that is in the log by now is in Kafka, by what Connect has stored of the connector.

        It stores what Kafka has confirmed, and that with what comes after it: hence the nudges, of another table.
        """
        now = self.position()
        wait_until(lambda: self._has_passed(now), what=f"connector {self.name} has passed on {now}")

    def wait_until_read_again(self) -> None:
        """Return when an incremental snapshot is over: no part of the table is asked for any more."""
        before = 0
        while (found := self.signals()) != before:
            before = found
            self.wait_until_passed_on()

    def signals(self) -> int:
        """How many signals there are: yours, and two for each part of the table that Debezium reads anew."""
        return len(self.query("SELECT 1 FROM debezium_signal"))

    def position(self) -> int:
        """The number of the last transaction."""
        [row] = self.query("SELECT @@gtid_current_pos AS gtid")
        return _number(row["gtid"])

    def _has_passed(self, position: int) -> bool:
        self.do(NUDGE)
        self._look_after()
        stored = self._connect.offsets(self.name)
        return not stored.keys() & {"snapshot", "snapshot_completed"} and _number(stored.get("gtids")) >= position

    def _look_after(self) -> None:
        """Raise ConnectError where the connector has failed, or begin it anew."""
        try:
            self._connect.runs(self.name)
        except ConnectError:
            if not self.renews:
                raise
            self._connect.renew(self.name)

    def _writer(self) -> Writer:
        return Writer(self._session, pymysql.OperationalError, pymysql.InterfaceError)

    @contextlib.contextmanager
    def _session(self) -> Iterator[Execute]:
        connection = self.opened(self.name)
        try:
            with connection.cursor() as cursor:
                yield cursor.execute
        finally:
            if connection.open:  # one that was lost must not be closed again
                connection.close()


def _number(gtid: str | None) -> int:
    return int((gtid or "0").rpartition("-")[2])


def said_in(file: Path) -> list[str]:
    """The statements in a connector's file, by which a database is prepared for it."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line.lstrip("# ") for line in lines if line.startswith("#   ") and line.endswith(";")]
