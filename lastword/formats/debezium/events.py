"""Debezium's change events, with or without the schema's envelope, or that of CloudEvents.

Source: https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-events
"""

import re
from dataclasses import replace
from functools import partial
from typing import Final

import msgspec

from lastword.contract.change import Change
from lastword.contract.fields import read_json
from lastword.contract.record import Rules
from lastword.formats.debezium.before import deletion, doubted, is_doubtful, is_told
from lastword.formats.debezium.envelope import without_envelope
from lastword.formats.debezium.key import columns_of, has_id, key_of, refuse_another_id
from lastword.formats.debezium.placeholders import unsent
from lastword.formats.debezium.source import TICDC, Source, position_of, refuse_encoded_id, time_of
from lastword.formats.record import Decoder, Record
from lastword.formats.rows import ROW, IdColumns, Row, former_id, moved, placed, state_of

WRITES: Final = frozenset({"c", "u", "r"})
"""Created, updated, and read by a snapshot."""


class _Event(msgspec.Struct):
    """``payload`` is there where the schema is, and has all the rest in it. ``ts_ms``: the connector's own clock."""

    op: str | None = None
    ts_ms: int | None = None
    before: dict[str, msgspec.Raw] | None = None
    after: msgspec.Raw = msgspec.Raw()
    source: Source | None = None
    schema: msgspec.Raw = msgspec.Raw()
    payload: msgspec.Raw = msgspec.Raw()


_HEARTBEAT: Final = frozenset({"ts_ms", "ts_us", "ts_ns"})
_TRANSACTION: Final = _HEARTBEAT | {"status", "id", "event_count", "data_collections"}
_ENDS: Final = (b'"BEGIN"', b'"END"')
_MESSAGE: Final = _HEARTBEAT | {"op", "source", "message", "transaction"}
_SCHEMA_CHANGE: Final = _HEARTBEAT | {"source", "position", "databaseName", "schemaName", "ddl", "tableChanges"}

_EMPTIES: Final = re.compile(r"(\s|/\*.*?\*/)*(TRUNCATE|DROP\s+TABLE)\b", re.IGNORECASE | re.DOTALL)
_TEXT: Final[msgspec.json.Decoder[str | None]] = msgspec.json.Decoder(str | None)

_EVENT: Final[msgspec.json.Decoder[_Event | None]] = msgspec.json.Decoder(_Event | None)


def debezium(rules: Rules) -> Decoder:
    """The decoder of events as the connectors write them."""
    return partial(_changes, rules, IdColumns.of(rules))


def _changes(rules: Rules, ids: IdColumns, record: Record) -> list[Change]:
    if record.value is None:
        return []  # it follows the event of a deletion, for Kafka's compaction
    value = without_envelope(record.value, ids.names)
    event = read_json(value, _EVENT, "the value")
    if event is not None and event.payload:
        value = bytes(event.payload)
        refuse_encoded_id(bytes(event.schema), ids.names, value)
        event = read_json(value, _EVENT, "the payload")
    if event is None or event.op == "m":
        return []  # the same, as a converter writes it; a message, of no table
    if event.op is None:
        whole = read_json(value, ROW, "the value")
        if is_without_row(whole):
            return []
    if event.op == "t":
        raise ValueError("a truncate (op t) names no product: what was in the table stays as it is")
    if event.op not in WRITES and event.op != "d":
        raise ValueError(
            f"op is {event.op!r}; c, u, r, d, t and m are known: is it flattened, or no event of Debezium?"
        )
    if event.source is None:
        raise ValueError("source is missing, which tells where in the database's log the change is")
    return _changes_of(event, event.source, record, ids, rules)


def _changes_of(event: _Event, source: Source, record: Record, ids: IdColumns, rules: Rules) -> list[Change]:
    # A transform of Debezium's makes an insertion of what a snapshot has read.
    position = position_of(source, record.offset, is_read=event.op == "r" or source.is_read)
    # Of a commit of PostgreSQL's the bridge compares it: there another clock's would be taken for the database's.
    time = time_of(source, (None if source.is_postgresql else event.ts_ms) or record.timestamp_ms)
    key = key_of(record.key, ids)
    if event.op == "d":
        gone = deletion(event.before, source, ids, key, notices=rules.notices, updated_at=time, position=position)
        return [placed(gone, ids, columns_of(key, gone.product_id, ids), rules)]
    if bytes(event.after) in (b"", b"null"):
        raise ValueError(f"op is {event.op!r}, and there is no row in after")
    if bytes(event.after)[:1] == b'"':
        raise ValueError("after is text, as MongoDB's documents are, which are not read")
    row = read_json(bytes(event.after), ROW, "the row")
    entity_id = ids.needed(row)
    state = state_of(row, event.after, rules, unsent(row, bytes(event.after), rules.placeholder))
    change = Change(product_id=entity_id, updated_at=time, position=position, data=state)
    refuse_another_id(key, row, ids)
    # Where the key has the id, Debezium writes a deletion and a creation; TiCDC may write it as it is.
    tells_moves = source.connector == TICDC or not has_id(key, entity_id, ids)
    if event.before is not None and tells_moves and is_told(event.before, source, ids):
        former = former_id(row, event.before, ids)
        if former is not None:
            # Without keys the records are in one partition, or in no order at all.
            both = moved(former, change, rules if key is not None else replace(rules, one_partition=True))
            if is_doubtful(event.before, source, ids, key):
                both[0] = doubted(both[0], source, notices=rules.notices)
            return both
    return [placed(change, ids, columns_of(key, entity_id, ids), rules)]


def is_without_row(value: Row) -> bool:
    """Whether it is a record without a row, by all of its fields: a heartbeat, a transaction, a message, a new schema.

    A table may have columns of such names, among others or with other values. ValueError where it empties the table.
    """
    names = value.keys()
    if names <= _SCHEMA_CHANGE and names >= {"source", "databaseName", "ddl"} and _is_object(value["source"]):
        _refuse_emptied(value)
        return True
    return (
        (bool(names) and (names <= _HEARTBEAT or names == {"historyRecord"}))
        or (names <= _MESSAGE and bytes(value.get("op", b"")) == b'"m"')
        or (names <= _TRANSACTION and names >= {"status", "id", "event_count"} and bytes(value["status"]) in _ENDS)
    )


def _refuse_emptied(schema_change: Row) -> None:
    """ValueError for what TiCDC writes into the table's own topic. A snapshot tells of tables before it reads them."""
    source = msgspec.json.decode(schema_change["source"], type=Source)
    ddl = read_json(bytes(schema_change["ddl"]), _TEXT, "ddl") or ""
    if _EMPTIES.match(ddl) and not source.is_read:
        raise ValueError(f"{ddl:.80} names no product: what was in the table stays as it is")


def _is_object(value: msgspec.Raw) -> bool:
    return bytes(value)[:1] == b"{"
