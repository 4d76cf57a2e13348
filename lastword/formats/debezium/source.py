"""Where a change is in its source's order, and when it was committed, as Debezium tells both.

Source: docs/decisions/0021-positions-before-clocks.md and
https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-events
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec

from lastword.contract.fields import shown
from lastword.contract.rfc3339 import format_rfc3339
from lastword.contract.version import VERSION_LIMIT, Position, Version
from lastword.formats.tidb import position_of_commit

POSTGRESQL: Final = "postgresql"
TICDC: Final = "TiCDC"
"""What writes TiDB's changes in Debezium's form, by rules of its own."""

WHOLE_BEFORE: Final = frozenset({"mysql", "mariadb", "oracle", "sqlserver", "db2", "informix", TICDC})
ALIGNED: Final = 8
"""PostgreSQL's positions are bytes, and its records begin at each eighth: what has one place has seven more before."""

_ALONE, _READ = 3, 2
"""How far before: a change of which no commit is told; and of these a row that was read. A deletion is one before."""

ALONE: Final = ""
"""The name of a value that is no column of a row."""

DECIMAL: Final = "org.apache.kafka.connect.data.Decimal"
BITS: Final = "io.debezium.data.Bits"
_REMEDIES: Final = {
    DECIMAL: "is a number that the connector writes as bytes: set decimal.handling.mode=string; for a BIGINT UNSIGNED "
    "of MySQL and MariaDB bigint.unsigned.handling.mode=long",
    BITS: "is bits, which the connector writes as bytes, the last ones first: take another column, or make it a number",
}
_SEQUENCE: Final[msgspec.json.Decoder[list[str | int | None]]] = msgspec.json.Decoder(list[str | int | None])


class Source(msgspec.Struct):
    """When the database committed it, and where that is in the log of PostgreSQL: the ``lsn``, or in ``sequence``."""

    connector: str | None = None
    snapshot: str | bool | None = None
    ts_ms: int | None = None
    ts_us: int | None = None
    ts_ns: int | None = None
    lsn: int | str | msgspec.UnsetType | None = msgspec.UNSET
    sequence: str | list[str | int | None] | None = None
    commit_ts: int | None = None

    @property
    def names_the_log(self) -> bool:
        """Whether it has what only PostgreSQL's connector tells, empty as it may be."""
        return self.lsn is not msgspec.UNSET or isinstance(self.sequence, list) or (self.sequence or "").startswith("[")

    @property
    def is_read(self) -> bool:
        """Whether a snapshot has read it: ``false`` and ``last`` … are words of Debezium's, and may be missing."""
        return self.snapshot is True or (isinstance(self.snapshot, str) and self.snapshot not in ("", "false"))

    @property
    def tells_all_before(self) -> bool:
        """Whether the row before a change is whole; of a connector that is not known it may be PostgreSQL's."""
        return self.connector in WHOLE_BEFORE

    @property
    def is_postgresql(self) -> bool:
        """Whether its changes are ordered by the log of PostgreSQL."""
        return self.connector == POSTGRESQL or (self.connector is None and self.names_the_log)


def position_of(source: Source, offset: int, *, is_read: bool) -> Position:
    """Where the change is in its database's log, if that is told by numbers that grow, else in its partition.

    Debezium writes the changes of a key in their order, and into one partition. Only PostgreSQL has such numbers: the
    last commit before the change's own transaction, then the change itself. The latter alone does not do: a transaction
    that was open while a row was read, and commits afterwards, has changes from before. A row that was read, and not
    from the log, comes right after the last commit. Of the others, MySQL's files and GTIDs begin anew on another
    primary, and SQL Server's and Oracle's numbers are shared by many changes. TiDB's commits have times that grow.
    """
    if source.connector == TICDC and source.commit_ts is not None:
        return position_of_commit(source.commit_ts)
    if not source.is_postgresql or (isinstance(source.lsn, str) and not _is_number(source.lsn)):
        return offset  # a relative of PostgreSQL's may have an lsn that is no number
    lsn = int(source.lsn) if isinstance(source.lsn, (int, str)) else None
    committed, change = _sequence(source.sequence)
    if lsn is None and change is None:
        raise ValueError(
            "source has neither an lsn nor a sequence, so that nothing tells where the row is in PostgreSQL's log; "
            "behind ExtractNewRecordState: add.fields=op,source.lsn,source.sequence,source.ts_ms"
        )
    if committed is not None:
        return committed // ALIGNED, 0 if is_read else lsn or 0
    # The first change after a snapshot may have the very place that the snapshot bears.
    return (lsn or change or 0) // ALIGNED, max(0, (lsn or 0) - _ALONE - _READ * is_read)


def tells_commit(version: Version) -> bool:
    """Whether the version is of a change that tells the commit before it; a relative of PostgreSQL's aligns nothing."""
    alone = (_ALONE, _ALONE + 1, _ALONE + _READ)
    return bool(version.commit) and ALIGNED - version.sequence % ALIGNED not in alone


def time_of(source: Source, else_ms: int | None) -> str | int | None:
    """The most exact of the times that are told and can be: milliseconds, or as RFC 3339; else the record's."""
    for us in ((source.ts_ns or 0) // 1_000, source.ts_us or 0):
        if 0 < us < VERSION_LIMIT:
            return format_rfc3339(us)
    return source.ts_ms or else_ms


def _sequence(given: str | list[str | int | None] | None) -> tuple[int | None, int | None]:
    """The last commit and the change, which are JSON in a text; each is None where it is not told."""
    try:
        numbers = _SEQUENCE.decode(given) if isinstance(given, str) else given
    except msgspec.DecodeError as error:
        raise ValueError(f"source.sequence is not JSON of two numbers: {shown(str(given))}") from error
    committed, change, *_ = [*(numbers or []), None, None]
    return _number(committed), _number(change)


def _number(given: str | int | None) -> int | None:
    if given is None or isinstance(given, int):
        return given
    return int(given) if _is_number(given) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def refuse_encoded_id(schema: bytes, names: Iterable[str], payload: bytes) -> None:
    """ValueError where one of these columns is, by the schema, a number, and is written as bytes: no id can be told.

    So also where it says that of a value alone, as which a key may come. ``payload`` is what the schema describes: a
    row, a key, or an event with rows in it. With ``decimal.format=NUMERIC`` it has the number itself.
    """
    encoded = _encoded(schema)
    for name in (ALONE, *names):
        if (kind := encoded.get(name)) and _is_text(name, payload):
            what = "the key" if name == ALONE else f"column {shown(name)}"
            raise ValueError(f"{what}, the product id, {_REMEDIES[kind]}")


def _is_text(name: str, payload: bytes) -> bool:
    given = msgspec.json.decode(payload)
    if name == ALONE or not isinstance(given, dict):
        return isinstance(given, str)
    rows = (given, given.get("before"), given.get("after"))
    return any(isinstance(row, dict) and isinstance(row.get(name), str) for row in rows)


@lru_cache(maxsize=256)
def _encoded(schema: bytes) -> dict[str, str]:
    """Of the columns that are written as bytes and are something else, what they are, anywhere in a Connect schema."""
    if not any(kind.encode() in schema for kind in _REMEDIES):
        return {}
    encoded: dict[str, str] = {}
    open_: list[object] = [msgspec.json.decode(schema)]
    while open_:
        part = open_.pop()
        if isinstance(part, dict):
            if (kind := part.get("name")) in _REMEDIES:
                encoded[str(part.get("field", ALONE))] = str(kind)
            open_ += part.get("fields") or []
    return encoded
