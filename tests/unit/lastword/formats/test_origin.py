"""Which table a record's row is of, and by which connector it came."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from lastword.contract.record import VERSION_HEADER, Rules
from lastword.formats.origin import Origin, origin_of
from lastword.formats.record import Record
from tests.unit.lastword.formats.test_formats import CANAL, MAXWELL, MYSQL, POSTGRES, ROW, debezium, enveloped

SOURCE = POSTGRES | {"db": "shop", "schema": "public", "table": "products"}
MYSQLS = POSTGRES | {"db": "shop", "schema": None, "table": "products"}


def told(format_: str, value: object) -> str:
    raw = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    return origin_of(Record(None, raw, [], 0, None), Rules(format=format_)).table


@pytest.mark.parametrize(
    ("format_", "value", "table"),
    [
        ("debezium", debezium("u", after=ROW, source=SOURCE), "shop.public.products"),
        ("debezium", enveloped(debezium("u", after=ROW, source=SOURCE)), "shop.public.products"),
        ("debezium", debezium("u", after=ROW, source=MYSQLS), "shop.products"),
        ("maxwell", MAXWELL | {"database": "shop", "table": "products"}, "shop.products"),
        ("canal", CANAL | {"database": "shop", "table": "products"}, "shop.products"),
        ("maxwell", MAXWELL | {"database": None, "table": "products"}, "products"),
    ],
)
def test_it_is_named_with_what_it_lies_in(format_: str, value: object, table: str) -> None:
    assert told(format_, value) == table


@pytest.mark.parametrize("value", [None, b"", b"null", b"[]", b"\xff", b"{", {}, {"table": 7}, {"database": "shop"}])
@pytest.mark.parametrize("format_", ["debezium", "maxwell", "canal"])
def test_where_it_is_not_told_there_is_none(format_: str, value: object) -> None:
    assert told(format_, value) == ""


@pytest.mark.parametrize("format_", ["json", "cloudevents", "debezium-unwrapped", "shop.decoder:decode"])
def test_formats_that_do_not_name_it_are_not_asked(format_: str) -> None:
    assert told(format_, {"database": "shop", "table": "products"}) == ""


@pytest.mark.parametrize("wrap", [lambda event: event, enveloped], ids=["bare", "with its schema"])
def test_debezium_names_the_connector(wrap: Callable[[object], object]) -> None:
    value = json.dumps(wrap(debezium("u", after=ROW, source=SOURCE | {"name": "shop-2"}))).encode()
    assert origin_of(Record(None, value, [], 0, None), Rules(format="debezium")).connector == "shop-2"


@pytest.mark.parametrize(
    ("format_", "value", "key", "hides"),
    [
        ("debezium", debezium("u", after=ROW), b'{"id":1}', True),
        ("debezium", enveloped(debezium("u", after=ROW)), b'{"schema":{},"payload":{"id":1}}', True),
        ("debezium-unwrapped", ROW, b'{"id":1}', True),
        ("debezium", debezium("u", before=ROW, after=ROW), b'{"id":1}', False),
        ("debezium", debezium("c", after=ROW), b'{"id":1}', False),
        ("debezium", debezium("c", after=ROW, source=MYSQL), b'{"id":1}', True),
        ("debezium", debezium("d", before=ROW, source=MYSQL), b'{"id":1}', True),
        ("debezium", debezium("d", before=ROW, source=MYSQL), b'{"sku":"a"}', False),
        ("debezium", debezium("c", after=ROW, source=MYSQL | {"commit_ts": 1}), b'{"id":1}', False),
        ("debezium", debezium("u", after=ROW), b'{"sku":"a"}', False),
        ("debezium", debezium("u", after=ROW), b"1", False),
        ("debezium-unwrapped", ROW, None, False),
        ("maxwell", MAXWELL, b'{"database":"shop","table":"products","pk.id":1}', False),
    ],
)
def test_what_a_row_was_before_may_be_hidden(format_: str, value: object, key: bytes | None, *, hides: bool) -> None:
    record = Record(key, json.dumps(value).encode(), [], 0, None)
    assert origin_of(record, Rules(format=format_, id_field="sku")) == Origin(
        origin_of(record, Rules(format=format_)).table, origin_of(record, Rules(format=format_)).connector, hides
    )


@pytest.mark.parametrize("rules", [Rules(notices=True), Rules(one_partition=True)])
def test_an_order_that_is_only_the_partitions_may_do(rules: Rules) -> None:
    value = json.dumps(debezium("c", after=ROW, source=MYSQL)).encode()
    record = Record(b'{"id":1}', value, [], 0, None)
    assert not origin_of(record, replace(rules, format="debezium", id_field="sku")).hides_moves


def test_the_envelope_of_cloudevents_tells_it_by_attributes() -> None:
    told = {"source": "/debezium/postgresql/shop", "iodebeziumname": "shop", "data": {"after": ROW}}
    told |= {"iodebeziumdb": "shop", "iodebeziumschema": "public", "iodebeziumtable": "products"}
    record = Record(None, json.dumps(told).encode(), [], 0, None)
    assert origin_of(record, Rules(format="debezium")) == Origin("shop.public.products", "shop")


def test_a_record_that_was_sent_back_may_be_of_a_former_connector() -> None:
    value = json.dumps(debezium("u", after=ROW, source=SOURCE)).encode()
    record = Record(None, value, [(VERSION_HEADER, b"4503599627370496-77")], 0, None)
    assert origin_of(record, Rules(format="debezium")) == Origin()
