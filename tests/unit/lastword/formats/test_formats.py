"""Golden records of each format: the updates in them, or why there are none."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from lastword.contract.change import Change
from lastword.contract.record import VERSION_HEADER, InvalidUpdateError, Rules, Update
from lastword.contract.version import Position, Version
from lastword.formats.decoding import decode, decoder_of, entities_named
from lastword.formats.record import Record
from lastword.settings.shared import SettingsError

Envelope = Callable[[object], object]

OFFSET = 77
T_MS = 1_763_800_000_123
T_US = T_MS * 1_000

POSTGRES = {
    "version": "3.0.0.Final",
    "connector": "postgresql",
    "name": "shop",
    "ts_ms": T_MS,
    "ts_us": T_US + 456,
    "ts_ns": (T_US + 456) * 1_000 + 789,
    "snapshot": "false",
    "db": "shop",
    "sequence": '["24023119","24023128"]',
    "schema": "public",
    "table": "product",
    "txId": 555,
    "lsn": 24_023_128,
    "xmin": None,
}
MYSQL = {
    "version": "2.4.0.Final",
    "connector": "mysql",
    "name": "shop",
    "ts_ms": T_MS,
    "snapshot": "false",
    "db": "shop",
    "table": "product",
    "server_id": 223344,
    "gtid": None,
    "file": "mysql-bin.000003",
    "pos": 484,
    "row": 0,
    "thread": 7,
}
LOGGED = (24_023_119 // 8, 24_023_128)
LSN_ALONE = (24_023_128 // 8, 24_023_125)
GONE = (LOGGED[0], LOGGED[1] - 1)
GONE_ALONE = (LSN_ALONE[0], LSN_ALONE[1] - 1)
ROW = {"id": 42, "name": "Tea towel, white", "price": "72.12"}
CANAL = {
    "data": [{"id": "111", "name": "scooter", "weight": "5.18"}, {"id": "112", "name": None, "weight": "0.5"}],
    "database": "inventory",
    "es": 1_589_373_560_000,
    "id": 9,
    "isDdl": False,
    "mysqlType": {"id": "INTEGER", "name": "VARCHAR(255)", "weight": "FLOAT"},
    "old": [{"weight": "5.15"}, {"name": "bell"}],
    "pkNames": ["id"],
    "sql": "",
    "sqlType": {"id": 4, "name": 12, "weight": 7},
    "table": "products",
    "ts": 1_589_373_560_798,
    "type": "UPDATE",
}
MAXWELL = {
    "database": "test",
    "table": "product",
    "type": "update",
    "ts": 1_449_786_341,
    "xid": 940_786,
    "commit": True,
    "position": "master.000006:800911",
    "data": ROW,
    "old": {"price": "70.00"},
}
EVENT_HEADERS = {
    "ce_specversion": "1.0",
    "ce_type": "com.example.product.changed.v1",
    "ce_source": "/shop",
    "ce_id": "A234-1234-1234",
    "ce_subject": "42",
    "ce_time": "2025-11-22T08:26:40.123456Z",
    "content-type": "application/json; charset=utf-8",
}
EVENT = {
    "specversion": "1.0",
    "type": "com.example.product.changed.v1",
    "source": "/shop",
    "id": "A234-1234-1234",
    "subject": "42",
    "time": "2025-11-22T08:26:40.123456Z",
    "datacontenttype": "application/json",
    "data": ROW,
}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=UTF-8"}


def text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def record(value: object, key: object = None, headers: dict[str, str] | None = None) -> Record:
    return Record(
        None if key is None else key if isinstance(key, bytes) else text(key),
        None if value is None else value if isinstance(value, bytes) else text(value),
        [(name, content.encode()) for name, content in (headers or {}).items()],
        OFFSET,
        T_MS + 5,
    )


def updates(format_: str, given: Record, *, id_field: str = "id", notices: bool = False) -> list[Update]:
    return decode(given, Rules(format=format_, id_field=id_field, notices=notices))


def reason(format_: str, given: Record, *, id_field: str = "id") -> str:
    with pytest.raises(InvalidUpdateError) as raised:
        updates(format_, given, id_field=id_field)
    assert str(raised.value).isprintable()
    return str(raised.value)


def update(entity_id: str, time_us: int, sequence: int, data: object) -> Update:
    return Update(entity_id=entity_id, version=Version(time_us, sequence), data=text(data))


def deletion(entity_id: str, time_us: int, sequence: int) -> Update:
    return Update(entity_id=entity_id, version=Version(time_us, sequence), data=None, deleted=True)


def at(position: Position, entity_id: str, time_us: int, data: object = None) -> Update:
    """An update, or without data a deletion, by its source's position."""
    version = Version.at(position, 0)
    state = None if data is None else text(data)
    return Update(entity_id=entity_id, version=version, data=state, deleted=data is None, time_us=time_us)


def debezium(op: str, *, source: dict[str, Any] | None = POSTGRES, **parts: object) -> dict[str, object]:
    return {"before": None, "after": None, "source": source, "op": op, "ts_ms": T_MS + 900, **parts}


def enveloped(payload: object) -> dict[str, object]:
    return {"schema": {"type": "struct", "fields": [], "optional": False, "name": "shop.Envelope"}, "payload": payload}


@pytest.mark.parametrize("envelope", [lambda payload: payload, enveloped], ids=["bare", "with its schema"])
class TestDebezium:
    @pytest.mark.parametrize("op", ["c", "u", "r"])
    def test_a_row(self, op: str, envelope: Envelope) -> None:
        event = envelope(debezium(op, after=ROW))
        position = (LOGGED[0], 0) if op == "r" else LOGGED
        assert updates("debezium", record(event, envelope({"id": 42}))) == [at(position, "42", T_US + 456, ROW)]

    def test_a_deletion_and_the_null_that_follows_it(self, envelope: Envelope) -> None:
        gone = at(GONE, "42", T_US + 456)
        event = envelope(debezium("d", before={"id": 42, "name": None, "price": None}))
        assert updates("debezium", record(event, envelope({"id": 42}))) == [gone]
        assert updates("debezium", record(event)) == [gone]
        for key in (envelope({"id": 42}), 42, "42", b"42"):
            assert updates("debezium", record(envelope(debezium("d")), key)) == [gone]
        assert "no column 'id'" in reason("debezium", record(envelope(debezium("d")), b"\xff"))
        assert updates("debezium", record(None, envelope({"id": 42}))) == []
        assert updates("debezium", record(enveloped(None), envelope({"id": 42}))) == []

    def test_mysqls_position_does_not_always_grow_and_the_offset_stands_in(self, envelope: Envelope) -> None:
        event = envelope(debezium("u", before=ROW, after=ROW, source=MYSQL))
        assert updates("debezium", record(event)) == [at(OFFSET, "42", T_US, ROW)]

    def test_a_row_that_has_another_id_now_is_gone_under_the_old_one(self, envelope: Envelope) -> None:
        event = envelope(debezium("u", before={"sku": "old"}, after={"sku": "new"}))
        assert updates("debezium", record(event), id_field="sku") == [
            at(GONE, "old", T_US + 456),
            at(LOGGED, "new", T_US + 456, {"sku": "new"}),
        ]

    def test_a_row_of_which_a_part_is_left_out_is_no_state(self, envelope: Envelope) -> None:
        row = ROW | {"description": "__debezium_unavailable_value"}
        assert "REPLICA IDENTITY FULL" in reason("debezium", record(envelope(debezium("u", after=row))))
        assert "REPLICA IDENTITY FULL" in reason("debezium-unwrapped", record(envelope(row | {"__source_ts_ms": T_MS})))

    def test_another_column_is_the_entity_id(self, envelope: Envelope) -> None:
        event = envelope(debezium("c", after={"sku": "é/1", "id": 1}))
        assert updates("debezium", record(event), id_field="sku")[0].entity_id == "é/1"
        assert "the row has no column 'nr'" in reason("debezium", record(event), id_field="nr")

    def test_what_names_no_product(self, envelope: Envelope) -> None:
        assert updates("debezium", record(envelope(debezium("m")))) == []
        assert "a truncate (op t) names no product" in reason("debezium", record(envelope(debezium("t"))))
        assert "op is 'x'" in reason("debezium", record(envelope(debezium("x"))))
        assert "is it flattened" in reason("debezium", record(envelope(ROW)))
        assert "source is missing" in reason("debezium", record(envelope(debezium("c", after=ROW, source=None))))
        assert "no column 'id'" in reason("debezium", record(envelope(debezium("d"))))

    def test_flattened(self, envelope: Envelope) -> None:
        row = ROW | {"__op": "u", "__source_ts_ms": T_MS, "__source_lsn": 24_023_128, "__deleted": "false"}
        [found] = updates("debezium-unwrapped", record(envelope(row)))
        assert found == at(LSN_ALONE, "42", T_US, ROW)
        [found] = updates("debezium-unwrapped", record(envelope(row | {"__deleted": "true"})))
        assert found == at(GONE_ALONE, "42", T_US)

    def test_flattened_without_a_position(self, envelope: Envelope) -> None:
        row = ROW | {"__source_ts_us": T_US + 456}
        assert updates("debezium-unwrapped", record(envelope(row))) == [at(OFFSET, "42", T_US + 456, ROW)]
        assert updates("debezium-unwrapped", record(envelope(ROW))) == [at(OFFSET, "42", T_US + 5_000, ROW)]

    def test_flattened_to_nothing(self, envelope: Envelope) -> None:
        key = envelope({"id": 42})
        told = {"__source_ts_ms": str(T_MS), "__lsn": "24023128"}
        assert updates("debezium-unwrapped", record(None, key, told)) == [at(GONE_ALONE, "42", T_US)]
        for null in (b"null", text(enveloped(None))):
            assert updates("debezium-unwrapped", record(null, key, told)) == [at(GONE_ALONE, "42", T_US)]
        assert "mode=rewrite" in reason("debezium-unwrapped", record(None, key))
        assert "mode=rewrite" in reason("debezium-unwrapped", record(None, key, {"__source_ts_ms": str(T_MS)}))
        mysql = {"__source_ts_ms": str(T_MS), "__connector": "mysql"}
        assert updates("debezium-unwrapped", record(None, key, mysql)) == [at(OFFSET, "42", T_US)]
        assert "the key has no 'id'" in reason("debezium-unwrapped", record(None, None, told))


def by_source(source: dict[str, Any], op: str = "u") -> Version:
    [found] = updates("debezium", record(debezium(op, source=POSTGRES | source, after=ROW)))
    return found.version


class TestDebeziumsOrder:
    """A position in the source's log where there is one that grows, else in the partition; never a clock."""

    def test_a_row_that_was_read_has_the_position_up_to_which_the_log_was_read(self) -> None:
        read = {"snapshot": "incremental", "lsn": None, "sequence": '["157228616","157228617"]', "ts_us": T_US * 2}
        assert by_source(read, "r") == Version.at((157_228_616 // 8, 0), 0)
        assert by_source(read | {"sequence": ["157228616", "157228617"]}, "r") == Version.at((157_228_616 // 8, 0), 0)
        assert by_source({"snapshot": "true", "sequence": '[null,"34203232"]', "lsn": 34_203_232}, "r") == Version.at(
            (34_203_232 // 8, 34_203_227), 0
        )

    @pytest.mark.parametrize("sequence", [None, "[]", '["1"]', '["1",null]', '["1","x"]', '["1","-2"]'])
    def test_without_any_position_of_the_log_nothing_tells_the_order(self, sequence: str | None) -> None:
        given = debezium("r", source=POSTGRES | {"lsn": None, "sequence": sequence}, after=ROW)
        assert "neither an lsn nor a sequence" in reason("debezium", record(given))
        flattened = ROW | {"__source_lsn": None} | ({} if sequence is None else {"__source_sequence": sequence})
        assert "add.fields=op,source.lsn,source.sequence" in reason("debezium-unwrapped", record(flattened))

    @pytest.mark.parametrize("sequence", ["x", "{}", "[1.5]"])
    def test_a_sequence_that_cannot_be_read_is_not_passed_over(self, sequence: str) -> None:
        given = debezium("u", source=POSTGRES | {"sequence": sequence}, after=ROW)
        assert "source.sequence is not JSON of two numbers" in reason("debezium", record(given))

    @pytest.mark.parametrize("sequence", ["[24023119,24023128]", [24_023_119, "24023128"]])
    def test_a_sequence_of_numbers(self, sequence: object) -> None:
        assert by_source({"sequence": sequence}) == Version.at(LOGGED, 0)

    def test_a_blocking_snapshots_row_has_an_lsn_and_comes_right_after_the_commit_all_the_same(self) -> None:
        read = by_source({"sequence": '["900000","1000000"]', "lsn": 1_000_000}, "r")
        assert read == Version.at((900_000 // 8, 0), 0) < by_source({"sequence": '["900000","950000"]', "lsn": 950_000})
        flattened = ROW | {"__lsn": 1_000_000, "__sequence": '["900000","1000000"]'}
        for told in ({"__op": "r"}, {"__source_snapshot": "true"}, {"__snapshot": "last"}):
            assert updates("debezium-unwrapped", record(flattened | told))[0].version == read
        for other in ({"__op": "u"}, {"__source_snapshot": "false"}, {"__snapshot": False}):
            assert updates("debezium-unwrapped", record(flattened | other))[0].version > read

    @pytest.mark.parametrize("ts_ms", [5, -62_135_596_800_000, 1_763_800_000, 2**60])
    def test_a_time_that_is_none_is_no_reason_to_refuse_what_it_does_not_order(self, ts_ms: int) -> None:
        [found] = updates("debezium", record(debezium("u", source=MYSQL | {"ts_ms": ts_ms}, after=ROW)))
        assert found == at(OFFSET, "42", T_US + 5_000, ROW)
        assert updates("canal", record(CANAL | {"es": ts_ms}))[0].updated_at_us == T_US + 5_000

    def test_a_transaction_that_was_open_while_a_row_was_read_has_changes_from_before(self) -> None:
        """It began at 100, the row was read at 300, and then it was committed: the row is without it."""
        read = by_source({"snapshot": "incremental", "lsn": None, "sequence": '["240","304"]'}, "r")
        changed = by_source({"lsn": 100, "sequence": '["320","100"]'})
        at_once = by_source({"lsn": 100, "sequence": '["240","100"]'})
        committed_before = by_source({"lsn": 200, "sequence": '["160","200"]'})
        assert committed_before < read < at_once < changed

    @pytest.mark.parametrize("connector", ["mysql", "mariadb", "oracle", "sqlserver", "db2", "vitess", "another"])
    def test_where_no_number_grows_the_partition_has_the_order(self, connector: str) -> None:
        assert by_source({"connector": connector}) == Version.at(OFFSET, 0)

    def test_a_position_that_is_no_number_is_no_order(self) -> None:
        assert by_source({"lsn": "1:4::0:0"}) == Version.at(OFFSET, 0)
        assert by_source({"connector": "yugabytedb", "lsn": "1:4::0:0"}) == Version.at(OFFSET, 0)

    def test_a_time_that_is_not_told_is_another_one_and_orders_nothing(self) -> None:
        untold = {"ts_ms": 0, "ts_us": 0, "ts_ns": 0}
        [found] = updates("debezium", record(debezium("r", source=MYSQL | untold, after=ROW)))
        assert found == at(OFFSET, "42", (T_MS + 900) * 1_000, ROW)

    def test_the_future_is_no_matter(self) -> None:
        assert by_source({"ts_us": 4 * T_US, "ts_ns": None}) == Version.at(LOGGED, 0)

    def test_a_generation_is_above_every_position_of_the_one_before_and_a_position_above_every_time(self) -> None:
        given = record(debezium("u", after=ROW))
        since = T_MS + 5
        [raised] = decode(given, Rules(format="debezium", anew_ms=(since - 9, since, since + 1)))
        assert raised.version == Version.at(LOGGED, 2)
        assert raised.version.generation == 2
        assert raised.version > Version.at((2**48 - 1, 2**53 - 1), 1) > Version(4_102_444_800_000_000, 2**53 - 1)
        [before] = decode(given, Rules(format="debezium", anew_ms=(since + 1,)))
        assert before.version == Version.at(LOGGED, 0), "of what lies on the topic from before"

    def test_a_replayed_record_keeps_its_position_and_generation(self) -> None:
        first = Version.at(12, 3)
        again = record(debezium("u", source=MYSQL, after=ROW))._replace(headers=[(VERSION_HEADER, str(first).encode())])
        assert [found.version for found in updates("debezium", again)] == [first]
        of_before = again._replace(headers=[(VERSION_HEADER, b"1763800000123000-12")])
        assert [found.version for found in updates("debezium", of_before)] == [Version(1_763_800_000_123_000, 12)]

    def test_what_the_flattening_adds_as_headers_of_any_converter(self) -> None:
        for lsn in ("24023128", '"24023128"', '{"schema":{"type":"int64","optional":true},"payload":24023128}'):
            gone = record(None, {"id": 42}, {"__source_ts_ms": str(T_MS), "__source_lsn": lsn})
            assert updates("debezium-unwrapped", gone) == [at(GONE_ALONE, "42", T_US)]

    def test_the_connectors_own_time_is_not_the_databases(self) -> None:
        row = ROW | {"__ts_ms": T_MS * 2, "__source_ts_ms": T_MS, "__lsn": 5, "__table": "product"}
        assert updates("debezium-unwrapped", record(row)) == [at((0, 2), "42", T_US, ROW)]


RACES = [json.loads(line) for line in (Path(__file__).parent / "debezium_races.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("entity_id", "last"), [("572", 1), ("570", None), ("2046", 4)])
def test_what_a_real_snapshot_read_beside_writers_never_beats_a_later_change(entity_id: str, last: int | None) -> None:
    """Written by Debezium 3.6.1 and PostgreSQL 15: by their times the rows that were read are the newest."""
    found = [
        update
        for one in RACES
        for update in updates(
            "debezium",
            Record(one["key"].encode(), one["value"] and one["value"].encode(), [], one["offset"], None),
        )
        if update.entity_id == entity_id
    ]
    assert len(found) > 1
    newest = max(found, key=lambda update: update.version)
    assert newest is found[-1]
    assert (None if newest.data is None else json.loads(newest.data)["n"]) == last


class TestCanal:
    time_us = CANAL["es"] * 1_000  # type: ignore[operator]

    @pytest.mark.parametrize("kind", ["INSERT", "UPDATE"])
    def test_many_rows_all_of_text(self, kind: str) -> None:
        assert updates("canal", record(CANAL | {"type": kind})) == [
            at(OFFSET, "111", self.time_us, CANAL["data"][0]),  # type: ignore[index]
            at(OFFSET, "112", self.time_us, CANAL["data"][1]),  # type: ignore[index]
        ]

    def test_deletions(self) -> None:
        assert updates("canal", record(CANAL | {"type": "DELETE", "old": None})) == [
            at(OFFSET, "111", self.time_us),
            at(OFFSET, "112", self.time_us),
        ]

    def test_of_a_row_that_has_another_id_now_nothing_tells_the_order_with_the_old_one(self) -> None:
        changed = CANAL | {"data": [{"id": "7", "name": "bell"}], "old": [{"id": "6"}]}
        assert "the row's id changed from '6' to '7'" in reason("canal", record(changed))

    @pytest.mark.parametrize(
        "message",
        [
            {"data": None, "isDdl": True, "type": "QUERY", "es": 1, "sql": "CREATE DATABASE shop"},
            {"data": None, "isDdl": True, "type": "ALTER", "es": 1, "sql": "ALTER TABLE product ADD x INT"},
            {"data": None, "isDdl": False, "type": "TIDB_WATERMARK", "es": 1, "_tidb": {"watermarkTs": 1}},
        ],
    )
    def test_what_has_no_rows(self, message: dict[str, object]) -> None:
        assert updates("canal", record(message)) == []

    def test_what_cannot_be_read(self) -> None:
        for kind in ("TRUNCATE", "ERASE"):
            assert f"{kind} of a table names no product" in reason("canal", record({"type": kind, "isDdl": True}))
        assert "UPDATE without a row" in reason("canal", record(CANAL | {"data": None}))
        assert "UPDATE without a row" in reason("canal", record(CANAL | {"data": []}))
        assert updates("canal", record(CANAL | {"es": None}))[0].updated_at_us == T_US + 5_000
        assert "null" in reason("canal", record(None))
        assert "no column 'sku'" in reason("canal", record(CANAL), id_field="sku")
        assert "does not keep the contract" in reason("canal", record(ROW))


class TestMaxwell:
    time_us = MAXWELL["ts"] * 1_000_000  # type: ignore[operator]

    @pytest.mark.parametrize("kind", ["insert", "update", "bootstrap-insert"])
    def test_a_row(self, kind: str) -> None:
        assert updates("maxwell", record(MAXWELL | {"type": kind})) == [at(OFFSET, "42", self.time_us, ROW)]

    def test_a_deletion(self) -> None:
        assert updates("maxwell", record(MAXWELL | {"type": "delete"})) == [at(OFFSET, "42", self.time_us)]

    def test_of_a_row_that_has_another_id_now_nothing_tells_the_order_with_the_old_one(self) -> None:
        assert "the row's id changed from 41 to 42" in reason("maxwell", record(MAXWELL | {"old": {"id": 41}}))
        both = {"tenant": 1, "id": 42}
        moved = record(MAXWELL | {"data": both, "old": {"tenant": 2}})
        assert "changed from '2,42' to '1,42'" in reason("maxwell", moved, id_field="tenant,id")

    @pytest.mark.parametrize("kind", ["bootstrap-start", "bootstrap-complete", "table-create", "database-drop"])
    def test_what_has_no_row(self, kind: str) -> None:
        assert updates("maxwell", record({"type": kind, "database": "test", "ts": 1_449_786_341})) == []

    def test_what_cannot_be_read(self) -> None:
        assert updates("maxwell", record(MAXWELL | {"ts": None})) == [at(OFFSET, "42", T_US + 5_000, ROW)]
        assert "no column 'id'" in reason("maxwell", record(MAXWELL | {"data": {"nr": 1}}))
        assert "null" in reason("maxwell", record(None))
        assert updates("maxwell", record(MAXWELL | {"ts": 1_449}))[0].updated_at_us == T_US + 5_000


class TestCloudEvents:
    time_us = T_US + 456

    def test_binary(self) -> None:
        assert updates("cloudevents", record(ROW, b"42", EVENT_HEADERS)) == [update("42", self.time_us, OFFSET, ROW)]
        numbered = EVENT_HEADERS | {"ce_sequence": "0000017"}
        assert updates("cloudevents", record(ROW, b"42", numbered)) == [update("42", self.time_us, 17, ROW)]

    def test_structured(self) -> None:
        assert updates("cloudevents", record(EVENT, None, STRUCTURED)) == [update("42", self.time_us, OFFSET, ROW)]
        numbered = EVENT | {"sequence": "17"}
        assert updates("cloudevents", record(numbered, None, STRUCTURED)) == [update("42", self.time_us, 17, ROW)]

    def test_data_in_base64(self) -> None:
        event = {name: value for name, value in EVENT.items() if name != "data"}
        encoded = event | {"data_base64": "eyJhIjoxfQ=="}
        assert updates("cloudevents", record(encoded, None, STRUCTURED))[0].data == b'{"a":1}'
        assert "not base64" in reason("cloudevents", record(event | {"data_base64": "?"}, None, STRUCTURED))
        assert "is not JSON" in reason("cloudevents", record(event | {"data_base64": "ew=="}, None, STRUCTURED))

    def test_deletions(self) -> None:
        gone = deletion("42", self.time_us, OFFSET)
        assert updates("cloudevents", record(None, None, EVENT_HEADERS)) == [gone]
        deleted = EVENT_HEADERS | {"ce_type": "com.example.product.deleted.v1"}
        assert updates("cloudevents", record(ROW, None, deleted)) == [gone]
        assert updates("cloudevents", record(EVENT | {"type": "product.Deleted"}, None, STRUCTURED)) == [gone]

    def test_a_notice(self) -> None:
        event = {name: value for name, value in EVENT.items() if name != "data"}
        [found] = updates("cloudevents", record(event, None, STRUCTURED), notices=True)
        assert found.is_notice
        assert not found.numbered
        assert "a loader is configured" in reason("cloudevents", record(event, None, STRUCTURED))
        [found] = updates("cloudevents", record(None, None, EVENT_HEADERS), notices=True)
        assert found.is_notice
        gone = EVENT_HEADERS | {"ce_type": "product.deleted"}
        assert updates("cloudevents", record(None, None, gone), notices=True) == [deletion("42", self.time_us, OFFSET)]

    def test_the_key_stands_in_for_a_subject(self) -> None:
        headers = {name: value for name, value in EVENT_HEADERS.items() if name != "ce_subject"}
        assert updates("cloudevents", record(ROW, b"7", headers))[0].entity_id == "7"
        assert "no subject" in reason("cloudevents", record(ROW, None, headers))
        assert "not UTF-8" in reason("cloudevents", record(ROW, b"\xff", headers))
        broken = Record(b"7", text(ROW), [("ce_specversion", b"1.0"), ("ce_subject", b"\xff")], OFFSET, None)
        assert "a header is not UTF-8" in reason("cloudevents", broken)

    def test_what_cannot_be_read(self) -> None:
        assert "neither a header ce_specversion" in reason("cloudevents", record(ROW, b"42"))
        assert "'text/xml'; wanted is JSON" in reason(
            "cloudevents", record(b"<a/>", b"42", EVENT_HEADERS | {"content-type": "text/xml"})
        )
        assert "no time" in reason("cloudevents", record(EVENT | {"time": None}, None, STRUCTURED))
        assert "is not JSON" in reason("cloudevents", record(b"{", b"42", EVENT_HEADERS))
        assert "sequence 'x'" in reason("cloudevents", record(ROW, None, EVENT_HEADERS | {"ce_sequence": "x"}))
        assert "structured mode" in reason("cloudevents", record(None, b"42", STRUCTURED))


def own(given: Record) -> Iterable[Change]:
    """A decoder as a user writes one: ``id;time;price`` in a line each."""
    for line in (given.value or b"").decode().splitlines():
        entity_id, time, price = line.split(";")
        yield Change(product_id=entity_id, updated_at=time, data={"price": price})


def careless(_: Record) -> list[object]:
    return [{"product_id": "42"}]


OWN = f"{__name__}:own"


def test_a_decoder_of_ones_own() -> None:
    lines = b"42;2025-11-22T08:26:40.123456Z;5\n43;2025-11-22T08:26:41Z;6"
    assert updates(OWN, record(lines)) == [
        update("42", T_US + 456, OFFSET, {"price": "5"}),
        update("43", T_US + 877_000, OFFSET, {"price": "6"}),
    ]
    assert entities_named(record(lines), Rules(format=OWN)) == {"42", "43"}


def test_what_a_decoder_of_ones_own_does_wrong() -> None:
    assert "not enough values to unpack" in reason(OWN, record(b"42"))
    assert f"the decoder {OWN} raised UnicodeDecodeError" in reason(OWN, record(b"\xff"))
    assert "it returned {'product_id': '42'}" in reason(f"{__name__}:careless", record(b""))
    assert "'yesterday' is not an RFC 3339 time" in reason(OWN, record(b"42;yesterday;1"))
    with pytest.raises(SettingsError, match="LASTWORD_FORMAT: given 'nowhere:decode'; it cannot be imported"):
        decoder_of(Rules(format="nowhere:decode"))


def test_a_replayed_record_counts_as_of_its_first_delivery() -> None:
    replayed = record(CANAL)._replace(headers=[(VERSION_HEADER, b"1589373560000000-12")])
    assert {found.version for found in updates("canal", replayed)} == {Version(1_589_373_560_000_000, 12)}
    placed = record(CANAL)._replace(headers=[(VERSION_HEADER, str(Version.at(12, 1)).encode())])
    assert {found.version for found in updates("canal", placed)} == {Version.at(12, 1)}
    broken = record(CANAL)._replace(headers=[(VERSION_HEADER, b"12")])
    assert VERSION_HEADER in reason("canal", broken)
    numbered = record(debezium("c", after=ROW))._replace(headers=[(VERSION_HEADER, b"1-12")])
    assert updates("debezium", numbered)[0].version == Version(1, 12), (
        "a letter of a release before is as old as it was"
    )


@pytest.mark.parametrize("format_", ["debezium", "debezium-unwrapped", "canal", "maxwell"])
@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"[]", b"5", b'"a"', b"null", b"[" * 100_000])
def test_what_is_no_object_is_invalid(format_: str, value: bytes) -> None:
    if (format_, value) == ("debezium", b"null"):
        assert updates(format_, record(value)) == [], "as a converter writes the null after a deletion"
        return
    assert reason(format_, record(value))
    assert entities_named(record(value), Rules(format=format_)) == frozenset()
