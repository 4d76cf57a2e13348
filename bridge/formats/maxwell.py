"""Maxwell's daemon: a row of one change.

Source: https://maxwells-daemon.io/dataformat/
"""

from functools import partial
from typing import Final

import msgspec

from bridge.change import Change
from bridge.formats.record import Decoder, Record
from bridge.formats.rows import ROW, IdColumns, deletion_of, refuse_new_id, state_of
from tasks.contract import Rules
from tasks.fields import read_json

WRITES: Final = frozenset({"insert", "update", "bootstrap-insert"})


class _Row(msgspec.Struct):
    """``ts``: when the database wrote it, in whole seconds. ``old``: what an update's row had before.

    Its ``position`` starts anew on another primary, its ``xid`` with each start of MySQL, and a bootstrap's rows have
    neither: the order is that of the partition.
    """

    type: str
    ts: int | None = None
    data: msgspec.Raw = msgspec.Raw()
    old: dict[str, msgspec.Raw] | None = None
    primary_key_columns: list[str] | None = None


_ROW: Final = msgspec.json.Decoder(_Row)


def maxwell(rules: Rules) -> Decoder:
    """The decoder."""
    return partial(_changes, rules, IdColumns.of(rules))


def _changes(rules: Rules, ids: IdColumns, record: Record) -> list[Change]:
    if record.value is None:
        raise ValueError("the value is null: Maxwell writes none")
    row = read_json(record.value, _ROW, "the value")
    if row.type not in WRITES and row.type != "delete":
        return []  # of a table's definition, or the beginning or the end of a bootstrap
    time_ms = row.ts * 1_000 if row.ts else record.timestamp_ms
    columns = read_json(bytes(row.data) or b"null", ROW, "data")
    ids.refuse_part_of(row.primary_key_columns)
    product_id = ids.needed(columns)
    if row.type == "delete":
        return [deletion_of(product_id, updated_at=time_ms, position=record.offset)]
    refuse_new_id(columns, row.old, ids)
    state = state_of(columns, row.data, rules)
    return [Change(product_id=product_id, updated_at=time_ms, position=record.offset, data=state)]
