"""Ids that a source may have made up, keys and rows that disagree, and TiCDC in Debezium's form."""

import json

import pytest

from lastword.contract.version import Version
from tests.unit.lastword.formats.test_formats import MAXWELL, MYSQL, POSTGRES, T_MS, debezium, enveloped, record
from tests.unit.lastword.formats.test_formats_doubts import at_last, outline, reason, updates

FLAT = {"format": "debezium-unwrapped"}
DECIMAL = {"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "0"}}
COMMIT = 463_963_309_467_037_594
TICDC = {"version": "2.4.0.Final", "connector": "TiCDC", "name": "c1", "ts_ms": T_MS, "snapshot": "false", "db": "shop"}
OF_AN_INDEX = {"id": 0, "sku": "a", "name": None, "stock": 0}
OF_DEFAULTS = {"id": 5, "sku": "none", "stock": 0}
TICDC |= {"table": "products", "commit_ts": COMMIT, "cluster_id": "default"}


class TestAKeyThatIsAFilling:
    """With REPLICA IDENTITY USING INDEX the old row has the index alone, and the key of a deletion is made of it."""

    def test_names_nobody(self) -> None:
        given = debezium("d", before=OF_AN_INDEX)
        assert "REPLICA IDENTITY FULL" in reason(given, {"id": 0})
        assert outline(updates(given, {"id": 0}, notices=True)) == [("0", "notice")]

    def test_of_two_columns(self) -> None:
        given = debezium("d", before=OF_AN_INDEX | {"tenant": 0})
        assert "REPLICA IDENTITY FULL" in reason(given, {"tenant": 0, "id": 0}, id_field="tenant,id")
        of_zero = debezium("d", before=OF_AN_INDEX | {"tenant": 0, "id": 5})
        assert outline(updates(of_zero, {"tenant": 0, "id": 5}, id_field="tenant,id")) == [("0,5", "gone")]

    def test_flattened(self) -> None:
        told = {"__deleted": "true", "__source_lsn": 1008, "__source_sequence": '["1000","1008"]'}
        assert "REPLICA IDENTITY FULL" in reason(OF_AN_INDEX | told, {"id": 0}, **FLAT)

    @pytest.mark.parametrize("before", [None, {"id": 0}, {"id": 0, "name": None, "stock": 0}])
    def test_where_nothing_else_is_told_it_is_the_key(self, before: object) -> None:
        assert outline(updates(debezium("d", before=before), {"id": 0})) == [("0", "gone")]

    @pytest.mark.parametrize("source", [MYSQL, TICDC, {"ts_ms": T_MS}])
    def test_of_others_it_is_the_key(self, source: dict[str, object]) -> None:
        assert outline(updates(debezium("d", before=OF_AN_INDEX, source=source), {"id": 0})) == [("0", "gone")]


class TestARowBeforeWithDefaults:
    @pytest.mark.parametrize(
        "filling",
        ["1970-01-01", "1970-01-01Z", "1970-01-01T00:00:00Z", "00:00:00Z", "00:00:00.000", "P0Y0M0DT0H0M0S"],
    )
    def test_dates_and_times_as_text(self, filling: str) -> None:
        given = debezium("d", before=OF_DEFAULTS | {"made": filling})
        assert "may be a default" in reason(given, {"id": 5}, id_field="sku")

    @pytest.mark.parametrize("prefix", ["__", "src_", ""])
    def test_what_the_flattening_adds_tells_nothing_of_the_row(self, prefix: str) -> None:
        told = {"op": "d", "source_lsn": 1008, "source_sequence": '["1000","1008"]', "source_ts_ms": T_MS}
        given = OF_DEFAULTS | {"__deleted": "true"} | {f"{prefix}{name}": value for name, value in told.items()}
        rules = {"id_field": "sku", "added_prefix": prefix, **FLAT}
        assert "may be a default" in reason(given, {"id": 5}, **rules)

    def test_the_advice_is_for_who_can_follow_it(self) -> None:
        told = {"__op": "d", "__deleted": "true", "__source_ts_ms": T_MS}
        given = OF_DEFAULTS | {"note": None} | told
        assert "source.connector" in reason(given, {"id": 5}, id_field="sku", **FLAT)
        known = given | {"__source_connector": "mysql"}
        assert outline(updates(known, {"id": 5}, id_field="sku", **FLAT)) == [("none", "gone")]


class TestAKeyAndARowThatDisagree:
    """What truncates, masks or converts a column changes rows alone: two rows may become one, or a third."""

    @pytest.mark.parametrize("source", [POSTGRES, MYSQL])
    @pytest.mark.parametrize("op", ["c", "u", "r"])
    def test_are_refused(self, op: str, source: dict[str, object]) -> None:
        given = debezium(op, after={"sku": "ABCDEFGHIJ", "v": 1}, source=source)
        assert "they must agree" in reason(given, {"sku": "ABCDEFGHIJ-1"}, id_field="sku")
        assert outline(updates(given, {"sku": "ABCDEFGHIJ"}, id_field="sku")) == [("ABCDEFGHIJ", "row")]

    def test_flattened(self) -> None:
        told = {"__source_lsn": 1008, "__source_sequence": '["1000","1008"]', "__deleted": "false"}
        assert "they must agree" in reason({"id": 7} | told, {"id": 42}, **FLAT)

    def test_one_may_be_text(self) -> None:
        assert outline(updates(debezium("u", after={"id": "42"}), {"id": 42})) == [("42", "row")]


class TestTiCDC:
    """Its own protocol named debezium. Source: pkg/sink/codec/debezium/codec.go of pingcap/tiflow."""

    def told(self, op: str, key: object, **rows: object) -> tuple[object, object]:
        payload = {"op": op, "source": TICDC, "ts_ms": T_MS, "transaction": None, **rows}
        return {"payload": payload}, {"payload": key}

    def test_without_schemas_the_key_is_in_the_payload_too(self) -> None:
        row = {"tenant": 1, "id": 5, "v": 1}
        value, key = self.told("c", {"tenant": 1, "id": 5}, after=row)
        assert "LASTWORD_ID_FIELD=tenant,id" in reason(value, key)
        assert outline(updates(value, key, id_field="tenant,id")) == [("1,5", "row")]
        value, key = self.told("c", {"id": 5}, after={"id": 5})
        assert not updates(value, key, notices=True)[0].version.is_apart

    def test_an_id_that_changes_in_one_record(self) -> None:
        value, key = self.told("u", {"id": 2}, before={"id": 1, "v": 1}, after={"id": 2, "v": 1})
        assert outline(updates(value, key)) == [("1", "gone"), ("2", "row")]

    def test_the_order_is_that_of_the_commits_of_the_cluster(self) -> None:
        value, key = self.told("u", {"id": 1}, after={"id": 1})
        [update] = updates(value, key)
        assert update.version > updates(debezium("u", after={"id": 1}, source=MYSQL), {"id": 1})[0].version
        later = json.loads(json.dumps(value).replace(str(COMMIT), str(COMMIT + 1)))
        assert at_last(updates(later, key), updates(value, key)) == {"1": "row"}
        assert updates(later, key)[0].version > update.version
        assert isinstance(update.version, Version)

    @pytest.mark.parametrize(
        "ddl", ["TRUNCATE TABLE products", "/* all */ drop table `products`", " Truncate products"]
    )
    def test_what_empties_the_table_is_a_dead_letter(self, ddl: str) -> None:
        change = {"source": TICDC, "ts_ms": T_MS, "databaseName": "shop", "schemaName": None, "tableChanges": []}
        for value in (enveloped(change | {"ddl": ddl}), {"payload": change | {"ddl": ddl}}, change | {"ddl": ddl}):
            assert "names no product" in reason(value, {"payload": {"databaseName": "shop"}})
        for harmless in ("ALTER TABLE products ADD COLUMN truncated int", "CREATE TABLE dropped (id int)", None):
            assert updates(enveloped(change | {"ddl": harmless})) == []

    def test_what_a_snapshot_tells_of_a_table_is_harmless(self) -> None:
        source = MYSQL | {"snapshot": "true"}
        change = {"source": source, "ts_ms": T_MS, "databaseName": "shop", "ddl": "DROP TABLE IF EXISTS products"}
        assert updates(change) == []


class TestDecimalsThatAreNumbers:
    """``value.converter.decimal.format=NUMERIC``."""

    def schema(self, name: str) -> dict[str, object]:
        return {"type": "struct", "fields": [DECIMAL | {"field": name}]}

    def test_are_ids(self) -> None:
        fields = {"type": "struct", "fields": [self.schema("id") | {"field": "after"}]}
        event = {"schema": fields, "payload": debezium("c", after={"id": 1, "v": 1})}
        key = {"schema": self.schema("id"), "payload": {"id": 1}}
        assert outline(updates(event, key)) == [("1", "row")]
        flat = {"schema": self.schema("id"), "payload": {"id": 1, "__lsn": 1008}}
        assert outline(updates(flat, key, **FLAT)) == [("1", "row")]
        alone = {"schema": DECIMAL, "payload": 1}
        assert outline(updates(debezium("d", source=MYSQL), alone)) == [("1", "gone")]

    def test_and_bytes_are_none(self) -> None:
        fields = {"type": "struct", "fields": [self.schema("id") | {"field": "before"}]}
        event = {"schema": fields, "payload": debezium("d", before={"id": "AQ=="})}
        assert "decimal.handling.mode" in reason(event)
        assert "decimal.handling.mode" in reason(
            debezium("d"), {"schema": self.schema("id"), "payload": {"id": "AQ=="}}
        )
        assert "decimal.handling.mode" in reason(debezium("d"), {"schema": DECIMAL, "payload": "AQ=="})


def test_a_field_that_a_router_adds_under_a_name_of_its_own() -> None:
    given = debezium("c", after={"id": 5})
    assert "key.field.name=__dbz__" in reason(given, {"id": 5, "shard": "shop.products_1"})


def test_maxwell_spells_its_primary_key_as_it_was_told_to() -> None:
    assert "primary_key has 2 values" in reason(MAXWELL | {"primaryKey": [1, 42]}, format="maxwell")


class TestTypesOfCloudEvents:
    @pytest.mark.parametrize(
        "kind",
        [
            *("com.example.product.deleted", "com.example.product.deleted.v1", "com.example.product-deleted.v1"),
            *("product_deleted", "ProductDeleted.v1", "product:deleted", "product/deleted", "PRODUCT_DELETED"),
            *("productDeletedV2", "com.example.deleted.v1.2", "deleted"),
        ],
    )
    def test_of_deletions(self, kind: str) -> None:
        assert outline(updates(self.event(kind), format="cloudevents")) == [("42", "gone")]

    @pytest.mark.parametrize(
        "kind", ["com.example.product.undeleted", "ProductUndeleted", "product.changed.v1", "v1", ""]
    )
    def test_of_others(self, kind: str) -> None:
        assert outline(updates(self.event(kind), format="cloudevents")) == [("42", "row")]

    @pytest.mark.parametrize(
        "kind", ["com.example.deleted.product.restored", "deletedProduct", "product.deleted.undone"]
    )
    def test_that_may_mean_either(self, kind: str) -> None:
        assert "deleted is to be its last word" in reason(self.event(kind), format="cloudevents")

    def test_data_is_json_by_its_subtype(self) -> None:
        headers = {"ce_specversion": "1.0", "ce_type": "t", "ce_subject": "42", "ce_time": "2026-01-01T00:00:00Z"}
        given = record({"id": 42}, headers=headers | {"content-type": "text/json; charset=utf-8"})
        assert outline(updates(given, format="cloudevents")) == [("42", "row")]

    def event(self, kind: str) -> dict[str, object]:
        return {"specversion": "1.0", "type": kind, "subject": "42", "time": "2026-01-01T00:00:00Z", "data": {"id": 42}}
