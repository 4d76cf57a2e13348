"""Maxwell's daemon: a row of one change.

Source: https://maxwells-daemon.io/dataformat/
"""

import re
from collections.abc import Collection, Iterable
from functools import partial
from typing import Final

import msgspec

from lastword.contract.change import Change
from lastword.contract.fields import read_json, shown
from lastword.contract.record import Rules
from lastword.formats.record import Decoder, Record
from lastword.formats.rows import ROW, IdColumns, deletion_of, former_id, moved, placed, state_of

WRITES: Final = frozenset({"insert", "update", "bootstrap-insert"})
WITHOUT_ROW: Final = re.compile(r"(table|database)-(create|alter|drop)|bootstrap-(start|complete)")
"""Of a table's definition, or the beginning or the end of a bootstrap."""

NOTHING: Final = frozenset({b"", b"null", b"{}"})

OWN_TABLE: Final = "bootstrap"
OWN_COLUMNS: Final = frozenset({"databasename", "tablename", "iscomplete", "insertedrows", "clientid"})
"""Never null, of the table by which Maxwell is asked for a bootstrap, whatever its database is named.

It writes these rows too.
"""

OF_KEY: Final = "pk."
"""What the names of a row's key columns begin with in a record's key, of Maxwell's default form."""


class _Row(msgspec.Struct):
    """``ts``: when the database wrote it, in whole seconds. ``old``: what an update's row had before.

    Its ``position`` starts anew on another primary, its ``xid`` with each start of MySQL, and a bootstrap's rows have
    neither: the order is that of the partition.
    """

    type: str = ""
    table: str | None = None
    ts: int | None = None
    data: msgspec.Raw = msgspec.Raw()
    old: dict[str, msgspec.Raw] | None = None
    primary_key_columns: list[str] | None = None
    primaryKeyColumns: list[str] | None = None  # noqa: N815 - as output_naming_strategy spells it
    primary_key: list[msgspec.Raw] | None = None
    primaryKey: list[msgspec.Raw] | None = None  # noqa: N815 - likewise
    encrypted: msgspec.Raw = msgspec.Raw()

    @property
    def keys(self) -> list[str] | None:
        """The columns of the primary key, if they are told."""
        return self.primary_key_columns if self.primaryKeyColumns is None else self.primaryKeyColumns


def _as_in(columns: Collection[str], keys: Iterable[str] | None) -> list[str]:
    """The key's columns, spelled as those of the row are: a record's key has them in small letters."""
    named = list(keys or ())
    if all(name in columns for name in named):
        return named
    spelled = {_plain(name): name for name in columns}
    return [spelled.get(_plain(name), name) for name in named]


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _keys_of(key: bytes | None) -> list[str] | None:
    """The columns of the primary key, as the record's key names them: an object, or an array whose last has them."""
    try:
        told = None if key is None else _KEY.decode(key)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if isinstance(told, dict):
        return [name.removeprefix(OF_KEY) for name in told if name.startswith(OF_KEY)]
    *_, last = told or [None]
    return [name for part in last if isinstance(part, dict) for name in part] if isinstance(last, list) else None


_KEY: Final[msgspec.json.Decoder[dict[str, object] | list[object]]] = msgspec.json.Decoder(
    dict[str, object] | list[object]
)
_ROW: Final = msgspec.json.Decoder(_Row)


def maxwell(rules: Rules) -> Decoder:
    """The decoder."""
    return partial(_changes, rules, IdColumns.of(rules))


def _changes(rules: Rules, ids: IdColumns, record: Record) -> list[Change]:
    if record.value is None:
        raise ValueError("the value is null: Maxwell writes none")
    row = read_json(record.value, _ROW, "the value")
    if row.encrypted:
        raise ValueError("the row is encrypted, and is not read: set encrypt=none at Maxwell")
    if row.type not in WRITES and row.type != "delete":
        if WITHOUT_ROW.fullmatch(row.type) or (row.type and bytes(row.data) in NOTHING):
            return []
        raise ValueError(
            f"type is {shown(row.type)}, with a row; insert, update, delete and bootstrap-insert are known"
        )
    if bytes(row.data) in NOTHING:
        raise ValueError(f"{row.type} without a row: data is missing")
    time_ms = row.ts * 1_000 if row.ts else record.timestamp_ms
    columns = read_json(bytes(row.data), ROW, "data")
    if row.table == OWN_TABLE and set(map(_plain, columns)) >= OWN_COLUMNS:
        return []
    keys = _as_in(columns, row.keys or _keys_of(record.key))
    ids.refuse_part_of(keys)
    values = len(row.primary_key or row.primaryKey or ())
    if not keys and values > len(ids.names):
        raise ValueError(
            f"the row's primary_key has {values} values, and LASTWORD_ID_FIELD names only {ids}: rows which differ in "
            "the rest would become one product. Name all of the key's columns"
        )
    entity_id = ids.needed(columns)
    if row.type == "delete":
        gone = deletion_of(entity_id, updated_at=time_ms, position=record.offset)
        return [placed(gone, ids, keys, rules)]
    state = state_of(columns, row.data, rules)
    change = Change(product_id=entity_id, updated_at=time_ms, position=record.offset, data=state)
    former = former_id(columns, row.old, ids)
    return [placed(change, ids, keys, rules)] if former is None else moved(former, change, rules)
