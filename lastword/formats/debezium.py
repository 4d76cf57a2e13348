"""Debezium's change events, with or without the schema's envelope, or that of CloudEvents.

Source: https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-events
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Final

import msgspec

from lastword.contract.change import Change
from lastword.contract.fields import read_json
from lastword.contract.record import Rules
from lastword.formats.debezium_cloudevents import without_envelope
from lastword.formats.debezium_source import Source, position_of, refuse_encoded_id, time_of
from lastword.formats.placeholders import unsent
from lastword.formats.record import Decoder, Record
from lastword.formats.rows import ROW, IdColumns, Row, deletion_of, former_id, moved, placed, state_of

WRITES: Final = frozenset({"c", "u", "r"})
"""Created, updated, and read by a snapshot."""

_UNTOLD: Final = re.compile(rb'null|"?0(\.0*)?"?|""|false')
"""What PostgreSQL's connector puts where REPLICA IDENTITY DEFAULT tells nothing of a column before the change."""


class _Event(msgspec.Struct):
    """``payload`` is there where the schema is, and has all the rest in it. ``ts_ms``: the connector's own clock."""

    op: str | None = None
    ts_ms: int | None = None
    before: dict[str, msgspec.Raw] | None = None
    after: msgspec.Raw = msgspec.Raw()
    source: Source | None = None
    schema: msgspec.Raw = msgspec.Raw()
    payload: msgspec.Raw = msgspec.Raw()


_TRANSACTION: Final = frozenset({"status", "id", "event_count", "data_collections", "ts_ms", "ts_us", "ts_ns"})
_WITHOUT_ROW: Final = frozenset({frozenset({"ts_ms"}), frozenset({"historyRecord"})})

DebeziumKey = dict[str, msgspec.Raw] | str | int | None

_EVENT: Final[msgspec.json.Decoder[_Event | None]] = msgspec.json.Decoder(_Event | None)
_KEY: Final[msgspec.json.Decoder[dict[str, msgspec.Raw] | str | int]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw] | str | int
)


def debezium(rules: Rules) -> Decoder:
    """The decoder of events as the connectors write them."""
    return partial(_changes, rules, IdColumns.of(rules))


def _changes(rules: Rules, ids: IdColumns, record: Record) -> list[Change]:
    if record.value is None:
        return []  # it follows the event of a deletion, for Kafka's compaction
    value = without_envelope(record.value, ids.names)
    event = read_json(value, _EVENT, "the value")
    if event is not None and event.payload:
        refuse_encoded_id(bytes(event.schema), ids.names)
        value = bytes(event.payload)
        event = read_json(value, _EVENT, "the payload")
    if (
        event is None
        or event.op == "m"
        or (event.op is None and is_without_row(read_json(value, ROW, "the value").keys()))
    ):
        return []  # the same, as a converter writes it; a message, of no table
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
    position = position_of(source, record.offset, is_read=event.op == "r")
    time = time_of(source, event.ts_ms or record.timestamp_ms)
    key = key_of(record.key, ids)
    if event.op == "d":
        gone = deletion_of(gone_id(event.before, source, ids, key), updated_at=time, position=position)
        return [placed(gone, ids, columns_of(key), rules)]
    if bytes(event.after) in (b"", b"null"):
        raise ValueError(f"op is {event.op!r}, and there is no row in after")
    if bytes(event.after)[:1] == b'"':
        raise ValueError("after is text, as MongoDB's documents are, which are not read")
    row = read_json(bytes(event.after), ROW, "the row")
    entity_id = ids.needed(row)
    state = state_of(row, event.after, rules, unsent(row, bytes(event.after), rules.placeholder))
    change = Change(product_id=entity_id, updated_at=time, position=position, data=state)
    # Where the key has the id, a change of it comes as a deletion and a creation.
    if id_in_key(key, ids) is None and _is_told(event.before, source, ids, key):
        former = former_id(row, event.before, ids)
        if former is not None:
            # Without keys the records are in one partition, or in no order at all.
            return moved(former, change, rules if key else replace(rules, one_partition=True))
    return [placed(change, ids, columns_of(key), rules)]


def columns_of(key: DebeziumKey) -> Iterable[str]:
    """The columns that make the record's key."""
    return key.keys() if isinstance(key, dict) else ()


def gone_id(before: Row | None, source: Source, ids: IdColumns, key: DebeziumKey) -> str | int:
    """The entity that a deletion takes away: what the key says, else the row before, if it is one."""
    in_key = id_in_key(key, ids)
    if in_key is not None:
        return in_key
    if before is not None and not _is_told(before, source, ids, key):
        raise ValueError(
            f"the deletion does not tell {ids}: the key has it not, and the row before only what stands for nothing; "
            "the table needs REPLICA IDENTITY FULL"
        )
    return ids.needed(before)


def _is_told(before: Row | None, source: Source, ids: IdColumns, key: DebeziumKey) -> bool:
    """Whether the row before is more than its key and what stands for nothing."""
    if before is None or not source.is_postgresql:
        return True
    if any(_UNTOLD.fullmatch(bytes(before.get(name, b"null"))) for name in ids.names):
        return False
    if not isinstance(key, dict):
        return True
    known = {*ids.names, *key}
    others = [bytes(value) for name, value in before.items() if name not in known and not name.startswith("__")]
    return not others or any(not _UNTOLD.fullmatch(value) for value in others)


def is_without_row(value: Iterable[str]) -> bool:
    """Whether it is a record without a row, by the names of its fields: a heartbeat, a transaction, a new schema."""
    names = frozenset(value)
    return (
        names in _WITHOUT_ROW
        or (names >= {"databaseName", "ddl", "tableChanges"})
        or (names >= {"status", "event_count", "data_collections"} and names <= _TRANSACTION)
    )


def key_of(key: bytes | None, ids: IdColumns) -> DebeziumKey:
    """What the key says: a struct, with or without its schema, or the id alone; None where it says nothing.

    ValueError where it has only a part of what makes the table's key, or an id that cannot be told.
    """
    found = _read_key(key)
    if isinstance(found, dict) and found.keys() == {"schema", "payload"}:
        refuse_encoded_id(bytes(found["schema"]), ids.names)
        found = _read_key(bytes(found["payload"]))
    ids.refuse_part_of(found if isinstance(found, dict) else None)
    return found


def _read_key(key: bytes | None) -> DebeziumKey:
    try:
        return None if key is None else _KEY.decode(key)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def id_in_key(key: DebeziumKey, ids: IdColumns) -> str | int | None:
    """The entity id in a record's key, where the key has all of it."""
    if isinstance(key, dict):
        return ids.in_row(key)
    return key if len(ids.names) == 1 else None
