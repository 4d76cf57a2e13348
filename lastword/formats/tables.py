"""Which table a record's row is of, as far as its source tells. Pure."""

from typing import Final

import msgspec

from lastword.contract.record import Rules
from lastword.formats.record import Record

TELLING: Final = frozenset({"debezium", "canal", "maxwell"})


class _Source(msgspec.Struct):
    db: str | None = None
    schema: str | None = None
    table: str | None = None


class _Payload(msgspec.Struct):
    source: _Source | None = None


class _Told(msgspec.Struct):
    """Maxwell and Canal name it beside the row; Debezium in the source, with or without its schema around."""

    database: str | None = None
    table: str | None = None
    source: _Source | None = None
    payload: _Payload | None = None


_TOLD: Final = msgspec.json.Decoder(_Told)


def table_of(record: Record, rules: Rules) -> str:
    """The row's table with what it lies in, ``shop.public.products``; "" where that is not told."""
    if rules.format not in TELLING or not record.value:
        return ""
    try:
        told = _TOLD.decode(record.value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    source = told.source or (told.payload and told.payload.source)
    parts = (source.db, source.schema, source.table) if source else (told.database, told.table)
    return ".".join(part for part in parts if part) if parts[-1] else ""
