"""Canal's flat messages: the rows of one change of a table, in which every column is text.

Source: https://github.com/alibaba/canal, FlatMessage.java
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

import msgspec

from bridge.change import Change
from bridge.formats.record import Decoder, Record
from bridge.formats.rows import ROW, IdColumns, deletion_of, refuse_new_id, state_of
from tasks.contract import Rules
from tasks.fields import read_json

ROWS: Final = frozenset({"INSERT", "UPDATE", "DELETE"})


class _Message(msgspec.Struct, rename={"is_ddl": "isDdl", "keys": "pkNames", "tidb": "_tidb"}):
    """``es``: when the database wrote it, milliseconds of whole seconds. ``old``: what an update's rows had before.

    Its ``id`` counts from the beginning again when Canal restarts, and is of no use: the order is that of the
    partition. ``tidb``: what TiCDC adds.
    """

    type: str
    is_ddl: bool = False
    es: int | None = None
    data: list[msgspec.Raw] | None = None
    old: list[dict[str, msgspec.Raw] | None] | None = None
    keys: list[str] | None = None
    tidb: dict[str, msgspec.Raw] = {}

    @property
    def is_key_alone(self) -> bool:
        """Whether TiCDC has left out all but the key, for the message was too large."""
        return bool({"onlyHandleKey", "claimCheckLocation"} & self.tidb.keys())


_MESSAGE: Final = msgspec.json.Decoder(_Message)


def canal(rules: Rules) -> Decoder:
    """The decoder."""
    return partial(_changes, rules, IdColumns.of(rules))


def _changes(rules: Rules, ids: IdColumns, record: Record) -> list[Change]:
    if record.value is None:
        raise ValueError("the value is null: Canal writes none")
    message = read_json(record.value, _MESSAGE, "the value")
    if message.type in {"TRUNCATE", "ERASE"}:
        raise ValueError(f"{message.type} of a table names no product: what was in the table stays as it is")
    if message.is_ddl or message.type not in ROWS:
        return []
    if not message.data:
        raise ValueError(f"{message.type} without a row")
    ids.refuse_part_of(message.keys)
    return list(_rows(message, record, ids, rules))


def _rows(message: _Message, record: Record, ids: IdColumns, rules: Rules) -> Iterator[Change]:
    time_ms = message.es or record.timestamp_ms
    for place, data in enumerate(message.data or []):
        row = read_json(bytes(data), ROW, "a row")
        product_id = ids.needed(row)
        if message.type == "DELETE":
            yield deletion_of(product_id, updated_at=time_ms, position=record.offset)
            continue
        refuse_new_id(row, message.old[place] if message.old and place < len(message.old) else None, ids)
        state = state_of(row, data, rules, ["all but the key"] if message.is_key_alone else ())
        yield Change(product_id=product_id, updated_at=time_ms, position=record.offset, data=state)
