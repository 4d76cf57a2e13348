"""What other people's sources write: values that are not told, keys of several columns, records without a row."""

import base64
import json
import uuid
from typing import Any

import msgspec
import pytest

from lastword.contract.record import InvalidUpdateError, Rules, Update
from lastword.formats.decoding import decode, entities_named
from lastword.formats.record import Record
from tests.unit.lastword.formats.test_formats import (
    CANAL,
    EVENT_HEADERS,
    MAXWELL,
    MYSQL,
    POSTGRES,
    ROW,
    T_MS,
    debezium,
    enveloped,
    record,
)

PLACEHOLDER = "__debezium_unavailable_value"
NUMBERS = [*PLACEHOLDER.encode()]


def updates(given: Any, key: object = None, **rules: Any) -> list[Update]:  # noqa: ANN401
    return decode(record(given, key), Rules(**{"format": "debezium", **rules}))


def reason(given: Any, key: object = None, **rules: Any) -> str:  # noqa: ANN401
    with pytest.raises(InvalidUpdateError) as raised:
        updates(given, key, **rules)
    assert str(raised.value).isprintable()
    return str(raised.value)


def said_of(given: Record, format_: str) -> str:
    with pytest.raises(InvalidUpdateError) as raised:
        decode(given, Rules(format=format_))
    return str(raised.value)


def uuid_of(placeholder: str) -> str:
    return str(uuid.uuid3(type("Nothing", (), {"bytes": b""})(), placeholder))


def forms(placeholder: str) -> list[object]:
    """As PostgreSQL's connector writes it for each type and mode."""
    raw = placeholder.encode()
    base = base64.b64encode(raw).decode()
    return [
        placeholder,
        base,
        base64.urlsafe_b64encode(raw).decode(),
        raw.hex(),
        [*raw],
        [placeholder],
        [base],
        [None, placeholder],
        [uuid_of(placeholder)],
        {placeholder: placeholder},
        [[placeholder]],
        {"wkb": base, "srid": None},
        json.dumps({placeholder: placeholder}, separators=(",", ":"), ensure_ascii=False),
    ]


@pytest.mark.parametrize("place", ["envelope", "flattened", "with its schema"])
@pytest.mark.parametrize("placeholder", [PLACEHOLDER, "?~ÿ>", 'a "quoted" one'])
def test_a_value_that_was_not_sent_is_never_served(placeholder: str, place: str) -> None:
    for form in forms(placeholder):
        row = ROW | {"image": form}
        given: object = debezium("u", after=row)
        format_ = "debezium"
        if place == "flattened":
            given, format_ = row | {"__lsn": 5, "__deleted": "false"}, "debezium-unwrapped"
        if place == "with its schema":
            given = enveloped(given)
        told = {"format": format_, "placeholder": placeholder}
        said = reason(given, **told)
        assert said.startswith("'image' did not change and is left out"), form
        assert "ReselectColumnsPostProcessor" in said
        assert "REPLICA IDENTITY FULL" in said
        [notice] = updates(given, notices=True, **told)
        assert notice.is_notice
        assert notice.version.is_position


def test_the_default_placeholder_is_known_where_another_is_set() -> None:
    row = ROW | {"image": PLACEHOLDER, "name": "N/A"}
    assert reason(debezium("u", after=row), placeholder="N/A").startswith(
        ("'image', 'name' did", "'name', 'image' did")
    )


def test_a_placeholder_of_bytes() -> None:
    row = ROW | {"image": base64.b64encode(b"\x00\xff").decode(), "sizes": [0, -1]}
    assert "'image', 'sizes'" in reason(debezium("u", after=row), placeholder="hex:00ff")


@pytest.mark.parametrize(
    "value",
    [f"see {PLACEHOLDER}", f"{PLACEHOLDER}s", [1, *NUMBERS], {PLACEHOLDER: 1}, {"a": f"{PLACEHOLDER}s"}, "", None],
)
def test_a_value_that_only_has_the_placeholder_in_it_is_a_value(value: object) -> None:
    [found] = updates(debezium("u", after=ROW | {"text": value}))
    assert found.data is not None
    assert msgspec.json.decode(found.data) == ROW | {"text": value}


@pytest.mark.parametrize("format_", ["maxwell", "canal", "debezium", "debezium-unwrapped"])
def test_a_row_without_a_column_that_it_must_have_is_not_whole(format_: str) -> None:
    row = {"id": 42, "price": "9"}
    given: dict[str, Any] = {
        "maxwell": MAXWELL | {"data": row, "old": {"price": "8"}},
        "canal": CANAL | {"data": [row], "old": None},
        "debezium": debezium("u", after=row),
        "debezium-unwrapped": row,
    }[format_]
    assert updates(given, format=format_)[0].data is not None
    assert updates(given, format=format_, columns=("id", "price"))[0].data is not None
    said = reason(given, format=format_, columns=("id", "price", "name"))
    assert "'name' did not change" in said
    assert "binlog_row_image=FULL" in said
    [notice] = updates(given, format=format_, columns=("id", "price", "name"), notices=True)
    assert notice.is_notice
    gone: dict[str, Any] = {
        "maxwell": {"type": "delete"},
        "canal": {"type": "DELETE"},
        "debezium": {"op": "d", "before": row},
    }
    if format_ in gone:
        [found] = updates(given | gone[format_], format=format_, columns=("name",))
        assert found.deleted


COMPOSITE = {"tenant": 1, "id": 5, "v": 1}


@pytest.mark.parametrize("format_", ["maxwell", "canal", "debezium", "debezium-unwrapped"])
def test_a_key_of_several_columns(format_: str) -> None:
    def given(row: dict[str, Any], *, gone: bool) -> object:
        keys = ["tenant", "id"]
        return {
            "maxwell": MAXWELL | {"data": row, "old": None, "type": "delete" if gone else "insert"},
            "canal": CANAL | {"data": [row], "old": None, "type": "DELETE" if gone else "INSERT", "pkNames": keys},
            "debezium": debezium("d", before=row) if gone else debezium("c", after=row),
            "debezium-unwrapped": row | {"__deleted": "true" if gone else "false"},
        }[format_]

    key = {"tenant": 1, "id": 5}
    told = {"format": format_, "id_field": "tenant,id"}
    for gone in (False, True):
        [found] = updates(given(COMPOSITE, gone=gone), key, **told)
        assert (found.entity_id, found.deleted) == ("1,5", gone)
    named = [
        updates(given({"tenant": tenant, "id": id_, "v": 1}, gone=False), None, **told)[0].entity_id
        for tenant, id_ in [("a,b", "c"), ("a", "b,c"), ("a%2Cb", "c"), ("a", "b"), (1, "5%")]
    ]
    assert named == ["a%2Cb,c", "a,b%2Cc", "a%252Cb,c", "a,b", "1,5%25"]
    assert len(set(named)) == len(named)
    missing = given({"tenant": 1, "v": 1}, gone=False)
    assert "the row has no column 'id'" in reason(missing, None, **told)


@pytest.mark.parametrize("gone", [False, True])
def test_a_part_of_the_tables_key_is_no_id(gone: bool) -> None:  # noqa: FBT001
    key = {"tenant": 1, "id": 5}
    event = debezium("d", before=COMPOSITE) if gone else debezium("c", after=COMPOSITE)
    for form in (key, enveloped(key)):
        assert "set LASTWORD_ID_FIELD=tenant,id" in reason(event, form)
    flattened = COMPOSITE | {"__deleted": str(gone).lower()}
    assert "set LASTWORD_ID_FIELD=tenant,id" in reason(flattened, key, format="debezium-unwrapped")
    assert "set LASTWORD_ID_FIELD=tenant,id" in reason(
        CANAL | {"data": [COMPOSITE], "old": None, "pkNames": ["tenant", "id"]}, format="canal"
    )
    assert "set LASTWORD_ID_FIELD=tenant,id" in reason(
        MAXWELL | {"data": COMPOSITE, "old": None, "primary_key_columns": ["tenant", "id"]}, format="maxwell"
    )


def test_another_unique_column_than_the_key_goes_on_to_be_an_id() -> None:
    row = {"id": 1, "tenant": 2, "sku": "a"}
    for key in ({"id": 1}, {"id": 1, "tenant": 2}):
        assert updates(debezium("c", after=row), key, id_field="sku")[0].entity_id == "a"
        assert updates(debezium("d", before=row), key, id_field="sku")[0].entity_id == "a"


class TestAbsentIsNotNullIsNotZero:
    @pytest.mark.parametrize("untold", [None, 0, ""])
    def test_an_update_that_does_not_tell_what_its_id_was(self, untold: object) -> None:
        event = debezium("u", before={"id": untold, "sku": "old"}, after=ROW)
        for key in ({"id": 42}, None):
            [found] = updates(event, key)
            assert (found.entity_id, found.deleted) == ("42", False)

    def test_where_the_key_has_the_id_it_has_not_changed(self) -> None:
        event = debezium("u", before={"id": 41}, after=ROW)
        assert [found.entity_id for found in updates(event, {"id": 42})] == ["42"]
        assert [found.entity_id for found in updates(event, {"nr": 1})] == ["41", "42"]

    @pytest.mark.parametrize("before", [{"id": None}, {"id": 0}, {"id": ""}, {"id": 7}, {}, None])
    def test_a_deletions_id_is_the_keys(self, before: object) -> None:
        [found] = updates(debezium("d", before=before), {"id": 42})
        assert (found.entity_id, found.deleted) == ("42", True)

    @pytest.mark.parametrize("untold", [None, 0, "", "0", "0.00", 0.0, False])
    def test_a_deletion_that_tells_no_id_at_all(self, untold: object) -> None:
        flattened = {"id": 1, "sku": untold, "__deleted": "true", "__lsn": 1}
        assert "REPLICA IDENTITY FULL" in reason(flattened, {"id": 1}, id_field="sku", format="debezium-unwrapped")
        assert "REPLICA IDENTITY FULL" in reason(
            debezium("d", before={"sku": untold, "id": 1}), {"id": 1}, id_field="sku"
        )

    def test_of_a_row_that_only_tells_its_key_nothing_else_is_believed(self) -> None:
        untold = {"id": 5, "sku": "unset", "name": None, "price": "0.00"}
        assert "REPLICA IDENTITY FULL" in reason(debezium("d", before=untold), {"id": 5}, id_field="sku")
        changed = debezium("u", before=untold, after=untold | {"sku": "a"})
        assert "REPLICA IDENTITY FULL" in reason(changed, {"id": 5}, id_field="sku")
        asked, found = updates(changed, {"id": 5}, id_field="sku", notices=True)
        assert (asked.entity_id, asked.is_notice, found.entity_id, found.is_notice) == ("unset", True, "a", False)
        [asked] = updates(debezium("d", before=untold), {"id": 5}, id_field="sku", notices=True)
        assert (asked.entity_id, asked.is_notice) == ("unset", True)
        told = untold | {"name": "Mug"}
        assert updates(debezium("d", before=told), {"id": 5}, id_field="sku")[0].entity_id == "unset"
        half = {"tenant": 1, "uid": 9, "id": 0, "name": "Mug"}
        key = {"tenant": 1, "uid": 9}
        assert "REPLICA IDENTITY FULL" in reason(debezium("d", before=half), key, id_field="tenant,id")

    def test_where_rows_are_always_whole_zero_is_a_zero(self) -> None:
        [found] = updates(debezium("d", before={"id": 0}, source=MYSQL))
        assert (found.entity_id, found.deleted) == ("0", True)
        former, now = updates(debezium("u", before={"id": 0}, after={"id": 1}, source=MYSQL))
        assert (former.entity_id, former.deleted, now.entity_id) == ("0", True, "1")

    def test_null_is_no_id(self) -> None:
        assert "the row has no value in column 'id'" in reason(debezium("c", after={"id": None}))


def test_only_what_the_flattening_adds_goes() -> None:
    row = {"id": 42, "__v": 3, "__typename": "P"}
    added = {
        "__source_ts_ms": T_MS,
        "__deleted": "false",
        "__op": "u",
        "__table": "t",
        "__lsn": 1,
        "__source_name": "s",
    }
    [found] = updates(row | added, format="debezium-unwrapped")
    assert found.data is not None
    assert msgspec.json.decode(found.data) == row
    prefixed = {"_op": "u", "_source_ts_ms": T_MS, "_lsn": 1, "_deleted": "false"}
    [found] = updates(row | prefixed | {"__op": "mine"}, format="debezium-unwrapped", added_prefix="_")
    assert found.data is not None
    assert msgspec.json.decode(found.data) == row | {"__op": "mine"}


def test_ids_that_are_not_plain() -> None:
    decimal = {"scale": 0, "value": "AeJA"}
    said = reason(debezium("c", after={"id": decimal}), {"id": decimal})
    assert "decimal.handling.mode=string" in said
    assert "neither text nor an integer" in reason(debezium("c", after={"id": 1.5}))
    assert "neither text nor an integer" in reason(debezium("c", after={"id": True}))


def test_an_id_that_the_schema_calls_a_decimal_is_not_the_text_that_stands_for_its_bytes() -> None:
    column = {"type": "bytes", "optional": False, "name": "org.apache.kafka.connect.data.Decimal", "field": "id"}
    price = column | {"field": "price"}
    for format_, schema, payload in (
        ("debezium", {"type": "struct", "fields": [{"type": "struct", "fields": [column], "field": "after"}]}, "c"),
        ("debezium-unwrapped", {"type": "struct", "fields": [{"type": "int32", "field": "x"}, column]}, ""),
    ):
        row = {"id": "AeJA", "price": "AeJA"}
        given = {"schema": schema, "payload": debezium("c", after=row) if payload else row}
        assert "decimal.handling.mode=string" in reason(given, format=format_)
        other = json.loads(json.dumps(given).replace(json.dumps(column), json.dumps(price)))
        assert updates(other, format=format_)[0].entity_id == "AeJA"
        key = {"schema": {"type": "struct", "fields": [column]}, "payload": {"id": "AeJA"}}
        for value in (given["payload"], None) if format_ == "debezium-unwrapped" else (given["payload"],):
            assert "decimal.handling.mode=string" in said_of(record(value, key, {"__lsn": "1"}), format_)


def test_an_id_that_the_schema_calls_bits_is_not_the_text_that_stands_for_its_bytes() -> None:
    column = {"type": "bytes", "optional": False, "name": "io.debezium.data.Bits", "field": "id"}
    row = {"id": "BQ==", "flags": "BQ=="}
    schema = {"type": "struct", "fields": [{"type": "struct", "fields": [column], "field": "after"}]}
    assert "take another column" in reason({"schema": schema, "payload": debezium("c", after=row)})
    assert "take another column" in reason(
        {"schema": {"fields": [column]}, "payload": row}, format="debezium-unwrapped"
    )
    flags = json.loads(json.dumps(schema).replace('"id"', '"flags"'))
    assert updates({"schema": flags, "payload": debezium("c", after=row)})[0].entity_id == "BQ=="


def in_cloudevents(op: str, before: object, after: object, **attributes: object) -> dict[str, object]:
    """What Debezium 3.6.1 has written, but for attributes that say nothing here."""
    event = {
        "id": "name:shop;lsn:26386832;txId:792",
        "source": "/debezium/postgresql/shop",
        "specversion": "1.0",
        "type": "io.debezium.connector.postgresql.DataChangeEvent",
        "time": "2026-11-30T07:02:15.228Z",
        "datacontenttype": "application/json",
        "iodebeziumop": op,
        "iodebeziumconnector": "postgresql",
        "iodebeziumtsms": "1796022135228",
        "iodebeziumsnapshot": "false",
        "iodebeziumsequence": '["26386824","26386832"]',
        "iodebeziumtsus": "1796022135228736",
        "iodebeziumtsns": "1796022135228736000",
        "iodebeziumlsn": "26386832",
        "iodebeziumtxid": None,
        "data": {"before": before, "after": after},
    }
    return event | attributes


def test_debeziums_events_in_the_envelope_of_cloudevents() -> None:
    row = {"id": 1, "n": 1}
    [changed] = updates(in_cloudevents("u", None, row), {"id": 1})
    [gone] = updates(in_cloudevents("d", row, None), {"id": 1})
    assert (changed.entity_id, changed.deleted, gone.entity_id, gone.deleted) == ("1", False, "1", True)
    assert gone.version == changed.version._replace(sequence=changed.version.sequence - 1)
    source = POSTGRES | {"lsn": 26_386_832, "sequence": '["26386824","26386832"]'}
    [plain] = updates(debezium("u", after=row, source=source), {"id": 1})
    assert changed.version == plain.version
    again = {"iodebeziumlsn": None, "iodebeziumsnapshot": "incremental"}
    [read] = updates(in_cloudevents("r", None, row, **again), {"id": 1})
    assert read.version < changed.version
    column = {"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "field": "id"}
    enveloped = {"schema": {"fields": [{"fields": [column]}]}, "payload": {"before": None, "after": {"id": "AQ=="}}}
    assert "decimal.handling.mode" in reason(in_cloudevents("u", None, None, data=enveloped))
    enveloped["schema"] = {"fields": []}
    assert updates(in_cloudevents("u", None, None, data=enveloped))[0].entity_id == "AQ=="


def test_an_event_of_debezium_in_the_envelope_of_cloudevents_that_cannot_be_read_says_what_to_set() -> None:
    event = in_cloudevents("u", None, {"id": 1})
    assert "iodebeziumtsms is 'soon'; a number is wanted" in reason(event | {"iodebeziumtsms": "soon"})
    assert "names no product" in reason(in_cloudevents("t", None, None))
    without = {name: value for name, value in event.items() if not name.startswith("iodebezium")}
    assert "extension.attributes.enable=true" in reason(without)
    for headers in ({}, {"content-type": "application/cloudevents+json"}):
        with pytest.raises(InvalidUpdateError, match="LASTWORD_FORMAT=debezium"):
            decode(record(event, {"id": 1}, headers), Rules(format="cloudevents"))


def test_headers_of_an_event_that_a_serializer_of_json_has_written() -> None:
    headers = {name: value if name == "content-type" else json.dumps(value) for name, value in EVENT_HEADERS.items()}
    headers["ce_sequence"] = '"00000000000000000017"'
    [found] = decode(record(ROW, None, headers), Rules(format="cloudevents"))
    assert (found.entity_id, found.version.sequence) == ("42", 17)
    with pytest.raises(InvalidUpdateError, match="not the JSON that it begins as"):
        decode(record(ROW, None, headers | {"ce_subject": '"42'}), Rules(format="cloudevents"))


@pytest.mark.parametrize(
    ("subject", "entity_id"),
    [
        ('"42"', "42"),
        ('{"schema": {"type": "string"}, "payload": "42"}', "42"),
        ('"42', '"42'),
        ("42", "42"),
        ('say "yes"', 'say "yes"'),
        ('{"payload": "42"}', '{"payload": "42"}'),
    ],
)
def test_one_header_alone_that_a_serializer_of_json_has_written(subject: str, entity_id: str) -> None:
    [found] = decode(record(ROW, None, EVENT_HEADERS | {"ce_subject": subject}), Rules(format="cloudevents"))
    assert found.entity_id == entity_id


@pytest.mark.parametrize(("padded", "sequence"), [("000", 0), ("0", 0), ("00000000000000000000000000000012", 12)])
def test_a_sequence_that_is_padded_with_zeros(padded: str, sequence: int) -> None:
    [found] = decode(record(ROW, None, EVENT_HEADERS | {"ce_sequence": padded}), Rules(format="cloudevents"))
    assert found.version.sequence == sequence


@pytest.mark.parametrize("format_", ["debezium", "debezium-unwrapped"])
def test_an_invalid_record_is_found_by_the_product_in_its_key(format_: str) -> None:
    row = ROW | {"image": PLACEHOLDER}
    value = debezium("u", after=row) if format_ == "debezium" else row
    for key in ({"id": 42}, enveloped({"id": 42}), 42):
        assert entities_named(record(value, key), Rules(format=format_)) == {"42"}
        assert entities_named(record(b"{", key), Rules(format=format_)) == {"42"}
    assert entities_named(record(value, None), Rules(format=format_)) == frozenset()
    assert entities_named(record(value, {"id": 42, "tenant": 1}), Rules(format=format_)) == frozenset()


def test_columns_with_the_names_of_debeziums_own_records_are_columns() -> None:
    for more in ({"historyRecord": "x"}, {"ddl": "x", "tableChanges": 1}, {"status": "BEGIN", "event_count": 1}):
        [found] = updates({"id": 1, "v": 1, **more}, format="debezium-unwrapped")
        assert found.entity_id == "1"


@pytest.mark.parametrize("told", [{"onlyHandleKey": True}, {"claimCheckLocation": "s3://b/k"}])
def test_a_message_of_ticdc_that_has_only_the_key_is_not_the_row(told: dict[str, object]) -> None:
    given = CANAL | {"data": [{"id": "1"}], "old": None, "_tidb": {"tableId": 1, **told}}
    assert "all but the key" in reason(given, format="canal")
    assert updates(given, format="canal", notices=True)[0].is_notice
    assert updates(given | {"type": "DELETE"}, format="canal")[0].deleted
    assert updates(given | {"_tidb": {"tableId": 1}}, format="canal")[0].data is not None


WITHOUT_A_ROW: dict[str, object] = {
    "heartbeat": {"ts_ms": 1795925840871},
    "begin": {"status": "BEGIN", "id": "762:34227992", "event_count": None, "data_collections": None, "ts_ms": 1},
    "end": {
        "status": "END",
        "id": "762:34621552",
        "event_count": 100,
        "data_collections": [{"data_collection": "public.products", "event_count": 100}],
        "ts_ms": 1,
    },
    "schema": {
        "source": MYSQL,
        "ts_ms": 1,
        "databaseName": "shop",
        "schemaName": None,
        "ddl": "ALTER TABLE product ADD COLUMN x INT",
        "tableChanges": [],
    },
}


@pytest.mark.parametrize("kind", WITHOUT_A_ROW)
@pytest.mark.parametrize("format_", ["debezium", "debezium-unwrapped"])
def test_a_record_without_a_row_is_passed_over(kind: str, format_: str) -> None:
    assert updates(WITHOUT_A_ROW[kind], {"serverName": "p5"}, format=format_) == []
    assert updates(enveloped(WITHOUT_A_ROW[kind]), format=format_) == []


def test_a_snapshot_of_mysql_that_tells_no_time() -> None:
    untold = MYSQL | {"ts_ms": 0, "ts_us": 0, "snapshot": "true"}
    [found] = updates(debezium("r", after=ROW, source=untold, ts_ms=T_MS), {"id": 42})
    assert found.updated_at_us == T_MS * 1_000


def test_a_snapshots_row_never_beats_what_comes_after_it() -> None:
    read = POSTGRES | {"snapshot": "incremental", "ts_ms": 1763807200123, "ts_us": None, "ts_ns": None, "lsn": 100}
    changed = POSTGRES | {"ts_ms": T_MS, "ts_us": None, "ts_ns": None, "lsn": 200}
    [first] = updates(debezium("r", after={"id": 1, "v": 70}, source=read))
    [second] = updates(debezium("u", after={"id": 1, "v": 510}, source=changed))
    assert second.version > first.version
