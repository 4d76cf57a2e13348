"""Canal's flat messages: the rows of one change of a table, in which every column is text.

Source: https://github.com/alibaba/canal, FlatMessage.java
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

import msgspec

from lastword.contract.change import Change
from lastword.contract.fields import read_json, shown
from lastword.contract.record import Rules
from lastword.contract.version import Position
from lastword.formats.record import Decoder, Record
from lastword.formats.rows import ROW, IdColumns, deletion_of, former_id, moved, placed, state_of
from lastword.formats.tidb import position_of_commit

ROWS: Final = frozenset({"INSERT", "UPDATE", "DELETE"})
UNSET: Final = frozenset({b"", b"null", b"false", b'""'})


class _Message(msgspec.Struct, rename={"is_ddl": "isDdl", "keys": "pkNames", "tidb": "_tidb"}):
    """``es``: when the database wrote it, milliseconds of whole seconds. ``old``: what an update's rows had before.

    Its ``id`` counts from the beginning again when Canal restarts, and is of no use, and the ``gtid`` is another
    primary's after a failover: the order is that of the partition. ``tidb``: what TiCDC adds.
    """

    type: str
    is_ddl: bool | None = None
    es: int | None = None
    data: list[msgspec.Raw] | None = None
    old: list[dict[str, msgspec.Raw] | None] | None = None
    keys: list[str] | None = None
    tidb: dict[str, msgspec.Raw] | None = None

    @property
    def is_key_alone(self) -> bool:
        """Whether TiCDC has left out all but the key, for the message was too large."""
        told = self.tidb or {}
        return any(bytes(told.get(name, b"")) not in UNSET for name in ("onlyHandleKey", "claimCheckLocation"))


_MESSAGE: Final = msgspec.json.Decoder(_Message)
_COMMIT: Final = msgspec.json.Decoder(int)


def canal(rules: Rules) -> Decoder:
    """The decoder."""
    return partial(_changes, rules, IdColumns.of(rules))


def _changes(rules: Rules, ids: IdColumns, record: Record) -> list[Change]:
    if record.value is None:
        raise ValueError("the value is null: Canal writes none")
    message = read_json(record.value, _MESSAGE, "the value")
    if message.type in {"TRUNCATE", "ERASE"}:
        raise ValueError(f"{message.type} of a table names no product: what was in the table stays as it is")
    if message.is_ddl or (message.type not in ROWS and not message.data):
        return []
    if message.type not in ROWS:
        raise ValueError(f"type is {shown(message.type)}, with rows; INSERT, UPDATE and DELETE are known")
    if not message.data:
        raise ValueError(f"{message.type} without a row")
    ids.refuse_part_of(message.keys)
    return list(_rows(message, record, ids, rules))


def _rows(message: _Message, record: Record, ids: IdColumns, rules: Rules) -> Iterator[Change]:
    time_ms = message.es or record.timestamp_ms
    position = _position(message, record.offset)
    for index, data in enumerate(message.data or []):
        row = read_json(bytes(data), ROW, "a row")
        entity_id = ids.needed(row)
        if message.type == "DELETE":
            yield placed(deletion_of(entity_id, updated_at=time_ms, position=position), ids, message.keys, rules)
            continue
        if message.is_key_alone and not rules.notices:
            raise ValueError(
                "all but the key is left out: the row is too large for TiCDC's max-message-bytes. Raise it, or "
                "configure a loader"
            )
        state = state_of(row, data, rules, ["all but the key"] if message.is_key_alone else ())
        change = Change(product_id=entity_id, updated_at=time_ms, position=position, data=state)
        former = former_id(row, message.old[index] if message.old and index < len(message.old) else None, ids)
        if former is None:
            yield placed(change, ids, message.keys, rules)
        else:
            yield from moved(former, change, rules)


def _position(message: _Message, offset: int) -> Position:
    """TiDB's time of the commit, which counts in all partitions, where TiCDC tells it; else the offset."""
    told = bytes((message.tidb or {}).get("commitTs", b""))
    if not told:
        return offset
    return position_of_commit(read_json(told, _COMMIT, "_tidb.commitTs"))
