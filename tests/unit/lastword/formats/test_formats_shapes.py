"""Other shapes of the kinds of records, found in the sources' own code: docs/formats-kinds.md is the table of them."""

import json
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from lastword.contract.record import InvalidUpdateError, Rules, Update
from lastword.contract.version import APART, Version
from lastword.formats.decoding import decode
from lastword.formats.record import Record
from tests.unit.lastword.formats.test_formats import (
    CANAL,
    EVENT_HEADERS,
    MAXWELL,
    MYSQL,
    OFFSET,
    ROW,
    T_MS,
    debezium,
    enveloped,
    record,
)

NO_OLD: dict[str, object] = {"old": None}
COMMIT_TS = 463_963_309_467_037_594


def updates(format_: str, given: object, key: object = None, **rules: Any) -> list[Update]:  # noqa: ANN401
    told = given if isinstance(given, Record) else record(given, key)
    return decode(told, Rules(**{"format": format_, **rules}))


def reason(format_: str, given: object, key: object = None, **rules: Any) -> str:  # noqa: ANN401
    with pytest.raises(InvalidUpdateError) as raised:
        updates(format_, given, key, **rules)
    assert str(raised.value).isprintable()
    return str(raised.value)


def outline(found: Sequence[Update]) -> list[tuple[str, str, Version]]:
    return [
        (update.entity_id, "gone" if update.deleted else "notice" if update.is_notice else "row", update.version)
        for update in found
    ]


HOME = Version.at(OFFSET, 0)
ASKS = Version.at((APART, OFFSET), 0)


class TestIdsThatChange:
    def renamed(self, format_: str, **more: object) -> dict[str, object]:
        if format_ == "maxwell":
            return MAXWELL | {"data": {"id": 2, "v": 1}, "old": {"id": 1}} | more
        return CANAL | {"data": [{"id": "2", "v": "1"}], "old": [{"id": "1"}]} | more

    @pytest.mark.parametrize("format_", ["maxwell", "canal"])
    def test_nothing_is_decided_by_offsets_of_two_partitions(self, format_: str) -> None:
        said = reason(format_, self.renamed(format_))
        assert said.startswith("the row's id changed from ")
        for remedy in (
            "producer_partition_by=table",
            "canal.mq.partitionHash",
            "LASTWORD_TABLE_IN_ONE_PARTITION=true",
            "loader",
        ):
            assert remedy in said
        asked = updates(format_, self.renamed(format_), notices=True)
        assert outline(asked) == [("1", "gone", ASKS), ("2", "notice", ASKS)]
        assert all(update.is_notice for update in asked), "the one that left is loaded for, too"
        decided = updates(format_, self.renamed(format_), one_partition=True)
        assert outline(decided) == [("1", "gone", HOME), ("2", "row", HOME)]

    @pytest.mark.parametrize("format_", ["maxwell", "canal"])
    @pytest.mark.parametrize("former", [None, "", "x" * 600, 2, "2"])
    def test_what_was_no_product_does_not_leave(self, format_: str, former: object) -> None:
        old = {"id": former}
        given = self.renamed(format_, old=old if format_ == "maxwell" else [old])
        assert outline(updates(format_, given)) == [("2", "row", HOME)]

    def test_zero_is_a_product(self) -> None:
        assert "from 0 to 2" in reason("maxwell", self.renamed("maxwell", old={"id": 0}))

    def test_of_many_rows_each_by_itself(self) -> None:
        rows = [{"id": "3"}, {"id": "2"}, {"id": "9"}]
        given = CANAL | {"data": rows, "old": [{"id": "2"}, {"id": "1"}, {"v": "1"}]}
        found = outline(updates("canal", given, one_partition=True))
        assert found == [
            (i, k, HOME) for i, k in [("2", "gone"), ("3", "row"), ("1", "gone"), ("2", "row"), ("9", "row")]
        ]
        asked = outline(updates("canal", given, notices=True))
        assert [version for *_, version in asked] == [ASKS] * 4 + [HOME]

    def test_a_part_of_a_key_of_several_columns(self) -> None:
        given = MAXWELL | {"data": {"tenant": 2, "id": 5}, "old": {"tenant": 1}}
        found = updates("maxwell", given, one_partition=True, id_field="tenant,id")
        assert outline(found) == [("1,5", "gone", HOME), ("2,5", "row", HOME)]

    def test_tidb_tells_an_order_that_counts_in_all_partitions(self) -> None:
        def at(commit: int, **more: object) -> list[Update]:
            return updates("canal", self.renamed("canal", _tidb={"commitTs": commit}, **more))

        gone, now = at(COMMIT_TS)
        [again] = at(COMMIT_TS, type="DELETE", old=None)
        assert outline([gone, now]) == [("1", "gone", again.version), ("2", "row", now.version)]
        assert now.version > HOME
        assert again.version < now.version, "within a transaction a key that is taken away and put again is there"
        for later in (COMMIT_TS + 1, COMMIT_TS + 2**18):
            [deleted] = at(later, type="DELETE", old=None)
            assert deleted.version > now.version

    @pytest.mark.parametrize("told", [{}, None, {"tableId": 5}])
    def test_without_it_the_offset_is_the_order(self, told: object) -> None:
        assert updates("canal", CANAL | NO_OLD | {"_tidb": told})[0].version == HOME

    @pytest.mark.parametrize("commit", ["1", None, 1.5])
    def test_a_time_of_commit_that_is_none_gets_no_offset_instead(self, commit: object) -> None:
        assert "_tidb.commitTs" in reason("canal", CANAL | NO_OLD | {"_tidb": {"commitTs": commit}})

    @pytest.mark.parametrize("op", ["u", "d", "c"])
    def test_records_that_follow_another_key_than_the_id_are_in_any_partition(self, op: str) -> None:
        """Rows 1 and 2, of two partitions, have had the same ``sku`` one after the other."""
        row = {"id": 1, "sku": "b", "n": 1}
        before, after = (row, None) if op == "d" else (None, row)
        event = debezium(op, before=before, after=after, source=MYSQL)
        told = {"id_field": "sku"}
        kind = "gone" if op == "d" else "row"
        assert outline(updates("debezium", event, {"id": 1}, **told)) == [("b", kind, HOME)]
        [asked] = updates("debezium", event, {"id": 1}, **told, notices=True)
        assert (asked.is_notice, asked.deleted, asked.version) == (True, op == "d", ASKS)
        for settled in ({"one_partition": True}, {}):
            key = {"id": 1} if settled else {"sku": "b"}
            [found] = updates("debezium", event, key, **told, notices=True, **settled)
            assert found.version == HOME
        flattened = row | {"__deleted": str(op == "d").lower(), "__source_connector": "mysql"}
        [asked] = updates("debezium-unwrapped", flattened, {"id": 1}, **told, notices=True)
        assert (asked.is_notice, asked.version) == (True, ASKS)
        [canal] = updates("canal", CANAL | NO_OLD | {"type": "INSERT", "data": [row]}, **told, notices=True)
        assert canal.version == ASKS

    def test_another_id_column_of_debezium_that_changes(self) -> None:
        event = debezium("u", before={"id": 1, "sku": "a", "n": 1}, after={"id": 1, "sku": "b", "n": 1}, source=MYSQL)
        assert "offsets of two partitions" in reason("debezium", event, {"id": 1}, id_field="sku")
        asked = updates("debezium", event, {"id": 1}, id_field="sku", notices=True)
        assert outline(asked) == [("a", "gone", ASKS), ("b", "notice", ASKS)]
        in_log = updates("debezium", event | {"source": debezium("u")["source"]}, {"id": 1}, id_field="sku")
        assert [update.entity_id for update in in_log] == ["a", "b"]
        assert not in_log[0].version.is_apart


def test_a_replayed_record_whose_id_changed_keeps_its_place_and_its_generation() -> None:
    header = {"lastword-version": str(Version.at((APART, 3), 2))}
    given = record(MAXWELL | {"data": {"id": 2}, "old": {"id": 1}}, None, header)
    assert {update.version for update in updates("maxwell", given, notices=True)} == {Version.at((APART, 3), 2)}
    assert {update.version for update in updates("maxwell", given, one_partition=True)} == {Version.at(3, 2)}


class TestRecordsThatCarryNoRow:
    @pytest.mark.parametrize(
        "kind",
        [
            "table-create",
            "table-alter",
            "table-drop",
            "database-create",
            "database-alter",
            "database-drop",
            "bootstrap-start",
            "bootstrap-complete",
            "heartbeat",
        ],
    )
    def test_of_maxwell(self, kind: str) -> None:
        nothing: list[object] = [{}, None]
        for data in nothing:
            assert updates("maxwell", {"type": kind, "ts": 1, "data": data, "old": {"columns": []}, "def": {}}) == []

    @pytest.mark.parametrize("database", ["maxwell", "its_own"])
    def test_of_maxwell_what_it_is_asked_for_a_bootstrap_by(self, database: str) -> None:
        """As Maxwell 1.45 wrote it. ``schema_database`` renames its database, a naming strategy its columns."""
        asked = {
            "id": 1,
            "database_name": "shop",
            "table_name": "products",
            "where_clause": None,
            "is_complete": 0,
            "inserted_rows": 0,
            "total_rows": 0,
            "created_at": None,
            "started_at": None,
            "completed_at": None,
            "binlog_file": None,
            "binlog_position": 0,
            "client_id": "maxwell",
            "comment": None,
        }
        camel_case = {re.sub("_(.)", lambda found: found[1].upper(), name): value for name, value in asked.items()}
        given = {"database": database, "table": "bootstrap", "type": "insert", "ts": 1763800000}
        for columns in (asked, camel_case):
            assert updates("maxwell", given | {"data": columns}) == []
        assert len(updates("maxwell", given | {"data": {"id": 1, "table_name": "oak"}})) == 1, "somebody's own table"
        assert len(updates("maxwell", given | {"data": asked, "table": "others"})) == 1

    @pytest.mark.parametrize(
        "kind", ["CREATE", "ALTER", "CINDEX", "DINDEX", "RENAME", "QUERY", "GTID", "XACOMMIT", "TIDB_WATERMARK"]
    )
    def test_of_canal(self, kind: str) -> None:
        for is_ddl in (True, False, None):
            assert updates("canal", CANAL | NO_OLD | {"type": kind, "isDdl": is_ddl, "data": None, "_tidb": None}) == []

    @pytest.mark.parametrize(
        ("format_", "kind"), [("maxwell", "replace"), ("maxwell", "INSERT"), ("canal", "insert"), ("canal", "UPSERT")]
    )
    def test_a_row_of_an_unknown_kind_is_not_passed_over(self, format_: str, kind: str) -> None:
        given = (MAXWELL if format_ == "maxwell" else CANAL) | NO_OLD | {"type": kind}
        assert f"type is {kind!r}, with " in reason(format_, given)

    @pytest.mark.parametrize("kind", ["insert", "update", "delete", "bootstrap-insert"])
    @pytest.mark.parametrize("data", [None, {}])
    def test_a_change_without_its_row(self, kind: str, data: object) -> None:
        assert reason("maxwell", MAXWELL | {"type": kind, "data": data}) == f"{kind} without a row: data is missing"

    @pytest.mark.parametrize(
        "given", [{"type": "insert", "encrypted": {"iv": "x", "bytes": "y"}}, {"encrypted": {"iv": "x", "bytes": "y"}}]
    )
    def test_an_encrypted_row_says_so(self, given: object) -> None:
        assert "set encrypt=none at Maxwell" in reason("maxwell", given)

    def test_transactions_with_more_of_their_times(self) -> None:
        given = {
            "status": "END",
            "id": "7",
            "event_count": 2,
            "data_collections": [],
            "ts_ms": 1,
            "ts_us": 1,
            "ts_ns": 1,
        }
        assert updates("debezium", given) == []


def test_maxwells_camel_case_hides_no_part_of_a_key() -> None:
    given = (
        MAXWELL
        | NO_OLD
        | {"type": "insert", "data": {"tenantId": 1, "id": 5}, "primaryKeyColumns": ["tenant_id", "id"]}
    )
    assert "set LASTWORD_ID_FIELD=tenantId,id" in reason("maxwell", given)
    assert updates("maxwell", given, id_field="tenantId,id")[0].entity_id == "1,5"


@pytest.mark.parametrize("told", [{"onlyHandleKey": False}, {"claimCheckLocation": None}, {"claimCheckLocation": ""}])
def test_a_message_of_ticdc_that_says_that_it_is_whole_is_whole(told: dict[str, object]) -> None:
    assert updates("canal", CANAL | NO_OLD | {"_tidb": told})[0].data is not None
    said = reason("canal", CANAL | NO_OLD | {"_tidb": {"onlyHandleKey": True}})
    assert "all but the key is left out" in said
    assert "max-message-bytes" in said


class TestFlattened:
    HEADERS: ClassVar[dict[str, str]] = {
        "__source_lsn": "77",
        "__source_sequence": '["64","77"]',
        "__source_connector": "postgresql",
    }

    def test_what_headers_tell_of_null_values_they_tell_of_rows(self) -> None:
        """Else rows would have offsets, and deletions places in the log: whatever is made anew would lose."""
        [row] = updates("debezium-unwrapped", record(ROW, {"id": 42}, self.HEADERS))
        later = self.HEADERS | {"__source_lsn": "99", "__source_sequence": '["88","99"]'}
        [gone] = updates("debezium-unwrapped", record(None, {"id": 42}, later))
        [again] = updates("debezium-unwrapped", record(ROW, {"id": 42}, later | {"__source_lsn": "100"}))
        assert row.version == Version.at((8, 77), 0)
        assert row.version < gone.version < again.version
        [own] = updates(
            "debezium-unwrapped", record(ROW | {"__lsn": 5, "__source_sequence": '["0","5"]'}, None, self.HEADERS)
        )
        assert own.version == Version.at((0, 5), 0), "the row's own fields come first"

    @pytest.mark.parametrize("op", ["d", "r"])
    def test_the_operation_may_be_in_a_header(self, op: str) -> None:
        for form in (op, json.dumps(op), json.dumps(enveloped(op))):
            [found] = updates("debezium-unwrapped", record(ROW, {"id": 42}, self.HEADERS | {"__op": form}))
            assert found.deleted == (op == "d")
            assert found.version == Version.at((8, 0 if op == "r" else 76), 0)

    @pytest.mark.parametrize("more", [{"__op": "d"}, {"__deleted": True}, {"__deleted": "true"}])
    def test_a_deletion_by_whichever_field(self, more: dict[str, object]) -> None:
        assert updates("debezium-unwrapped", ROW | {"__lsn": 1} | more, {"id": 42})[0].deleted


@pytest.mark.parametrize("after", [None, "missing"])
def test_an_event_without_a_row_says_so(after: object) -> None:
    event = debezium("u", after=after)
    if after:
        del event["after"]
    assert reason("debezium", event) == "op is 'u', and there is no row in after"
    assert "MongoDB" in reason("debezium", debezium("u", after='{"_id": 1}'))


class TestCloudEvents:
    EVENT: ClassVar[dict[str, object]] = {
        "specversion": "1.0",
        "type": "p.changed",
        "subject": "42",
        "time": "2025-11-22T08:26:40.123Z",
        "data": ROW,
    }

    def given(self, **more: object) -> Record:
        headers = {name: value for name, value in (EVENT_HEADERS | more).items() if value is not ...}
        made = record(ROW, None, {})
        return made._replace(
            headers=[
                (name, value if value is None or isinstance(value, bytes) else str(value).encode())
                for name, value in headers.items()
            ]
        )

    def test_a_header_that_is_not_of_the_event_may_be_anything(self) -> None:
        assert updates("cloudevents", self.given(traceparent=b"\xff\x00", empty=None))[0].entity_id == "42"
        assert "a header is not UTF-8" in reason("cloudevents", self.given(ce_subject=b"\xff"))

    def test_a_header_without_a_value_is_an_attribute_that_is_not_there(self) -> None:
        assert reason("cloudevents", self.given(ce_time=None)) == "the event has no time"
        [found] = updates("cloudevents", self.given(ce_sequence=None))
        assert found.version.sequence == OFFSET

    def test_headers_with_their_schemas(self) -> None:
        headers = {
            name: value
            if name == "content-type"
            else json.dumps({"schema": {"type": "string", "optional": False}, "payload": value})
            for name, value in EVENT_HEADERS.items()
        }
        assert updates("cloudevents", self.given(**headers))[0].entity_id == "42"
        assert "not the JSON that it begins as" in reason("cloudevents", self.given(**headers | {"ce_subject": "{"}))

    def test_a_structured_event_whose_header_is_left_out(self) -> None:
        [found] = updates("cloudevents", self.EVENT)
        assert (found.entity_id, found.version.sequence) == ("42", OFFSET)
        assert "no event" in reason("cloudevents", {"subject": "42"})
        assert "no event" in reason("cloudevents", b'["specversion"]')
        assert "no event" in reason("cloudevents", b'{"specversion"')

    @pytest.mark.parametrize(
        "content_type",
        ["application/cloudevents-batch+json", "application/cloudevents+avro", "application/cloudevents+protobuf; v=1"],
    )
    def test_other_forms_are_named(self, content_type: str) -> None:
        said = reason("cloudevents", record([self.EVENT], None, {"content-type": content_type}))
        assert f"content-type is {content_type.partition(';')[0]!r}" in said

    def test_another_version_of_the_spec(self) -> None:
        assert "specversion is '0.3'; 1.0 is read" in reason("cloudevents", self.given(ce_specversion="0.3"))
        assert "specversion is '0.3'; 1.0 is read" in reason("cloudevents", self.EVENT | {"specversion": "0.3"})

    def test_debeziums_own_events_are_of_another_format(self) -> None:
        told = self.EVENT | {"type": "io.debezium.connector.postgresql.DataChangeEvent", "iodebeziumop": "d"}
        assert "LASTWORD_FORMAT=debezium" in reason("cloudevents", told)

    def test_data_of_both_forms_or_of_none(self) -> None:
        assert "of which an event may have one" in reason("cloudevents", self.EVENT | {"data_base64": "e30="})
        [found] = updates("cloudevents", self.EVENT | {"data": None, "data_base64": "e30="})
        assert found.data == b"{}"

    def test_data_that_is_not_json_is_what_the_reason_shows(self) -> None:
        assert reason("cloudevents", self.given()._replace(value=b"\x00\x01")).startswith(
            "the event's data is not JSON"
        )


def test_times_that_are_no_times_decide_nothing() -> None:
    for ts in (0, None, T_MS):
        assert updates("maxwell", MAXWELL | NO_OLD | {"ts": ts})[0].version == HOME
