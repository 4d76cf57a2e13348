"""Records in other formats through the whole flow: what can be read to Redis, what cannot to the dead letters."""

import json
import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from lastword.process.startup import EXIT_SETTINGS
from lastword.publisher.publisher import Publisher
from tests.commands import run
from tests.faults.kafka.topics import Topics
from tests.faults.workers.test_poison import dead_letters
from tests.flow import Flow
from tests.kafka_helpers import Given, produce
from tests.rows import Rows
from tests.unit.lastword.formats.test_formats import CANAL, MAXWELL, MYSQL, POSTGRES, ROW, T_MS, debezium, enveloped
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker


def publish(flow: Flow, *values: object) -> None:
    with Publisher({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]}, flow.topic) as publisher:
        for value in values:
            publisher.publish_record(b"42", None if value is None else json.dumps(value).encode())


def publish_to(flow: Flow, partition: int, *values: object) -> None:
    given = [Given(value=json.dumps(value).encode(), partition=partition) for value in values]
    produce(flow.environment["KAFKA_BOOTSTRAP_SERVERS"], flow.topic, given)


def data_of(flow: Flow, product: str) -> object:
    data = flow.cache.hget(f"{flow.prefix}{product}", "data")
    return None if data is None else json.loads(bytes(data))  # type: ignore[arg-type]


def test_a_decoder_that_is_not_there_is_refused_at_the_start(flow: Flow) -> None:
    ended = run(["-m", "bridge", "run"], flow.environment | {"LASTWORD_FORMAT": "nowhere:decode"})
    assert ended.code == EXIT_SETTINGS
    (line,) = ended.complaints
    assert "LASTWORD_FORMAT: given 'nowhere:decode'; it cannot be imported" in line


@pytest.mark.core
def test_debezium(flow: Flow) -> None:
    lsn = int(str(POSTGRES["lsn"]))
    # By its own clock the row that was read is newer; in the log it is older than the change.
    read = enveloped(debezium("r", after=ROW, source=POSTGRES | {"ts_us": T_MS * 1_000 + 9_000_000}))
    newer = POSTGRES | {"ts_ms": T_MS + 5, "ts_us": None, "ts_ns": None, "lsn": lsn + 1}
    changed = enveloped(debezium("u", after=ROW | {"price": "80.00"}, source=newer))
    flow.environment["LASTWORD_FORMAT"] = "debezium"
    held_before = {"version": f"{T_MS * 1_000 + 10_000_000}-{lsn}", "token": "0" * 16, "data": "1"}
    flow.cache.hset(f"{flow.prefix}42", mapping=held_before)  # type: ignore[arg-type] # by a release before
    with celery_worker(flow.environment), flow.bridge():
        publish(flow, changed, read, None, enveloped(debezium("t")))
        wait_until(lambda: data_of(flow, "42") == ROW | {"price": "80.00"}, what="the change")
        [letter] = dead_letters(flow, count=1)
        assert letter.ours["message"].startswith("a truncate (op t) names no product")
        flow.wait_until_all_is_committed()
        assert flow.cache.hget(f"{flow.prefix}42", "updated_at") == b"2025-11-22T08:26:40.128000Z"
        assert flow.cache.hget(f"{flow.prefix}42", "version") == f"{2**52 + 24_023_119 // 8}-{lsn + 1}".encode()
        gone = enveloped(debezium("d", before={"id": 42}, source=newer | {"ts_ms": T_MS, "lsn": lsn + 2}))
        publish(flow, gone, None)
        wait_until(lambda: flow.cache.hget(f"{flow.prefix}42", "deleted") == b"1", what="the deletion")
        flow.wait_until_all_is_committed()


@pytest.mark.core
def test_many_rows_in_one_record(flow: Flow) -> None:
    rows = [{"id": str(number), "weight": "0.5"} for number in range(300)]
    flow.environment["LASTWORD_FORMAT"] = "canal"
    with celery_worker(flow.environment), flow.bridge():
        publish(flow, CANAL | {"type": "INSERT", "data": rows, "old": None})
        wait_until(lambda: all(data_of(flow, row["id"]) == row for row in rows), what="every row")
        flow.wait_until_all_is_committed()


def test_rows_of_another_table_on_the_topic_are_told(flow: Flow) -> None:
    flow.environment["LASTWORD_FORMAT"] = "maxwell"
    row = MAXWELL | {"type": "insert", "old": None, "database": "shop"}
    with celery_worker(flow.environment), flow.bridge() as bridge:
        publish(flow, row | {"table": "products", "data": {"id": 1, "name": "mug"}})
        flow.wait_until_all_is_committed()
        assert "several tables" not in bridge.log
        publish(flow, row | {"table": "orders", "data": {"id": 1, "total": "8.90"}})
        bridge.wait_for_log("rows of several tables, shop.products, shop.orders: rows with one id overwrite each other")


def test_two_connectors_that_write_a_partition_by_turns_stop_it(flow: Flow) -> None:
    flow.environment["LASTWORD_FORMAT"] = "debezium"

    def changed(name: str, price: str) -> object:
        return debezium("u", after=ROW | {"price": price}, source=MYSQL | {"name": name})

    with celery_worker(flow.environment), flow.bridge() as bridge:
        publish(flow, changed("shop", "1"), changed("shop-2", "2"))
        wait_until(lambda: data_of(flow, "42") == ROW | {"price": "2"}, what="what the next connector wrote")
        publish(flow, changed("shop", "3"), changed("shop-2", "4"))
        bridge.wait_for_log("the connectors 'shop' and 'shop-2' write it by turns")
        wait_until(lambda: data_of(flow, "42") == ROW | {"price": "3"}, what="what the first wrote again")


@pytest.mark.parametrize("its_topic", ["kept", "made anew"])
@pytest.mark.parametrize("how", ["running", "stopped"])
def test_a_source_that_was_restored_stops_the_partition_and_loses_nothing(flow: Flow, how: str, its_topic: str) -> None:
    def changed(price: str, commit: int, time_ms: int) -> object:
        sequence = json.dumps([str(commit), str(commit + 64)])
        source = POSTGRES | {"ts_ms": time_ms, "ts_us": None, "ts_ns": None, "lsn": commit + 64, "sequence": sequence}
        return debezium("u", after=ROW | {"price": price}, source=source)

    flow.environment["LASTWORD_FORMAT"] = "debezium"
    with celery_worker(flow.environment), ExitStack() as bridges:
        bridge = bridges.enter_context(flow.bridge())
        publish(flow, changed("1", 24_000_000, T_MS))
        wait_until(lambda: data_of(flow, "42") == ROW | {"price": "1"}, what="the change")
        flow.wait_until_all_is_committed()
        if how == "stopped":
            bridge.stop()
        if its_topic == "made anew":
            topics = Topics(flow)
            topics.delete()  # Kafka forgets what was committed of it
            if how == "running":
                bridge.wait_for_log("is gone: it was deleted")
            topics.create()
        publish(flow, changed("2", 20_000_000, T_MS + 60_001), changed("3", 20_000_160, T_MS + 60_002))
        if how == "stopped":
            bridge = bridges.enter_context(flow.bridge())
        bridge.wait_for_log("to LASTWORD_POSITIONS_ANEW")
        assert data_of(flow, "42") == ROW | {"price": "1"}
        [since] = set(re.findall(r"add (\S+) to LASTWORD_POSITIONS_ANEW", bridge.log))
    with celery_worker(flow.environment), flow.bridge(LASTWORD_POSITIONS_ANEW=since):
        wait_until(lambda: data_of(flow, "42") == ROW | {"price": "3"}, what="the last change of the restored source")
        flow.wait_until_all_is_committed()


@pytest.mark.parametrize("old_first", [True, False])
def test_an_id_that_changes_between_partitions_is_loaded(flow: Flow, tmp_path: Path, *, old_first: bool) -> None:
    """The row that was 1 is 2 now; what each partition has of it compares with nothing in the other."""
    rows = Rows(tmp_path / "rows.db")
    flow.environment |= rows.environment | {"LASTWORD_FORMAT": "maxwell"}
    born = MAXWELL | {"type": "insert", "data": {"id": 1, "v": 1}, "old": None}
    renamed = MAXWELL | {"data": {"id": 2, "v": 1}, "old": {"id": 1}}
    others = [MAXWELL | {"type": "insert", "data": {"id": 100 + n, "v": n}, "old": None} for n in range(10)]
    rows.put("2", T_MS * 1_000, None, {"id": 2, "v": 1})
    at_home: list[dict[str, object]] = [*others, born]
    with celery_worker(flow.environment), flow.bridge():
        in_order = [(0, at_home), (1, [renamed])]
        for number, values in in_order if old_first else reversed(in_order):
            publish_to(flow, number, *values)
            if number:
                wait_until(lambda: flow.cache.hget(f"{flow.prefix}1", "deleted") == b"1", what="that 1 is gone")
        wait_until(lambda: data_of(flow, "2") == {"id": 2, "v": 1}, what="that 2 is there")
        wait_until(lambda: data_of(flow, "109") == {"id": 109, "v": 9}, what="the others")
        rows.put("1", T_MS * 1_000, None, {"id": 1, "v": 7})
        publish_to(flow, 0, MAXWELL | {"type": "insert", "data": {"id": 1, "v": 6}, "old": None})
        wait_until(lambda: data_of(flow, "1") == {"id": 1, "v": 7}, what="what the database has")
        flow.wait_until_all_is_committed()
    verified = run(["-m", "bridge", "verify", "--contents"], flow.environment)
    assert verified.code == 0
    assert "2 products whose ids have changed are not compared" in verified.out
    inspected = run(["-m", "bridge", "inspect", "1"], flow.environment)
    assert inspected.code == 0
    assert "offsets of two partitions do not compare" in inspected.out
    rows.remove("1")
    with celery_worker(flow.environment), flow.bridge():
        publish_to(flow, 0, MAXWELL | {"type": "delete", "data": {"id": 1, "v": 7}, "old": None})
        wait_until(lambda: flow.cache.hget(f"{flow.prefix}1", "deleted") == b"1", what="that 1 is gone again")
        flow.wait_until_all_is_committed()
        flow.cache.delete(f"{flow.prefix}1", f"{flow.prefix}2")
        assert run(["-m", "bridge", "verify", "--repair"], flow.environment).code == 0
        assert flow.cache.hget(f"{flow.prefix}1", "deleted") == b"1"
        assert data_of(flow, "2") == {"id": 2, "v": 1}


def test_an_id_that_changes_is_a_dead_letter_where_nothing_tells_the_order(flow: Flow) -> None:
    flow.environment["LASTWORD_FORMAT"] = "maxwell"
    renamed = MAXWELL | {"data": {"id": 2, "v": 1}, "old": {"id": 1}}
    with celery_worker(flow.environment), flow.bridge():
        publish_to(flow, 1, renamed)
        [letter] = dead_letters(flow, count=1)
        assert "LASTWORD_TABLE_IN_ONE_PARTITION=true" in letter.ours["message"]
        flow.wait_until_all_is_committed()
    with celery_worker(flow.environment), flow.bridge(LASTWORD_TABLE_IN_ONE_PARTITION="true"):
        flow.environment["LASTWORD_TABLE_IN_ONE_PARTITION"] = "true"
        assert run(["-m", "bridge", "replay", "--all"], flow.environment).code == 0
        wait_until(lambda: data_of(flow, "2") == {"id": 2, "v": 1}, what="that 2 is there")
        wait_until(lambda: flow.cache.hget(f"{flow.prefix}1", "deleted") == b"1", what="that 1 is gone")
        flow.wait_until_all_is_committed()
