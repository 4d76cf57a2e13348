"""Behind a real Debezium on MariaDB: whatever is done to the table, the connector and the log, Redis equals it.

Or the difference is told: by a dead letter, or by a connector that stops and says why.
"""

import json
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from servers import Reachable
from servers.connect import Connect, ConnectError
from servers.mariadb import MariaDB
from tests.cdc import Statement
from tests.cdc_mariadb import NUDGE, MariaCdc
from tests.faults.workers.test_poison import dead_letters
from tests.flow import Flow
from tests.programs import MARIADB
from tests.waiting import wait_until

pytestmark = MARIADB.mark

HEARTBEATS_IN_A_ROW = 150  # more than so many dead letters pause a partition
SIGNALS_BEFORE = 2  # the one of the test, and the row by which the log is moved
WRITE = "UPDATE products SET n = 1 WHERE id = %s"
PUT = "INSERT INTO products VALUES (%s, %s) ON DUPLICATE KEY UPDATE n = VALUES(n)"


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDB]:
    MARIADB.need()
    with tempfile.TemporaryDirectory(prefix="lastword-mariadb-") as directory:
        Path(directory).chmod(0o711)  # where we are root, it runs as another user
        with MariaDB(Path(directory) / "mariadb") as server:
            yield server


@pytest.fixture(scope="module")
def connect(kafka_server: Reachable, mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    del mariadb  # it ends after Connect
    with Connect(tmp_path_factory.mktemp("connect"), kafka_server.address, jars="connect-mariadb") as server:
        yield server


@pytest.fixture
def name() -> str:
    """The database of the test's own, and what all that belongs to it is called."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def topic(name: str) -> str:
    return f"{name}.{name}.products"


@pytest.fixture
def cdc(flow: Flow, mariadb: MariaDB, connect: Connect, name: str) -> Iterator[MariaCdc]:
    cdc = MariaCdc(flow, mariadb, connect, name)
    yield cdc
    cdc.close()


def fill(cdc: MariaCdc, rows: int) -> None:
    """Make the table of numbers, with so many rows."""
    cdc.do("CREATE TABLE products (id integer PRIMARY KEY, n integer NOT NULL)")
    cdc.do("INSERT INTO products SELECT seq, 0 FROM seq_1_to_10000 WHERE seq <= %s", rows)


def each_once(first: int, last: int) -> Iterator[Statement]:
    """Each row is written once, each fifth deleted: what an older state wins over stays wrong."""
    for number in range(first, last + 1):
        yield ("DELETE FROM products WHERE id = %s" if number % 5 == 0 else WRITE), number


def read_anew(cdc: MariaCdc, *, tables: tuple[str, ...] = ("products",)) -> None:
    """Ask for an incremental snapshot."""
    told = {"type": "incremental", "data-collections": [f"{cdc.name}.{table}" for table in tables]}
    cdc.do("INSERT INTO debezium_signal VALUES (UUID(), 'execute-snapshot', %s)", json.dumps(told))


def check_all_is_right(cdc: MariaCdc) -> None:
    """Redis equals the table, and nothing became a dead letter."""
    assert cdc.wrong() == {}
    assert cdc.letters() == []


def fail(cdc: MariaCdc, connect: Connect) -> str:
    """Why the connector has failed, when it has."""
    reasons: list[str] = []

    def has_failed() -> bool:
        try:
            connect.runs(cdc.name)
        except ConnectError as error:
            reasons.append(str(error))
        return bool(reasons)

    wait_until(has_failed, what=f"connector {cdc.name} fails")
    return reasons[0]


def test_changed_primary_keys_and_many_changes_in_one_transaction(cdc: MariaCdc) -> None:
    fill(cdc, 60)
    with cdc.followed():
        cdc.connector()
        cdc.wait_until_it_runs()
        cdc.do("UPDATE products SET id = id + 1000, n = 1 WHERE id <= 20")
        cdc.do("UPDATE products SET id = id - 1000, n = 2 WHERE id BETWEEN 1011 AND 1020")
        with cdc.opened(cdc.name) as connection, connection.cursor() as cursor:
            connection.begin()
            # Two rows change places, by an id in between; a row is gone, and another takes its id.
            cursor.execute("UPDATE products SET id = -1, n = 3 WHERE id = 21")
            cursor.execute("UPDATE products SET id = 21, n = 4 WHERE id = 22")
            cursor.execute("UPDATE products SET id = 22 WHERE id = -1")
            cursor.execute("DELETE FROM products WHERE id = 23")
            cursor.execute("UPDATE products SET id = 23, n = 5 WHERE id = 24")
            for n in range(10, 30):
                cursor.execute("UPDATE products SET n = %s WHERE id BETWEEN 25 AND 30", [n])
            cursor.execute("REPLACE INTO products VALUES (31, 31), (61, 61)")
            cursor.execute("SAVEPOINT before_it")
            cursor.execute("UPDATE products SET n = 100")
            cursor.execute("ROLLBACK TO before_it")
            connection.commit()
        cdc.do("DELETE FROM products WHERE id > 1005")
        cdc.settle()
        check_all_is_right(cdc)


def test_keys_of_two_columns(cdc: MariaCdc) -> None:
    cdc.ids = ("tenant", "id")
    cdc.do("CREATE TABLE products (tenant varchar(9), id integer, n integer DEFAULT 5, PRIMARY KEY (tenant, id))")
    cdc.do("INSERT INTO products SELECT CONCAT('t', seq MOD 3), seq DIV 3, 0 FROM seq_0_to_299")
    with cdc.followed():
        cdc.connector()
        cdc.wait_until_it_runs()
        cdc.do("UPDATE products SET n = IF(id < 50, 1, NULL) WHERE tenant = 't0'")
        cdc.do("UPDATE products SET tenant = 't3', n = 2 WHERE tenant = 't1' AND id < 10")
        cdc.do("DELETE FROM products WHERE tenant = 't2' AND id < 10")
        cdc.settle()
        assert len(cdc.query("SELECT 1 FROM products")) == 290
        check_all_is_right(cdc)


def test_a_snapshot_while_the_table_is_written(cdc: MariaCdc) -> None:
    rows = 2_000
    fill(cdc, rows)
    with cdc.followed():
        with cdc.written(each_once(1, rows)) as writer:
            writer.wait_for(200)
            cdc.connector()
        cdc.wait_until_it_runs()
        cdc.settle()
        check_all_is_right(cdc)


def test_an_incremental_snapshot_while_the_connector_is_behind(cdc: MariaCdc) -> None:
    rows = 1_500
    fill(cdc, rows)
    cdc.do("CREATE TABLE bulk (id integer PRIMARY KEY, a char(32))")
    cdc.do("INSERT INTO bulk SELECT seq, MD5(seq) FROM seq_1_to_20000")
    tables = ",".join(f"{cdc.name}.{table}" for table in ("products", "bulk", "debezium_signal"))
    with cdc.followed():
        cdc.connector(snapshot__mode="no_data", table__include__list=tables)
        cdc.wait_until_it_runs()
        cdc.wait_until_passed_on()
        cdc.do("UPDATE bulk SET a = MD5(a)")
        read_anew(cdc)
        for _ in range(3):
            cdc.do("UPDATE bulk SET a = MD5(a)")
        # The first part of the table has been read when its marks are in the log, where the connector comes to them
        # later: what is written from now on is newer, and dated before.
        wait_until(lambda: cdc.signals() > SIGNALS_BEFORE, what="the first part")
        with cdc.written(each_once(1, rows)):
            pass
        cdc.wait_until_read_again()
        cdc.settle()
        check_all_is_right(cdc)


def test_a_truncate_is_a_dead_letter(cdc: MariaCdc) -> None:
    fill(cdc, 20)
    with cdc.followed():
        cdc.connector(skipped__operations="none")
        cdc.wait_until_it_runs()
        cdc.settle()
        cdc.do("TRUNCATE products")
        cdc.do("INSERT INTO products SELECT seq, 7 FROM seq_11_to_30")
        cdc.settle()
        [letter] = dead_letters(cdc.flow, count=1)
        assert letter.ours["message"].startswith("a truncate (op t) names no product")
        # What the letter says: what was in the table and has not come again stays.
        assert cdc.wrong() == {str(number): ({"id": number, "n": 0}, None) for number in range(1, 11)}


def test_an_added_column_and_records_that_carry_no_row(cdc: MariaCdc, topic: str) -> None:
    """Heartbeats, transactions, definitions of tables: here all of them are in the topic of the rows."""
    fill(cdc, 20)
    with cdc.followed():
        cdc.connector(
            table__include__list=f"{cdc.name}.products",
            heartbeat__interval__ms="20",
            provide__transaction__metadata="true",
            transforms="route",
            transforms__route__type="org.apache.kafka.connect.transforms.RegexRouter",
            transforms__route__regex=".*",
            transforms__route__replacement=topic,
        )
        cdc.wait_until_it_runs()
        cdc.settle()
        cdc.do("ALTER TABLE products ADD COLUMN colour varchar(9) DEFAULT 'red'")
        cdc.do("UPDATE products SET n = 1 WHERE id < 10")
        cdc.do("INSERT INTO products VALUES (21, 1, 'blue')")
        wait_until(lambda: heartbeats(cdc) > HEARTBEATS_IN_A_ROW, what="so many heartbeats")
        cdc.do("ALTER TABLE products DROP COLUMN n")
        cdc.do("DELETE FROM products WHERE id = 10")
        cdc.settle()
        kinds = [json.loads(record.value() or b"{}").keys() for record in cdc.records()]
        assert any("tableChanges" in kind for kind in kinds)
        assert any("event_count" in kind for kind in kinds)
        # Of rows that were not written since, the log tells nothing.
        cdc.do("UPDATE products SET colour = UPPER(colour)")
        cdc.settle()
        # The table of signals is routed into the topic as well.
        assert cdc.wrong().keys() == {"nudge"}
        assert cdc.letters() == []


def heartbeats(cdc: MariaCdc) -> int:
    """How many there are, after some more: the connector sends them while the log goes on."""
    for _ in range(HEARTBEATS_IN_A_ROW // 3):
        cdc.do(NUDGE)
    values = [record.value() or b"" for record in cdc.records()]
    return sum(value.startswith(b'{"ts_ms"') for value in values)


def test_the_connector_and_then_the_database_is_killed_while_the_table_is_written(
    cdc: MariaCdc, connect: Connect, mariadb: MariaDB
) -> None:
    rows = 1_500
    fill(cdc, rows)
    with cdc.followed():
        cdc.connector()
        cdc.wait_until_it_runs()
        cdc.settle()  # killed in its first snapshot it would take another, which does not tell what is gone since
        with cdc.written(each_once(1, rows)) as writer:
            writer.wait_for(300)
            connect.kill()
            writer.wait_for(500)
            connect.start()
            cdc.wait_until_it_runs()
            writer.wait_for(800)
            mariadb.kill()
            mariadb.start()
        cdc.reconnect()
        cdc.renews = True  # it ends where the database is away while it begins
        cdc.settle()
        check_all_is_right(cdc)


def purge(cdc: MariaCdc) -> None:
    """Take away all of the log but its last file, when nobody reads it any more: the server notices that by writing."""

    def has_one_file() -> bool:
        cdc.do("FLUSH BINARY LOGS")
        last = cdc.query("SHOW MASTER STATUS")[0]["File"]
        cdc.do("PURGE BINARY LOGS TO %s", last)
        return len(cdc.query("SHOW BINARY LOGS")) == 1

    wait_until(has_one_file, what="the log has one file")


def reset(cdc: MariaCdc) -> None:
    """Begin the log anew, and the numbers of its transactions."""
    cdc.do("RESET MASTER")
    cdc.do("UPDATE products SET n = 3 WHERE id = 3")


@pytest.mark.parametrize("take_away", [purge, reset])
def test_where_the_log_is_gone_the_connector_stops(
    cdc: MariaCdc, connect: Connect, take_away: Callable[[MariaCdc], None]
) -> None:
    lose_the_log(cdc, connect, take_away)
    assert "Exception" in fail(cdc, connect)


def test_where_the_log_began_anew_the_table_is_read_anew_if_the_connector_may(cdc: MariaCdc, connect: Connect) -> None:
    with cdc.followed():
        lose_the_log(cdc, connect, reset)
        fail(cdc, connect)
        cdc.connector(snapshot__mode="when_needed")
        wait_until(lambda: cdc.wrong().keys() <= {"9"}, what="the table is read anew")
        cdc.wait_until_it_runs()
        cdc.do("UPDATE products SET n = n + 10 WHERE id IN (3, 12)")
        cdc.do("DELETE FROM products WHERE id = 13")
        wait_until(lambda: cdc.wrong().keys() <= {"9"}, what="it follows again")
        # A snapshot reads rows, and no deletions: docs/formats.md says what to do.
        assert cdc.wrong() == {"9": ({"id": 9, "n": 1}, None)}
        assert cdc.letters() == []


def lose_the_log(cdc: MariaCdc, connect: Connect, take_away: Callable[[MariaCdc], None]) -> None:
    """Change the table, have that passed on, and change it again while the connector is away and the log goes."""
    fill(cdc, 20)
    cdc.connector()
    cdc.wait_until_it_runs()
    cdc.do("UPDATE products SET n = 1 WHERE id < 10")
    cdc.wait_until_passed_on()
    connect.stop()
    cdc.do("UPDATE products SET n = 2 WHERE id < 5")
    cdc.do("DELETE FROM products WHERE id = 9")
    take_away(cdc)
    connect.start()


@pytest.mark.parametrize("image", ["MINIMAL", "NOBLOB"])
def test_rows_that_are_logged_in_part_stop_the_connector_and_replace_nothing(
    cdc: MariaCdc, connect: Connect, image: str
) -> None:
    cdc.do("CREATE TABLE products (id integer PRIMARY KEY, n integer, name varchar(9), text text)")
    cdc.do("INSERT INTO products SELECT seq, 0, 'name', 'text' FROM seq_1_to_9")
    with cdc.followed():
        cdc.connector()
        cdc.wait_until_it_runs()
        cdc.settle()
        with cdc.opened(cdc.name) as connection, connection.cursor() as cursor:
            cursor.execute(f"SET SESSION binlog_row_image = {image}")
            cursor.execute("UPDATE products SET n = 1 WHERE id = 1")
        assert "row size" in fail(cdc, connect)
        [(held, _)] = cdc.wrong().values()
        assert held == {"id": 1, "n": 0, "name": "name", "text": "text"}, "the state before, which was whole"
        assert cdc.letters() == []


def test_ids_and_values_that_are_numbers_of_other_kinds(cdc: MariaCdc) -> None:
    """A decimal key, by the file's own mode; big unsigned numbers; what is one bit, or many."""
    cdc.do(
        "CREATE TABLE products (id decimal(20, 2) PRIMARY KEY, large bigint unsigned, tiny tinyint unsigned, "
        "price decimal(10, 2), flag bit(1), made datetime)"
    )
    cdc.do("INSERT INTO products SELECT seq + 0.25, seq, 250, seq / 3, seq MOD 2, NULL FROM seq_1_to_9")
    with cdc.followed():
        cdc.connector()
        cdc.wait_until_it_runs()
        cdc.do("UPDATE products SET price = -0.10, flag = NULL WHERE id < 5")
        cdc.do("DELETE FROM products WHERE id = 8.25")
        cdc.settle()
        query = "SELECT CAST(id AS char) AS id, large, tiny, CAST(price AS char) AS price, flag, made FROM products"
        wrong = cdc.wrong(query, lambda row: row)
        assert {one: [held, row] for one, (held, row) in wrong.items() if as_read(row) != held} == {}
        assert cdc.letters() == []


def as_read(row: dict[str, object] | None) -> dict[str, object] | None:
    """A row with its one bit as Debezium writes it."""
    return row and row | {"flag": None if row["flag"] is None else row["flag"] == b"\1"}
