"""Canal's flat messages: the rows of one change of a table, in which every column is text.

Source: https://github.com/alibaba/canal, FlatMessage.java
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

import msgspec

from bridge.change import Change
from bridge.formats.record import Decoder, Record
from bridge.formats.rows import ROW, change_of, id_in, needed_id
from tasks.contract import Rules
from tasks.fields import read_json

ROWS: Final = frozenset({"INSERT", "UPDATE", "DELETE"})


class _Message(msgspec.Struct, rename={"is_ddl": "isDdl"}):
    """``es``: when the database wrote it, milliseconds of whole seconds. ``old``: what an update's rows had before.

    Its ``id`` counts from the beginning again when Canal restarts, and is of no use.
    """

    type: str
    is_ddl: bool = False
    es: int | None = None
    data: list[msgspec.Raw] | None = None
    old: list[dict[str, msgspec.Raw] | None] | None = None


_MESSAGE: Final = msgspec.json.Decoder(_Message)


def canal(rules: Rules) -> Decoder:
    """The decoder."""
    return partial(_changes, rules.id_field)


def _changes(id_field: str, record: Record) -> list[Change]:
    if record.value is None:
        raise ValueError("the value is null: Canal writes none")
    message = read_json(record.value, _MESSAGE, "the value")
    if message.type == "TRUNCATE":
        raise ValueError("a TRUNCATE names no product: what was in the table stays as it is")
    if message.is_ddl or message.type not in ROWS:
        return []
    if message.es is None:
        raise ValueError("es, the time of the change, is missing")
    return list(_rows(message, message.es, id_field))


def _rows(message: _Message, time_ms: int, id_field: str) -> Iterator[Change]:
    deleted = message.type == "DELETE"
    for place, data in enumerate(message.data or []):
        product_id = needed_id(read_json(bytes(data), ROW, "a row"), id_field)
        before = id_in(message.old[place], id_field) if message.old and place < len(message.old) else None
        if before is not None and before != product_id and not deleted:
            yield Change(product_id=before, updated_at=time_ms, deleted=True)
        yield change_of(product_id, time_ms, None, data, deleted=deleted)
