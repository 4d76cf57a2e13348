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


POSTGRESQL: Final = "postgresql"


class _Source(msgspec.Struct):
    """When the database committed it, and where that is in the log of PostgreSQL: the ``lsn``, or in ``sequence``."""

    connector: str | None = None
    ts_ms: int | None = None
    ts_us: int | None = None
    ts_ns: int | None = None
    lsn: int | str | msgspec.UnsetType | None = msgspec.UNSET
    sequence: str | list[str | None] | None = None


class _Event(msgspec.Struct):
    """``payload`` is there where the schema is, and has all the rest in it. ``ts_ms``: the connector's own clock."""

    op: str | None = None
    ts_ms: int | None = None
    before: dict[str, msgspec.Raw] | None = None
    after: msgspec.Raw = msgspec.Raw()
    source: _Source | None = None
    payload: msgspec.Raw = msgspec.Raw()


_EVENT: Final[msgspec.json.Decoder[_Event | None]] = msgspec.json.Decoder(_Event | None)
_KEY: Final[msgspec.json.Decoder[dict[str, msgspec.Raw] | str | int]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw] | str | int
)


_ANY: Final[msgspec.json.Decoder[object]] = msgspec.json.Decoder()
_SEQUENCE: Final[msgspec.json.Decoder[list[str | None]]] = msgspec.json.Decoder(list[str | None])


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
    return _changes_of(event, id_field, record)


def _changes_of(event: _Event, id_field: str, record: Record) -> list[Change]:
    if event.op == "t":
        raise ValueError("a truncate (op t) names no product: what was in the table stays as it is")
    if event.op not in WRITES and event.op != "d":
        raise ValueError(
            f"op is {event.op!r}; c, u, r, d, t and m are known: is it flattened, or no event of Debezium?"
        )
    if event.source is None:
        raise ValueError("source is missing, which tells where in the database's log the change is")
    position = _position(event.source, record.offset)
    time = _time(event.source, event.ts_ms or record.timestamp_ms)
    if event.op == "d":
        gone = id_in(event.before, id_field)
        if gone is None:
            gone = _id_in_key(record.key, id_field)  # REPLICA IDENTITY NOTHING
        if gone is None:
            gone = needed_id(event.before, id_field)
        return [deletion_of(gone, updated_at=time, position=position)]
    row = _whole(bytes(event.after) or b"null")
    return changes_of(row, event.before, id_field, event.after, updated_at=time, position=position)


def _unwrapped_changes(id_field: str, record: Record) -> list[Change]:
    if record.value is None or record.value == b"null":
        return [_deletion(id_field, record)]
    row = _whole(record.value)
    if row.keys() == {"schema", "payload"}:
        if bytes(row["payload"]) == b"null":
            return [_deletion(id_field, record)]
        row = _whole(bytes(row["payload"]))
    added = {name: value for name, value in row.items() if name.startswith("__")}
    source = _added({name: bytes(value) for name, value in added.items()})
    position, time = _position(source, record.offset), _time(source, record.timestamp_ms)
    deleted = bytes(added.get("__deleted", msgspec.Raw(b"false"))).strip(b'"') == b"true"
    data = msgspec.Raw(msgspec.json.encode({name: value for name, value in row.items() if name not in added}))
    if deleted:
        return [deletion_of(needed_id(row, id_field), updated_at=time, position=position)]
    return changes_of(row, None, id_field, data, updated_at=time, position=position)


def _whole(row: bytes) -> dict[str, msgspec.Raw]:
    """The columns of a row; ValueError where one of them is not told."""
    if UNAVAILABLE in row:
        raise ValueError(
            "a large column that did not change is left out, so that this is not the whole state: the table needs "
            "REPLICA IDENTITY FULL"
        )
    return read_json(row, ROW, "the row")


def _deletion(id_field: str, record: Record) -> Change:
    """What a null value stands for; with ``add.headers`` its headers have its place in the log."""
    source = _added({name: b"null" if value is None else value for name, value in record.headers})
    if source.connector is None and not _names_the_log(source):
        raise ValueError(
            "the value is null, a deletion of which nothing tells where in the database's log it is: set "
            "delete.tombstone.handling.mode=rewrite, or add.headers=source.connector,source.lsn,source.ts_ms"
        )
    product_id = _id_in_key(record.key, id_field)
    if product_id is None:
        raise ValueError(f"the value is null, and the key has no {shown(id_field)}")
    return deletion_of(
        product_id, updated_at=_time(source, record.timestamp_ms), position=_position(source, record.offset)
    )


def _added(found: dict[str, bytes]) -> _Source:
    """What the flattening was told to add, as fields of the row or as headers."""
    told: dict[str, object] = {}
    for name in _Source.__struct_fields__:
        # Without "source." a time is the connector's own.
        wanted = [f"__source_{name}"] if name.startswith("ts_") else [f"__source_{name}", f"__{name}"]
        for one in wanted[::-1]:
            if one in found:
                told[name] = _plain(found[one])
    return msgspec.convert(told, _Source, strict=False)


def _plain(text: bytes) -> object:
    """What a field, or a header of any of Connect's converters, holds: JSON, with its schema or without, or text."""
    try:
        value = _ANY.decode(text)
    except msgspec.DecodeError:
        return text.decode(errors="replace")
    return value["payload"] if isinstance(value, dict) and value.keys() == {"schema", "payload"} else value


def _position(source: _Source, offset: int) -> int:
    """Where the change is in its database's log, if that is a number that grows, else in its partition.

    Debezium writes the changes of a key in their order, and into one partition. Only PostgreSQL has a number: MySQL's
    files and GTIDs begin anew on another primary, SQL Server's and Oracle's numbers are shared by many changes. A row
    that PostgreSQL's connector has read, and not from the log, has in ``sequence`` how far the log was read by then.

    Source: https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-events
    """
    if source.connector != POSTGRESQL and not (source.connector is None and _names_the_log(source)):
        return offset
    if isinstance(source.lsn, int):
        return source.lsn
    if isinstance(source.lsn, str):  # that of a relative of PostgreSQL's
        return int(source.lsn) if source.lsn.isdecimal() and source.lsn.isascii() else offset
    sequence = _sequence(source.sequence)
    if sequence is None:
        raise ValueError(
            "source has neither an lsn nor a sequence, so that nothing tells where the row is in PostgreSQL's log; "
            "behind ExtractNewRecordState: add.fields=source.lsn,source.sequence"
        )
    return sequence


def _names_the_log(source: _Source) -> bool:
    """Whether it has what only PostgreSQL's connector tells, empty as it may be."""
    return source.lsn is not msgspec.UNSET or source.sequence is not None


def _sequence(given: str | list[str | None] | None) -> int | None:
    """The second of the two numbers, JSON in a text: the last commit's, and that of the change itself."""
    try:
        numbers = _SEQUENCE.decode(given) if isinstance(given, str) else given
        text = numbers[1] if numbers and len(numbers) > 1 else None
        return int(text) if text and text.isascii() and text.isdecimal() else None
    except (ValueError, msgspec.DecodeError):
        return None


def _time(source: _Source, else_ms: int | None) -> str | int | None:
    """The most exact of the times that are told and not 0: milliseconds, or as RFC 3339; else the one of the record."""
    if source.ts_ns:
        return format_rfc3339(source.ts_ns // 1_000)
    return format_rfc3339(source.ts_us) if source.ts_us else source.ts_ms or else_ms


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
