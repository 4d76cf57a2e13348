"""Behind a real Debezium: whatever is done to the table, to the connector and to the database, Redis equals it."""

import json
import random
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servers import Reachable
from servers.connect import Connect
from servers.postgresql import PostgreSQL
from tests.cdc import Cdc, Row, Statement
from tests.faults.workers.test_poison import dead_letters
from tests.flow import Flow
from tests.programs import POSTGRESQL
from tests.waiting import wait_until

pytestmark = POSTGRESQL.mark

SIGNAL = """INSERT INTO debezium_signal VALUES (
    gen_random_uuid(), 'execute-snapshot', '{"type": "incremental", "data-collections": ["public.products"]}')"""
SIGNALS_BEFORE = 2  # the one above, and the row by which the log is moved
LARGE_COLUMNS = ("text", "bytes", "numbers", "words", "pairs")
LARGE = """CREATE TABLE products (
    id integer PRIMARY KEY, price integer, text text, bytes bytea, numbers int[], words text[], pairs hstore)"""
STORED_APART = "ALTER TABLE products ALTER COLUMN text SET STORAGE EXTERNAL"
FILL_LARGE = """INSERT INTO products
    SELECT id, 0,
        CASE WHEN mod(id, 5) = 0 THEN (SELECT string_agg(md5(n::text), '') FROM generate_series(id, id + 400) n) END,
        CASE WHEN mod(id, 5) = 1
            THEN (SELECT decode(string_agg(md5(n::text), ''), 'hex') FROM generate_series(id, id + 800) n) END,
        CASE WHEN mod(id, 5) = 2 THEN (SELECT array_agg(hashint4(n)) FROM generate_series(id, id + 4000) n) END,
        CASE WHEN mod(id, 5) = 3 THEN (SELECT array_agg(md5(n::text)) FROM generate_series(id, id + 1000) n) END,
        CASE WHEN mod(id, 5) = 4
            THEN (SELECT hstore(array_agg(md5(n::text)), array_agg(md5((-n)::text)))
                FROM generate_series(id, id + 500) n) END
    FROM generate_series(0, %s) id"""
READ_LARGE = """SELECT id, price, text, replace(encode(bytes, 'base64'), E'\\n', '') AS bytes, numbers, words,
    hstore_to_jsonb(pairs) AS pairs FROM products"""


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    POSTGRESQL.need()
    with tempfile.TemporaryDirectory(prefix="lastword-postgresql-") as directory:
        Path(directory).chmod(0o711)  # where we are root, it runs as another user
        settings = {"wal_level": "logical", "max_replication_slots": "20", "max_wal_senders": "20"}
        with PostgreSQL(Path(directory) / "postgresql", settings=settings) as server:
            yield server


@pytest.fixture(scope="module")
def connect(
    kafka_server: Reachable, postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connect]:
    del postgresql  # it ends after Connect
    with Connect(tmp_path_factory.mktemp("connect"), kafka_server.address) as server:
        yield server


@pytest.fixture
def name(postgresql: PostgreSQL) -> str:
    """A database of the test's own, and what all that belongs to it is called."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return name


@pytest.fixture
def topic(name: str) -> str:
    return f"{name}.public.products"


@pytest.fixture
def cdc(flow: Flow, postgresql: PostgreSQL, connect: Connect, name: str) -> Iterator[Cdc]:
    cdc = Cdc(flow, postgresql, connect, name)
    yield cdc
    cdc.close()


def as_database_has_it(row: Row) -> Row:
    """Debezium writes an hstore as text of JSON."""
    return row | {"pairs": row["pairs"] and json.loads(row["pairs"])}


def each_once(first: int, last: int) -> Iterator[Statement]:
    """Each row is written once, each fifth deleted: what an older state wins over stays wrong."""
    for number in range(first, last + 1):
        yield ("DELETE FROM products WHERE id = %s" if number % 5 == 0 else WRITE), number


def at_random(count: int, *, seed: int = 7) -> Iterator[Statement]:
    """Rows are made, changed and deleted, and made again."""
    chance = random.Random(seed)
    for n in range(1, count + 1):
        number = chance.randrange(1, 500)
        yield ("DELETE FROM products WHERE id = %s", number) if n % 4 == 0 else (PUT, number, n)


WRITE = "UPDATE products SET n = 1 WHERE id = %s"
PUT = "INSERT INTO products VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET n = excluded.n"
NUMBERS = "CREATE TABLE products (id integer PRIMARY KEY, n integer NOT NULL)"
FILL_NUMBERS = "INSERT INTO products SELECT id, 0 FROM generate_series(1, %s) id"


def fill(cdc: Cdc, rows: int) -> None:
    """Make the table of numbers, with so many rows."""
    cdc.source.do(NUMBERS)
    cdc.source.do(FILL_NUMBERS, rows)


def check_all_is_right(cdc: Cdc) -> None:
    """Redis equals the table, and nothing became a dead letter."""
    assert cdc.wrong() == {}
    assert cdc.letters() == []


def test_changed_primary_keys(cdc: Cdc) -> None:
    fill(cdc, 60)
    with cdc.followed():
        cdc.connector()
        cdc.wait_until_it_runs()
        cdc.source.do("UPDATE products SET id = id + 1000, n = 1 WHERE id <= 10")
        cdc.source.do("UPDATE products SET id = id + 1000 WHERE id BETWEEN 11 AND 20")
        cdc.source.do("UPDATE products SET id = id - 1000, n = 2 WHERE id BETWEEN 1011 AND 1020")
        # Two rows change places in one transaction, by an id in between.
        with psycopg.connect(cdc.url) as connection:
            connection.execute("UPDATE products SET id = -1, n = 3 WHERE id = 21")
            connection.execute("UPDATE products SET id = 21, n = 4 WHERE id = 22")
            connection.execute("UPDATE products SET id = 22 WHERE id = -1")
        # A row is gone, and another takes its id.
        with psycopg.connect(cdc.url) as connection:
            connection.execute("DELETE FROM products WHERE id = 23")
            connection.execute("UPDATE products SET id = 23, n = 5 WHERE id = 24")
        cdc.source.do("DELETE FROM products WHERE id > 1005")
        cdc.settle()
        check_all_is_right(cdc)


def test_many_changes_in_one_transaction(cdc: Cdc) -> None:
    fill(cdc, 50)
    with cdc.followed():
        cdc.connector()
        cdc.wait_until_it_runs()
        with psycopg.connect(cdc.url) as connection:
            for n in range(1, 30):
                connection.execute("UPDATE products SET n = %s WHERE id <= 10", [n])
            connection.execute("DELETE FROM products WHERE id BETWEEN 8 AND 20")
            connection.execute("INSERT INTO products SELECT id, 100 FROM generate_series(18, 20) id")
            connection.execute("INSERT INTO products VALUES (51, 0)")
            connection.execute("DELETE FROM products WHERE id = 51")
            connection.execute("SAVEPOINT before")
            connection.execute("UPDATE products SET n = 200 WHERE id BETWEEN 15 AND 25")
            connection.execute("ROLLBACK TO before")
            connection.execute("UPDATE products SET n = 300 WHERE id = 25")
        cdc.settle()
        check_all_is_right(cdc)


def test_keys_of_two_columns(cdc: Cdc) -> None:
    cdc.ids = ("tenant", "id")
    cdc.source.do("CREATE TABLE products (tenant text, id integer, n integer DEFAULT 5, PRIMARY KEY (tenant, id))")
    cdc.source.do("INSERT INTO products SELECT 't' || mod(i, 3), i / 3, 0 FROM generate_series(0, 299) i")
    with cdc.followed():
        cdc.connector()
        cdc.wait_until_it_runs()
        cdc.source.do("UPDATE products SET n = CASE WHEN id < 50 THEN 1 END WHERE tenant = 't0'")
        cdc.source.do("UPDATE products SET tenant = 't3', n = 2 WHERE tenant = 't1' AND id < 10")
        cdc.source.do("DELETE FROM products WHERE tenant = 't2' AND id < 10")
        cdc.settle()
        assert len(cdc.source.query("SELECT 1 FROM products")) == 290
        check_all_is_right(cdc)


@pytest.fixture
def large(cdc: Cdc) -> Cdc:
    """With a table of 20 rows, each with one large value, of another type in turns."""
    for statement in ("CREATE EXTENSION hstore", LARGE, STORED_APART):
        cdc.source.do(statement)
    cdc.source.do(FILL_LARGE, 19)
    return cdc


def test_large_values_that_the_log_leaves_out_are_dead_letters_with_the_columns_name(large: Cdc) -> None:
    with large.followed():
        large.connector(without=("post.processors", "reselector"))
        large.wait_until_it_runs()
        large.settle()
        assert large.wrong(READ_LARGE, as_database_has_it) == {}
        large.source.do("UPDATE products SET price = 1 WHERE id < 10")
        large.source.do("UPDATE products SET text = 'small', price = 1 WHERE id = 10")
        large.settle()
        wrong = large.wrong(READ_LARGE, as_database_has_it)
        letters = {json.loads(letter.key or b"")["id"]: letter for letter in dead_letters(large.flow, count=10)}
        assert {int(one) for one in wrong} == letters.keys() == set(range(10))
        for number, letter in letters.items():
            assert LARGE_COLUMNS[number % 5] in letter.ours["message"], letter.ours["message"]
        assert all(held["price"] == 0 for held, _ in wrong.values()), "the state before, which was whole"


def test_large_values_that_the_log_leaves_out_are_read_from_the_table(large: Cdc) -> None:
    with large.followed():
        large.connector()
        large.wait_until_it_runs()
        large.source.do("UPDATE products SET price = 1 WHERE id < 10")
        large.source.do("UPDATE products SET price = 2 WHERE id < 5")
        large.settle()  # the connector must find the row by the id that it had
        large.source.do("UPDATE products SET id = id + 100 WHERE id = 9")
        large.settle()
        assert large.wrong(READ_LARGE, as_database_has_it) == {}
        assert large.letters() == []


def test_a_snapshot_while_the_table_is_written(cdc: Cdc) -> None:
    rows = 3_000
    fill(cdc, rows)
    with cdc.followed():
        with cdc.written(each_once(1, rows)) as writer:
            writer.wait_for(200)
            cdc.connector()
        cdc.wait_until_it_runs()
        cdc.settle()
        check_all_is_right(cdc)


def test_an_incremental_snapshot_while_the_connector_is_behind(cdc: Cdc, name: str) -> None:
    rows = 2_000
    fill(cdc, rows)
    cdc.source.do("CREATE TABLE bulk (id integer PRIMARY KEY, a text)")
    cdc.source.do("INSERT INTO bulk SELECT id, md5(id::text) FROM generate_series(1, 50000) id")
    tables = "public.products,public.bulk,public.debezium_signal"
    with cdc.followed():
        cdc.connector(snapshot__mode="no_data", table__include__list=tables)
        cdc.wait_until_it_runs()
        wait_until(lambda: slot_is_used(cdc, name), what="the connector follows the log")
        cdc.source.do("UPDATE bulk SET a = md5(a)")
        cdc.source.do(SIGNAL)
        for _ in range(3):
            cdc.source.do("UPDATE bulk SET a = md5(a)")
        # The first part of the table has been read when its marks are in the log, where the connector comes to them
        # later: what is written from now on is newer, and dated before.
        wait_until(lambda: cdc.source.signals() > SIGNALS_BEFORE, what="the first part")
        with cdc.written(each_once(1, rows)):
            pass
        cdc.source.wait_until_read_again(name)
        cdc.settle()
        check_all_is_right(cdc)
    assert cdc.dated_wrongly() > 100, "so many would be wrong by the time"


def slot_is_used(cdc: Cdc, name: str) -> bool:
    return bool(cdc.source.do("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active", name))


CONNECTORS = Path(__file__).parents[3] / "examples" / "connectors"
BY_NULL_VALUES = {
    "transforms.unwrap.delete.tombstone.handling.mode": "tombstone",
    "transforms.unwrap.add.headers": "source.connector,source.lsn,source.sequence,source.ts_ms",
}


@pytest.mark.parametrize(
    ("file", "options", "form"),
    [
        pytest.param("postgresql-flattened", {}, "debezium-unwrapped", id="flattened"),
        pytest.param("postgresql-flattened", BY_NULL_VALUES, "debezium-unwrapped", id="deletions as null values"),
        pytest.param("postgresql-cloudevents", {}, "debezium", id="in CloudEvents"),
    ],
)
def test_other_forms_of_records_while_the_table_is_read_and_written(
    cdc: Cdc, file: str, options: dict[str, str], form: str
) -> None:
    fill(cdc, 400)
    cdc.source.do("ALTER TABLE products ADD COLUMN discount integer DEFAULT 5")
    cdc.source.do("UPDATE products SET discount = NULL WHERE mod(id, 2) = 0")
    with cdc.followed(LASTWORD_FORMAT=form):
        with cdc.written(at_random(1_500)) as writer:
            writer.wait_for(200)
            cdc.connector(CONNECTORS / f"{file}.properties", without=(), **options)
            cdc.wait_until_it_runs()
            cdc.source.do(SIGNAL)
            cdc.source.do("UPDATE products SET id = id + 1000 WHERE id < 20")
        cdc.source.do("UPDATE products SET id = id + 1000, n = 7 WHERE id BETWEEN 100 AND 120")
        cdc.source.do("DELETE FROM products WHERE id BETWEEN 1000 AND 1010")
        cdc.source.wait_until_read_again(cdc.name)
        cdc.settle()
        check_all_is_right(cdc)


def test_a_truncate_is_a_dead_letter(cdc: Cdc) -> None:
    fill(cdc, 20)
    with cdc.followed():
        cdc.connector(skipped__operations="none")
        cdc.wait_until_it_runs()
        cdc.settle()
        cdc.source.do("TRUNCATE products")
        cdc.source.do("INSERT INTO products SELECT id, 7 FROM generate_series(11, 30) id")
        cdc.settle()
        [letter] = dead_letters(cdc.flow, count=1)
        assert letter.ours["message"].startswith("a truncate (op t) names no product")
        # What the letter says: what was in the table and has not come again stays.
        assert cdc.wrong() == {str(number): ({"id": number, "n": 0}, None) for number in range(1, 11)}


def test_an_added_column(cdc: Cdc) -> None:
    fill(cdc, 20)
    with cdc.followed():
        cdc.connector()
        cdc.wait_until_it_runs()
        cdc.settle()
        cdc.source.do("ALTER TABLE products ADD COLUMN colour text")
        cdc.source.do("UPDATE products SET colour = 'red', n = 1 WHERE id < 10")
        cdc.source.do("INSERT INTO products VALUES (21, 1, 'blue')")
        cdc.settle()
        # Of rows that were not written since, the database has told nothing.
        untouched: dict[str, Any] = {
            str(number): ({"id": number, "n": 0}, {"id": number, "n": 0, "colour": None}) for number in range(10, 21)
        }
        assert cdc.wrong() == untouched
        cdc.source.do(SIGNAL)
        cdc.source.wait_until_read_again(cdc.name)
        cdc.settle()
        check_all_is_right(cdc)


def test_the_connector_is_killed_while_the_table_is_written(cdc: Cdc, connect: Connect) -> None:
    rows = 2_000
    fill(cdc, rows)
    with cdc.followed():
        cdc.connector()
        cdc.wait_until_it_runs()
        cdc.settle()  # killed in its first snapshot it would take another, which does not tell what is gone since
        with cdc.written(each_once(1, rows)) as writer:
            for count in (300, 1_000):
                writer.wait_for(count)
                connect.kill()
                writer.wait_for(count + 200)
                connect.start()
                cdc.wait_until_it_runs()
        cdc.settle()
        check_all_is_right(cdc)


def test_the_database_is_killed_while_the_table_is_written(cdc: Cdc, postgresql: PostgreSQL) -> None:
    rows = 2_000
    fill(cdc, rows)
    with cdc.followed():
        cdc.connector()
        cdc.wait_until_it_runs()
        cdc.settle()
        with cdc.written(each_once(1, rows)) as writer:
            for count in (300, 1_000):
                writer.wait_for(count)
                postgresql.kill()
                postgresql.start()
        cdc.source.connect()
        cdc.settle()
        check_all_is_right(cdc)


def test_all_is_killed_one_after_the_other_while_the_table_is_read_and_written(
    cdc: Cdc, connect: Connect, postgresql: PostgreSQL
) -> None:
    fill(cdc, 400)
    cdc.connector()
    cdc.source.wait_until_passed_on(cdc.name)
    with cdc.written(at_random(3_000)) as writer:
        with cdc.followed() as (worker, bridge):
            writer.wait_for(500)
            cdc.source.do(SIGNAL)
            worker.kill()
            connect.kill()
            connect.start()
            cdc.wait_until_it_runs()  # it would end where the database is away while it begins
            writer.wait_for(1_200)
            bridge.kill()
        cdc.source.do(SIGNAL)
        postgresql.kill()
        postgresql.start()
        cdc.source.connect()
        cdc.source.do(SIGNAL)
    with cdc.followed():
        cdc.source.wait_until_read_again(cdc.name)
        cdc.settle()
        check_all_is_right(cdc)
