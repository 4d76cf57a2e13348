"""Golden records of each format: the updates in them, or why there are none."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from bridge.change import Change
from bridge.decoding import decode, decoder_of, products_named
from bridge.formats.record import Record
from tasks.contract import VERSION_HEADER, InvalidUpdateError, Rules, Update
from tasks.settings import SettingsError
from tasks.version import Version

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


def update(product_id: str, time_us: int, sequence: int, data: object) -> Update:
    return Update(product_id=product_id, version=Version(time_us, sequence), data=text(data))


def deletion(product_id: str, time_us: int, sequence: int) -> Update:
    return Update(product_id=product_id, version=Version(time_us, sequence), data=None, deleted=True)


def debezium(op: str, *, source: dict[str, Any] = POSTGRES, **parts: object) -> dict[str, object]:
    return {"before": None, "after": None, "source": source, "op": op, "ts_ms": T_MS + 900, **parts}


def enveloped(payload: object) -> dict[str, object]:
    return {"schema": {"type": "struct", "fields": [], "optional": False, "name": "shop.Envelope"}, "payload": payload}


@pytest.mark.parametrize("envelope", [lambda payload: payload, enveloped], ids=["bare", "with its schema"])
class TestDebezium:
    @pytest.mark.parametrize("op", ["c", "u", "r"])
    def test_a_row(self, op: str, envelope: Envelope) -> None:
        event = envelope(debezium(op, after=ROW))
        assert updates("debezium", record(event, envelope({"id": 42}))) == [update("42", T_US + 456, 24_023_128, ROW)]

    def test_a_deletion_and_the_null_that_follows_it(self, envelope: Envelope) -> None:
        gone = deletion("42", T_US + 456, 24_023_128)
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
        assert updates("debezium", record(event)) == [update("42", T_US, OFFSET, ROW)]

    def test_a_row_that_has_another_id_now_is_gone_under_the_old_one(self, envelope: Envelope) -> None:
        event = envelope(debezium("u", before={"sku": "old"}, after={"sku": "new"}))
        assert updates("debezium", record(event), id_field="sku") == [
            deletion("old", T_US + 456, 24_023_128),
            update("new", T_US + 456, 24_023_128, {"sku": "new"}),
        ]

    def test_a_row_of_which_a_part_is_left_out_is_no_state(self, envelope: Envelope) -> None:
        row = ROW | {"description": "__debezium_unavailable_value"}
        assert "REPLICA IDENTITY FULL" in reason("debezium", record(envelope(debezium("u", after=row))))
        assert "REPLICA IDENTITY FULL" in reason("debezium-unwrapped", record(envelope(row | {"__source_ts_ms": T_MS})))

    def test_another_column_is_the_product_id(self, envelope: Envelope) -> None:
        event = envelope(debezium("c", after={"sku": "é/1", "id": 1}))
        assert updates("debezium", record(event), id_field="sku")[0].product_id == "é/1"
        assert "the row has no column 'nr'" in reason("debezium", record(event), id_field="nr")

    def test_what_names_no_product(self, envelope: Envelope) -> None:
        assert updates("debezium", record(envelope(debezium("m")))) == []
        assert "a truncate (op t) names no product" in reason("debezium", record(envelope(debezium("t"))))
        assert "op is 'x'" in reason("debezium", record(envelope(debezium("x"))))
        assert "is it flattened" in reason("debezium", record(envelope(ROW)))
        assert "neither ts_ns, ts_us nor ts_ms" in reason(
            "debezium", record(envelope(debezium("c", after=ROW, source={})))
        )
        assert "no column 'id'" in reason("debezium", record(envelope(debezium("d"))))

    def test_flattened(self, envelope: Envelope) -> None:
        row = ROW | {"__op": "u", "__source_ts_ms": T_MS, "__source_lsn": 24_023_128, "__deleted": "false"}
        [found] = updates("debezium-unwrapped", record(envelope(row)))
        assert found == update("42", T_US, 24_023_128, ROW)
        [found] = updates("debezium-unwrapped", record(envelope(row | {"__deleted": "true"})))
        assert found == deletion("42", T_US, 24_023_128)

    def test_flattened_without_a_position(self, envelope: Envelope) -> None:
        row = ROW | {"__source_ts_us": T_US + 456}
        assert updates("debezium-unwrapped", record(envelope(row))) == [update("42", T_US + 456, OFFSET, ROW)]
        assert "set add.fields=source.ts_ms" in reason("debezium-unwrapped", record(envelope(ROW)))

    def test_flattened_to_nothing(self, envelope: Envelope) -> None:
        key = envelope({"id": 42})
        told = {"__source_ts_ms": str(T_MS), "__lsn": "24023128"}
        assert updates("debezium-unwrapped", record(None, key, told)) == [deletion("42", T_US, 24_023_128)]
        for null in (b"null", text(enveloped(None))):
            assert updates("debezium-unwrapped", record(null, key, told)) == [deletion("42", T_US, 24_023_128)]
        assert "mode=rewrite" in reason("debezium-unwrapped", record(None, key))
        assert "the key has no 'id'" in reason("debezium-unwrapped", record(None, None, told))


class TestCanal:
    time_us = CANAL["es"] * 1_000  # type: ignore[operator]

    @pytest.mark.parametrize("kind", ["INSERT", "UPDATE"])
    def test_many_rows_all_of_text(self, kind: str) -> None:
        assert updates("canal", record(CANAL | {"type": kind})) == [
            update("111", self.time_us, OFFSET, CANAL["data"][0]),  # type: ignore[index]
            update("112", self.time_us, OFFSET, CANAL["data"][1]),  # type: ignore[index]
        ]

    def test_deletions(self) -> None:
        assert updates("canal", record(CANAL | {"type": "DELETE", "old": None})) == [
            deletion("111", self.time_us, OFFSET),
            deletion("112", self.time_us, OFFSET),
        ]

    def test_a_row_that_has_another_id_now_is_gone_under_the_old_one(self) -> None:
        changed = CANAL | {"data": [{"id": "7", "name": "bell"}], "old": [{"id": "6"}]}
        assert updates("canal", record(changed)) == [
            deletion("6", self.time_us, OFFSET),
            update("7", self.time_us, OFFSET, {"id": "7", "name": "bell"}),
        ]

    @pytest.mark.parametrize(
        "message",
        [
            {"data": None, "isDdl": True, "type": "QUERY", "es": 1, "sql": "CREATE DATABASE shop"},
            {"data": None, "isDdl": True, "type": "ALTER", "es": 1, "sql": "ALTER TABLE product ADD x INT"},
            CANAL | {"data": None},
        ],
    )
    def test_what_has_no_rows(self, message: dict[str, object]) -> None:
        assert updates("canal", record(message)) == []

    def test_what_cannot_be_read(self) -> None:
        assert "a TRUNCATE names no product" in reason("canal", record({"type": "TRUNCATE", "isDdl": True}))
        assert "es, the time" in reason("canal", record(CANAL | {"es": None}))
        assert "null" in reason("canal", record(None))
        assert "no column 'sku'" in reason("canal", record(CANAL), id_field="sku")
        assert "does not keep the contract" in reason("canal", record(ROW))


class TestMaxwell:
    time_us = MAXWELL["ts"] * 1_000_000  # type: ignore[operator]

    @pytest.mark.parametrize("kind", ["insert", "update", "bootstrap-insert"])
    def test_a_row(self, kind: str) -> None:
        assert updates("maxwell", record(MAXWELL | {"type": kind})) == [update("42", self.time_us, OFFSET, ROW)]

    def test_a_deletion(self) -> None:
        assert updates("maxwell", record(MAXWELL | {"type": "delete"})) == [deletion("42", self.time_us, OFFSET)]

    def test_a_row_that_has_another_id_now_is_gone_under_the_old_one(self) -> None:
        found = updates("maxwell", record(MAXWELL | {"old": {"id": 41}}))
        assert found == [deletion("41", self.time_us, OFFSET), update("42", self.time_us, OFFSET, ROW)]

    @pytest.mark.parametrize("kind", ["bootstrap-start", "bootstrap-complete", "table-create", "database-drop"])
    def test_what_has_no_row(self, kind: str) -> None:
        assert updates("maxwell", record({"type": kind, "database": "test", "ts": 1_449_786_341})) == []

    def test_what_cannot_be_read(self) -> None:
        assert "ts, the time" in reason("maxwell", record(MAXWELL | {"ts": None}))
        assert "no column 'id'" in reason("maxwell", record(MAXWELL | {"data": {"nr": 1}}))
        assert "null" in reason("maxwell", record(None))
        assert "too small: seconds?" in reason("maxwell", record(MAXWELL | {"ts": 1_449}))


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
        assert updates("cloudevents", record(ROW, b"7", headers))[0].product_id == "7"
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
        product_id, time, price = line.split(";")
        yield Change(product_id=product_id, updated_at=time, data={"price": price})


def careless(_: Record) -> list[object]:
    return [{"product_id": "42"}]


OWN = f"{__name__}:own"


def test_a_decoder_of_ones_own() -> None:
    lines = b"42;2025-11-22T08:26:40.123456Z;5\n43;2025-11-22T08:26:41Z;6"
    assert updates(OWN, record(lines)) == [
        update("42", T_US + 456, OFFSET, {"price": "5"}),
        update("43", T_US + 877_000, OFFSET, {"price": "6"}),
    ]
    assert products_named(record(lines), Rules(format=OWN)) == {"42", "43"}


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
    broken = record(CANAL)._replace(headers=[(VERSION_HEADER, b"12")])
    assert VERSION_HEADER in reason("canal", broken)
    numbered = record(debezium("c", after=ROW))._replace(headers=[(VERSION_HEADER, b"1-12")])
    assert updates("debezium", numbered)[0].version == Version(T_US + 456, 24_023_128)


@pytest.mark.parametrize("format_", ["debezium", "debezium-unwrapped", "canal", "maxwell"])
@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"[]", b"5", b'"a"', b"null", b"[" * 100_000])
def test_what_is_no_object_is_invalid(format_: str, value: bytes) -> None:
    if (format_, value) == ("debezium", b"null"):
        assert updates(format_, record(value)) == [], "as a converter writes the null after a deletion"
        return
    assert reason(format_, record(value))
    assert products_named(record(value), Rules(format=format_)) == frozenset()
