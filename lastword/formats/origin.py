"""Where a record's row comes from, as far as its source tells: which table, by which connector. Pure."""

from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from lastword.contract.record import VERSION_HEADER, Rules
from lastword.formats.record import Record
from lastword.formats.rows import IdColumns

FLATTENED: Final = "debezium-unwrapped"
TELLING: Final = frozenset({"debezium", FLATTENED, "canal", "maxwell"})
NOT_TOLD: Final = (b"", b"null")


class Origin(NamedTuple):
    """``table`` with what it lies in, ``shop.public.products``; ``connector``: its name; "" where that is not told.

    ``hides_moves``: the record is keyed by other columns than the id, and does not tell what the row was before, or has
    no order but its partition's: an id that changes, or goes from row to row, may end wrong.
    """

    table: str = ""
    connector: str = ""
    hides_moves: bool = False


NOWHERE: Final = Origin()


class _Source(msgspec.Struct):
    name: str | None = None
    db: str | None = None
    schema: str | None = None
    table: str | None = None
    lsn: msgspec.Raw = msgspec.Raw()
    sequence: msgspec.Raw = msgspec.Raw()
    commit_ts: msgspec.Raw = msgspec.Raw()

    @property
    def tells_order(self) -> bool:
        """Whether it has a position that counts in all partitions."""
        return any(bytes(told) not in NOT_TOLD for told in (self.lsn, self.sequence, self.commit_ts))


class _Payload(msgspec.Struct):
    op: str | None = None
    before: msgspec.Raw = msgspec.Raw()
    source: _Source | str | None = None


class _Told(_Payload):
    """Maxwell and Canal name the table beside the row; Debezium in the source, with or without its schema around.

    So it does in attributes, in the envelope of CloudEvents.
    """

    database: str | None = None
    table: str | None = None
    payload: _Payload | None = None
    iodebeziumname: str | None = None
    iodebeziumdb: str | None = None
    iodebeziumschema: str | None = None
    iodebeziumtable: str | None = None


_TOLD: Final = msgspec.json.Decoder(_Told)


def origin_of(record: Record, rules: Rules) -> Origin:
    """What a record tells of it; of one that was sent back it may be long ago."""
    if rules.format not in TELLING or not record.value or VERSION_HEADER in (name for name, _ in record.headers):
        return NOWHERE
    if rules.format == FLATTENED:
        return Origin(hides_moves=True) if _is_keyed_apart(record.key, rules) else NOWHERE
    try:
        told = _TOLD.decode(record.value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return NOWHERE
    event = told.payload or told
    source = event.source
    parts: tuple[str | None, ...] = (told.database, told.table)
    name = told.iodebeziumname
    if isinstance(source, _Source):
        parts, name = (source.db, source.schema, source.table), source.name
    elif source is not None:  # an attribute of CloudEvents
        parts = (told.iodebeziumdb, told.iodebeziumschema, told.iodebeziumtable)
    table = ".".join(part for part in parts if part) if parts[-1] else ""
    return Origin(table, name or "", _hides_moves(event, rules) and _is_keyed_apart(record.key, rules))


def _hides_moves(event: _Payload, rules: Rules) -> bool:
    """Whether an event of Debezium's that is not keyed by the id leaves open what was before, or what comes last."""
    before_is_hidden = event.op == "u" and bytes(event.before) in NOT_TOLD
    if rules.notices or rules.one_partition or not isinstance(event.source, _Source):
        return before_is_hidden
    return before_is_hidden or not event.source.tells_order


def _is_keyed_apart(key: bytes | None, rules: Rules) -> bool:
    """Whether the key is a struct, and names not all columns of the id."""
    return key is not None and key[:1] == b"{" and not all(name in key for name in _quoted(rules))


@lru_cache(maxsize=8)
def _quoted(rules: Rules) -> tuple[bytes, ...]:
    return tuple(msgspec.json.encode(name) for name in IdColumns.of(rules).names)
