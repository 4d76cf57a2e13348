"""What a record says by halves: keys that are a value alone, rows before that are a filling, deletions beside rows."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from lastword.contract.record import InvalidUpdateError, Rules, Update
from lastword.contract.version import Version
from lastword.formats.decoding import decode
from lastword.formats.record import Record
from tests.unit.lastword.formats.test_formats import (
    CANAL,
    EVENT_HEADERS,
    MAXWELL,
    MYSQL,
    POSTGRES,
    T_MS,
    T_US,
    debezium,
    enveloped,
    record,
)

BARE = {"ts_ms": T_MS}


def updates(given: object, key: object = None, **rules: Any) -> list[Update]:  # noqa: ANN401
    told = given if isinstance(given, Record) else record(given, key)
    return decode(told, Rules(**{"format": "debezium", **rules}))


def reason(given: object, key: object = None, **rules: Any) -> str:  # noqa: ANN401
    with pytest.raises(InvalidUpdateError) as raised:
        updates(given, key, **rules)
    return str(raised.value)


def outline(found: Iterable[Update]) -> list[tuple[str, str]]:
    return [
        (update.entity_id, "gone" if update.deleted else "notice" if update.is_notice else "row") for update in found
    ]


def at_last(*records: list[Update]) -> dict[str, str]:
    """What is held in the end, in whichever order they came: a deletion wins an equal version."""
    held: dict[str, Update] = {}
    for update in (update for some in records for update in some):
        before = held.get(update.entity_id)
        if before is None or (update.version, update.deleted) > (before.version, before.deleted):
            held[update.entity_id] = update
    return dict(outline(held.values()))


class TestOneChangeOfTwoHalves:
    """A row's key changes: a deletion and a creation, of one place in the log. Its ``sku`` is the same."""

    def halves(self, source: dict[str, object]) -> tuple[list[Update], list[Update]]:
        row = {"id": 1, "sku": "a", "name": "Mug"}
        gone = updates(debezium("d", before=row, source=source), {"id": 1}, id_field="sku")
        there = updates(debezium("c", after=row | {"id": 2}, source=source), {"id": 2}, id_field="sku")
        return gone, there

    def test_the_row_is_there(self) -> None:
        gone, there = self.halves(POSTGRES)
        assert at_last(gone, there) == at_last(there, gone) == {"a": "row"}

    @pytest.mark.parametrize("lsn", [24_023_120, 24_023_127])
    def test_a_row_of_before_is_gone(self, lsn: int) -> None:
        gone, _ = self.halves(POSTGRES)
        row = {"id": 1, "sku": "a", "name": "Cup"}
        older = updates(debezium("u", after=row, source=POSTGRES | {"lsn": lsn}), {"id": 1}, id_field="sku")
        assert at_last(gone, older) == at_last(older, gone) == {"a": "gone"}

    def test_flattened(self) -> None:
        told = {"__source_lsn": 1008, "__source_sequence": '["1000","1008"]', "__source_ts_ms": T_MS, "sku": "a"}
        flat = {"format": "debezium-unwrapped", "id_field": "sku"}
        gone = updates(told | {"id": 1, "__deleted": "true"}, {"id": 1}, **flat)
        there = updates(told | {"id": 2, "__deleted": "false"}, {"id": 2}, **flat)
        assert at_last(gone, there) == at_last(there, gone) == {"a": "row"}

    def test_tidb_hands_an_id_on_in_one_commit(self) -> None:
        told = CANAL | {"_tidb": {"commitTs": 463_963_309_467_037_594}}
        left = updates(told | {"data": [{"id": "2"}], "old": [{"id": "1"}]}, format="canal")
        taken = updates(told | {"type": "INSERT", "data": [{"id": "1", "v": "new"}], "old": None}, format="canal")
        assert at_last(left, taken) == at_last(taken, left) == {"1": "row", "2": "row"}


class TestKeysOfAValueAlone:
    def test_of_another_column_it_is_no_id(self) -> None:
        row = {"id": 1, "sku": "a", "name": "Mug"}
        assert outline(updates(debezium("d", before=row, source=MYSQL), 1, id_field="sku")) == [("a", "gone")]
        assert outline(updates(debezium("d", before=row), 1, id_field="sku")) == [("a", "gone")]
        changed = debezium("u", before=row, after=row | {"sku": "b"})
        assert outline(updates(changed, 1, id_field="sku")) == [("a", "gone"), ("b", "row")]
        assert "REPLICA IDENTITY FULL" in reason(debezium("d", before={"id": 1, "sku": ""}), 1, id_field="sku")

    @pytest.mark.parametrize("key", [b"SKU-1", b'"SKU-1"', enveloped("SKU-1")])
    @pytest.mark.parametrize("before", [None, {"id": None}, {"id": ""}, {"id": 0, "name": None}])
    def test_of_the_ids_column_it_is_the_id(self, key: object, before: object) -> None:
        assert outline(updates(debezium("d", before=before), key)) == [("SKU-1", "gone")]

    @pytest.mark.parametrize("key", [b"Struct{id=1}", b"1", b"0", enveloped(1), b"[1]", b"1.5", b"\xff"])
    def test_that_names_no_id_leaves_the_row_in_any_partition(self, key: object) -> None:
        row = {"id": 0 if key == b"0" else 1, "sku": "a", "n": 1}
        moved = debezium("u", before=row, after=row | {"sku": "b"}, source=MYSQL)
        assert "offsets of two partitions order nothing" in reason(moved, key, id_field="sku")
        told = updates(moved, key, id_field="sku", notices=True)
        assert [(update.entity_id, update.version.asks) for update in told] == [("a", True), ("b", True)]
        alone = updates(moved, None, id_field="sku")
        assert outline(alone) == [("a", "gone"), ("b", "row")], "without keys there is one partition"

    def test_that_is_bytes_is_no_id(self) -> None:
        schema = {"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal"}
        said = reason(debezium("d", source=MYSQL), {"schema": schema, "payload": "AeJA"})
        assert "the key, the product id, is a number that the connector writes as bytes" in said

    @pytest.mark.parametrize("key", [b"1.5", b"null", b"true", b"[1]", b'{"id":', b"", b"\xff"])
    def test_what_is_neither_text_nor_a_number_is_none(self, key: bytes) -> None:
        assert "no column 'id'" in reason(debezium("d"), key)

    def test_a_struct_as_text_tells_its_columns_alone(self) -> None:
        row = {"tenant": 1, "id": 5}
        assert "set LASTWORD_ID_FIELD=tenant,id" in reason(debezium("c", after=row), b"Struct{tenant=1,id=5}")
        assert outline(updates(debezium("c", after=row), b"Struct{id=5}")) == [("5", "row")]

    def test_what_a_router_adds_is_no_column(self) -> None:
        key = {"id": 5, "__dbz__physicalTableIdentifier": "shop.public.products_1"}
        assert outline(updates(debezium("c", after={"id": 5}), key)) == [("5", "row")]


class TestARowBeforeThatIsAFilling:
    @pytest.mark.parametrize(
        "filling", [None, 0, "", "0", "AA==", "1970-01-01T00:00:00Z", "00000000-0000-0000-0000-000000000000"]
    )
    def test_is_no_id_of_whichever_type(self, filling: object) -> None:
        changed = debezium("u", before={"id": 5, "sku": filling, "n": 1}, after={"id": 5, "sku": "b", "n": 1})
        assert outline(updates(changed, {"id": 5}, id_field="sku")) == [("b", "row")]

    def test_nor_of_a_connector_that_is_not_named(self) -> None:
        changed = debezium("u", before={"id": 0, "sku": "old"}, after={"id": 42, "sku": "new"}, source=BARE)
        assert outline(updates(changed)) == [("42", "row")]
        assert "REPLICA IDENTITY FULL" in reason(debezium("d", before={"id": 0, "sku": None}, source=BARE))

    def test_with_a_loader_it_is_looked_for_where_it_may_be_one(self) -> None:
        row = {"id": 5, "sku": "a", "stock": 0}
        changed = debezium("u", before=row, after=row | {"sku": "b", "stock": 3})
        told = {"id_field": "sku", "notices": True}
        assert outline(updates(changed, {"id": 5}, **told)) == [("a", "notice"), ("b", "row")]
        assert outline(updates(debezium("d", before=row), {"id": 5}, **told)) == [("a", "notice")]
        assert "may be a default" in reason(changed, {"id": 5}, id_field="sku")


class TestRowsThatWereRead:
    @pytest.mark.parametrize("snapshot", [True, "true", "first", "last", "incremental"])
    def test_a_transform_may_call_them_created(self, snapshot: object) -> None:
        source = POSTGRES | {"sequence": '["900000","1000000"]', "lsn": 1_000_000, "snapshot": snapshot}
        change = POSTGRES | {"sequence": '["900000","950000"]', "lsn": 950_000}
        read = updates(debezium("c", after={"id": 1, "v": 70}, source=source), {"id": 1})
        [later] = updates(debezium("u", after={"id": 1, "v": 510}, source=change), {"id": 1})
        assert later.version > read[0].version

    def test_the_cache_does_not_take_the_one_for_the_other(self) -> None:
        """The window counts an update as arrived where its version, or a newer one, is held."""
        read = POSTGRES | {"sequence": '[null,"26386832"]', "lsn": 26_386_832, "snapshot": "last"}
        [first] = updates(debezium("r", after={"id": 1}, source=read), {"id": 1})
        change = read | {"snapshot": "false"}
        for event in (debezium("d", before={"id": 1}, source=change), debezium("u", after={"id": 1}, source=change)):
            assert not first.version.covers(updates(event, {"id": 1})[0].version)

    @pytest.mark.parametrize("op", ["u", "d"])
    def test_the_first_change_may_have_the_snapshots_own_place(self, op: str) -> None:
        read = POSTGRES | {"sequence": '[null,"26386832"]', "lsn": 26_386_832, "snapshot": "last"}
        change = read | {"snapshot": "false"}
        row = {"id": 1, "v": 510}
        told = [debezium("r", after=row | {"v": 70}, source=read)]
        told.append(debezium(op, before=row, after=None if op == "d" else row, source=change))
        first, then = (updates(event, {"id": 1}) for event in told)
        assert at_last(first, then) == at_last(then, first) == {"1": "gone" if op == "d" else "row"}
        assert op == "d" or then[0].version > first[0].version


class TestFlattened:
    @pytest.mark.parametrize("more", [{}, {"src_op": "d"}])
    def test_a_deletion_has_its_name_whatever_the_prefix(self, more: dict[str, object]) -> None:
        row = {"id": 42, "name": "Mug", "src_source_lsn": 1008, "src_source_ts_ms": T_MS}
        told = {"format": "debezium-unwrapped", "added_prefix": "src_"}
        assert outline(updates(row | {"__deleted": "true"} | more, {"id": 42}, **told)) == [("42", "gone")]
        [found] = updates(row | {"__deleted": "false"}, {"id": 42}, **told)
        assert json.loads(found.data or b"") == {"id": 42, "name": "Mug"}

    @pytest.mark.parametrize(
        "passed",
        [
            {"op": "m", "ts_ms": T_MS, "source": POSTGRES, "message": {"prefix": "p", "content": "eA=="}},
            {"source": MYSQL, "databaseName": "shop", "schemaName": None, "ddl": "ALTER TABLE products …"},
        ],
    )
    def test_what_is_no_change_of_a_row_is_passed_over(self, passed: object) -> None:
        assert updates(passed, format="debezium-unwrapped") == []

    @pytest.mark.parametrize(
        "columns",
        [
            {"op": "x", "message": "hi", "source": "web"},
            {"op": "m", "message": "hi", "source": "web"},
            {"databaseName": "x", "ddl": "hi", "source": "web"},
            {"status": "x", "event_count": 1, "data_collections": []},
            {"status": "BEGIN", "event_count": 1, "total": 1},
            {"ts_ms": 5},
        ],
    )
    @pytest.mark.parametrize("added", [{}, {"__op": "u", "__source_ts_ms": T_MS}])
    def test_a_tables_own_columns_may_have_such_names(
        self, columns: dict[str, object], added: dict[str, object]
    ) -> None:
        [found] = updates({"id": 1} | columns | added, {"id": 1}, format="debezium-unwrapped")
        assert json.loads(found.data or b"") == {"id": 1} | columns

    def test_another_connectors_sequence_is_no_place_in_postgresqls_log(self) -> None:
        row = {"id": 1, "__source_sequence": "1", "__source_ts_ms": T_MS}
        assert not updates(row, format="debezium-unwrapped")[0].version.commit


class TestMaxwell:
    KEYS = (
        {"database": "shop", "table": "products", "pk.tenant": 1, "pk.id": 5},
        ["shop", "products", [{"tenant": 1}, {"id": 5}]],
    )

    @pytest.mark.parametrize("key", KEYS)
    def test_the_records_key_names_the_columns(self, key: object) -> None:
        row = MAXWELL | {"data": {"tenant": 1, "id": 5, "v": 1}, "old": None}
        assert "set LASTWORD_ID_FIELD=tenant,id" in reason(row, key, format="maxwell")
        assert outline(updates(row, key, format="maxwell", id_field="id, tenant")) == [("5,1", "row")]

    def test_the_values_of_the_key_tell_how_many_there_are(self) -> None:
        row = MAXWELL | {"data": {"tenant": 1, "id": 5, "v": 1}, "old": None, "primary_key": [1, 5]}
        assert "primary_key has 2 values" in reason(row, format="maxwell")
        assert outline(updates(row, format="maxwell", id_field="tenant,id")) == [("1,5", "row")]
        assert outline(updates(row | {"primary_key": [5]}, format="maxwell")) == [("5", "row")]

    @pytest.mark.parametrize("column", ["productId", "ProductID", "product_id"])
    @pytest.mark.parametrize("key", ["pk.productid", "pk.product_id"])
    def test_the_records_key_has_them_in_small_letters(self, column: str, key: str) -> None:
        row = MAXWELL | {"data": {column: 5, "v": 1}, "old": None}
        told = {"database": "shop", "table": "products", key: 5}
        found = updates(row, told, format="maxwell", id_field=column, notices=True)
        assert outline(found) == [("5", "row")]
        both = MAXWELL | {"data": {column: 5, "Tenant": 1}, "old": None}
        assert f"{column},Tenant" in reason(both, told | {"pk.tenant": 1}, format="maxwell", id_field=column)

    @pytest.mark.parametrize(
        "key", [{"database": "shop", "table": "products", "_uuid": "x"}, ["shop", "products", []], 5]
    )
    def test_a_key_without_columns_tells_nothing(self, key: object) -> None:
        row = MAXWELL | {"data": {"id": 5}, "old": None}
        assert outline(updates(row, key, format="maxwell")) == [("5", "row")]

    def test_its_own_row_without_what_is_null(self) -> None:
        asked = {"id": 1, "database_name": "shop", "table_name": "p", "is_complete": 0, "inserted_rows": 0}
        asked |= {"total_rows": 6, "binlog_position": 0, "client_id": "maxwell"}
        own = MAXWELL | {"database": "maxwell", "table": "bootstrap", "type": "insert", "data": asked, "old": None}
        assert updates(own, format="maxwell") == []


class TestNumbersInOtherClothes:
    @pytest.mark.parametrize("number", [17, "17", "0017"])
    def test_a_header_with_its_schema(self, number: object) -> None:
        told = json.dumps({"schema": {"type": "int64"}, "payload": number})
        [found] = updates(record({"a": 1}, None, EVENT_HEADERS | {"ce_sequence": told}), format="cloudevents")
        assert found.version.sequence == 17
        told = json.dumps({"schema": {"type": "int64"}, "payload": 42})
        [found] = updates(record({"a": 1}, None, EVENT_HEADERS | {"ce_subject": told}), format="cloudevents")
        assert found.entity_id == "42"

    def test_a_header_that_is_null_is_not_there(self) -> None:
        quoted = {name: json.dumps(value) for name, value in EVENT_HEADERS.items()}
        given = record({"a": 1}, b"7", quoted | {"ce_subject": "null", "ce_sequence": "null"})
        assert outline(updates(given, format="cloudevents")) == [("7", "row")]

    @pytest.mark.parametrize("name", ["ts_us", "ts_ns"])
    def test_a_time_that_cannot_be_is_left_for_another(self, name: str) -> None:
        source = {"connector": "postgresql", "lsn": 8, "ts_ms": T_MS, name: 2**63 - 1}
        [found] = updates(debezium("u", after={"id": 1}, source=source))
        assert (found.version, found.time_us) == (Version.at((1, 5), 0), T_US)
