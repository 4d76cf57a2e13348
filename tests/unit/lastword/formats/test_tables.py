"""Which table a record's row is of."""

import json

import pytest

from lastword.contract.record import Rules
from lastword.formats.record import Record
from lastword.formats.tables import table_of
from tests.unit.lastword.formats.test_formats import CANAL, MAXWELL, POSTGRES, ROW, debezium, enveloped

SOURCE = POSTGRES | {"db": "shop", "schema": "public", "table": "products"}
MYSQLS = POSTGRES | {"db": "shop", "schema": None, "table": "products"}


def told(format_: str, value: object) -> str:
    raw = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    return table_of(Record(None, raw, [], 0, None), Rules(format=format_))


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
