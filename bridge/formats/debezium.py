"""Debezium's change events, with or without the schema's envelope, and as its event flattening leaves them.

Source: https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-events and
https://debezium.io/documentation/reference/stable/transformations/event-flattening.html
"""

from functools import partial
from typing import Final

import msgspec

from bridge.change import Change
from bridge.formats.record import Decoder, Record
from bridge.formats.rows import ROW, changes_of, deletion_of, id_in, needed_id
from tasks.contract import Rules
from tasks.fields import read_json, shown
from tasks.rfc3339 import format_rfc3339

UNAVAILABLE: Final = b'"__debezium_unavailable_value"'
"""Stands for a large value that did not change, of which PostgreSQL's log has nothing (TOAST)."""

WRITES: Final = frozenset({"c", "u", "r"})
"""Created, updated, and read by a snapshot."""


class _Source(msgspec.Struct):
    """When the database committed it, and where it is in PostgreSQL's log, the only position that always grows."""

    ts_ms: int | None = None
    ts_us: int | None = None
    ts_ns: int | None = None
    lsn: int | None = None


class _Event(msgspec.Struct):
    """``payload`` is there where the schema is, and has all the rest in it."""

    op: str | None = None
    before: dict[str, msgspec.Raw] | None = None
    after: msgspec.Raw = msgspec.Raw()
    source: _Source | None = None
    payload: msgspec.Raw = msgspec.Raw()


_EVENT: Final[msgspec.json.Decoder[_Event | None]] = msgspec.json.Decoder(_Event | None)
_KEY: Final[msgspec.json.Decoder[dict[str, msgspec.Raw] | str | int]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw] | str | int
)


def debezium(rules: Rules) -> Decoder:
    """The decoder of events as the connectors write them."""
    return partial(_changes, rules.id_field)


def debezium_unwrapped(rules: Rules) -> Decoder:
    """The decoder of events that were flattened (ExtractNewRecordState), with ``add.fields=source.ts_ms`` at least."""
    return partial(_unwrapped_changes, rules.id_field)


def _changes(id_field: str, record: Record) -> list[Change]:
    if record.value is None:
        return []  # it follows the event of a deletion, for Kafka's compaction
    event = read_json(record.value, _EVENT, "the value")
    if event is not None and event.payload:
        event = read_json(bytes(event.payload), _EVENT, "the payload")
    if event is None or event.op == "m":
        return []  # the same, as a converter writes it; a message, of no table
    return _changes_of(event, id_field, record.key)


def _changes_of(event: _Event, id_field: str, key: bytes | None) -> list[Change]:
    if event.op == "t":
        raise ValueError("a truncate (op t) names no product: what was in the table stays as it is")
    if event.op not in WRITES and event.op != "d":
        raise ValueError(
            f"op is {event.op!r}; c, u, r, d, t and m are known: is it flattened, or no event of Debezium?"
        )
    if event.source is None or (time := _time(event.source)) is None:
        raise ValueError("source has neither ts_ns, ts_us nor ts_ms")
    lsn = event.source.lsn
    if event.op == "d":
        gone = id_in(event.before, id_field)
        if gone is None:
            gone = _id_in_key(key, id_field)  # REPLICA IDENTITY NOTHING
        return [deletion_of(needed_id(event.before, id_field) if gone is None else gone, updated_at=time, sequence=lsn)]
    row = _whole(bytes(event.after) or b"null")
    return changes_of(row, event.before, id_field, event.after, updated_at=time, sequence=lsn)


def _unwrapped_changes(id_field: str, record: Record) -> list[Change]:
    if record.value is None or record.value == b"null":
        return [_deletion(id_field, record)]
    row = _whole(record.value)
    if row.keys() == {"schema", "payload"}:
        if bytes(row["payload"]) == b"null":
            return [_deletion(id_field, record)]
        row = _whole(bytes(row["payload"]))
    added = {name: value for name, value in row.items() if name.startswith("__")}
    time, sequence = _added({name: bytes(value) for name, value in added.items()})
    if time is None:
        raise ValueError("the row has no __source_ts_ns, __source_ts_us or __source_ts_ms: set add.fields=source.ts_ms")
    deleted = bytes(added.get("__deleted", msgspec.Raw(b"false"))).strip(b'"') == b"true"
    data = msgspec.Raw(msgspec.json.encode({name: value for name, value in row.items() if name not in added}))
    if deleted:
        return [deletion_of(needed_id(row, id_field), updated_at=time, sequence=sequence)]
    return changes_of(row, None, id_field, data, updated_at=time, sequence=sequence)


def _whole(row: bytes) -> dict[str, msgspec.Raw]:
    """The columns of a row; ValueError where one of them is not told."""
    if UNAVAILABLE in row:
        raise ValueError(
            "a large column that did not change is left out, so that this is not the whole state: the table needs "
            "REPLICA IDENTITY FULL"
        )
    return read_json(row, ROW, "the row")


def _deletion(id_field: str, record: Record) -> Change:
    """What a null value stands for: with ``add.headers`` its headers have the version."""
    time, sequence = _added({name: value for name, value in record.headers if value is not None})
    if time is None:
        raise ValueError(
            "the value is null, a deletion whose time is not told: set delete.tombstone.handling.mode=rewrite, or "
            "add.headers=source.ts_ms"
        )
    product_id = _id_in_key(record.key, id_field)
    if product_id is None:
        raise ValueError(f"the value is null, and the key has no {shown(id_field)}")
    return deletion_of(product_id, updated_at=time, sequence=sequence)


def _added(found: dict[str, bytes]) -> tuple[str | int | None, int | None]:
    """The time and the sequence among the fields, or headers, that the flattening was told to add."""
    numbers = {name: int(text) for name, value in found.items() if (text := value.strip(b'"')).isdigit()}
    source = _Source(**{part: numbers.get(f"__source_{part}") for part in ("ts_ms", "ts_us", "ts_ns")})
    return _time(source), numbers.get("__source_lsn", numbers.get("__lsn"))


def _time(source: _Source) -> str | int | None:
    """The most exact of the times that are told: milliseconds, or as RFC 3339."""
    if source.ts_ns is not None:
        return format_rfc3339(source.ts_ns // 1_000)
    return source.ts_ms if source.ts_us is None else format_rfc3339(source.ts_us)


def _id_in_key(key: bytes | None, id_field: str) -> str | int | None:
    """What the key says: a struct, with or without its schema, or the id alone; None where it says nothing."""
    if key is None:
        return None
    try:
        found = _KEY.decode(key)
        if isinstance(found, dict) and found.keys() == {"schema", "payload"}:
            found = _KEY.decode(found["payload"])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return id_in(found, id_field) if isinstance(found, dict) else found
