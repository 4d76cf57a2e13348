"""The row before a change, and how much of it is to be believed.

With REPLICA IDENTITY DEFAULT PostgreSQL tells of it only the key, and Debezium fills the rest: with null, with 0 or its
like where a column takes no null, or with the column's own default.
"""

import re
from datetime import datetime
from typing import Final

import msgspec

from lastword.contract.change import Change
from lastword.contract.version import Position
from lastword.formats.debezium.key import DebeziumKey, id_in_key
from lastword.formats.debezium.source import Source
from lastword.formats.rows import IdColumns, Row, deletion_of

Time = datetime | str | int | None

_UNTOLD: Final = re.compile(
    rb'null|"?0(\.0*)?"?|""|false|"AA=="|"?(\{\}|\[\])"?|"0{8}(-0{4}){3}-0{12}"'
    rb'|"1970-01-01([TZ+ ][^"]*)?"|"00:00(:00(\.0*)?)?(Z|[+-]00:00)?"|"P(0Y)?(0M)?(0D)?T0H0M0(\.0*)?S"'
)
"""What stands for nothing, in the type of its column: a number may be bytes, and of a uuid all digits are 0."""

FULL: Final = "the table needs REPLICA IDENTITY FULL"
CONNECTOR: Final = "; of another database the flattening is to tell it: add.fields=op,source.connector,source.ts_ms"


def is_told(before: Row, source: Source, ids: IdColumns) -> bool:
    """Whether the row before has an id that is no filling."""
    return source.tells_all_before or not any(_UNTOLD.fullmatch(bytes(before.get(name, b"null"))) for name in ids.names)


def is_doubtful(before: Row, source: Source, ids: IdColumns, key: DebeziumKey) -> bool:
    """Whether its id may still be a filling, a default of its column: nothing else of the row is told, but the key."""
    if source.tells_all_before or not isinstance(key, dict):
        return False
    others = _others(before, ids, key)
    return bool(others) and all(map(_is_untold, others))


def _is_filled(key: Row, before: Row | None, source: Source, ids: IdColumns) -> bool:
    """Whether an id in the key of a deletion may itself be a filling: it is nothing, and other columns are told.

    PostgreSQL's connector makes that key of the old row: with REPLICA IDENTITY USING INDEX that has the index alone.
    """
    if before is None or not source.is_postgresql or not all(_is_untold(key[name]) for name in ids.names):
        return False
    return not all(map(_is_untold, _others(before, ids, key)))


def _others(row: Row, ids: IdColumns, key: Row) -> list[msgspec.Raw]:
    return [value for name, value in row.items() if name not in ids.names and name not in key]


def _is_untold(value: msgspec.Raw) -> bool:
    return _UNTOLD.fullmatch(bytes(value)) is not None


def deletion(
    before: Row | None,
    source: Source,
    ids: IdColumns,
    key: DebeziumKey,
    *,
    notices: bool,
    updated_at: Time,
    position: Position,
) -> Change:
    """The deletion of the entity that a key with its column names, else the row before, else a lone value as key.

    Where its id is doubtful it is a notice, so that the row is looked for; ValueError where there is no loader.
    """
    in_key = id_in_key(key, ids)
    if isinstance(key, dict) and in_key is not None:
        by_key = deletion_of(in_key, updated_at=updated_at, position=position)
        return doubted(by_key, source, notices=notices) if _is_filled(key, before, source, ids) else by_key
    if before is not None and is_told(before, source, ids):
        in_before = ids.in_row(before)
        if in_before is not None and is_doubtful(before, source, ids, key):
            return doubted(deletion_of(in_before, updated_at=updated_at, position=position), source, notices=notices)
        in_key = in_key if in_before is None else in_before
    elif before is not None and (in_key is None or _is_anothers(in_key, before, ids)):
        raise ValueError(
            f"the deletion does not tell {ids}: the key has it not, and the row before only what stands for nothing; "
            f"{_remedy(source)}"
        )
    gone = ids.needed(before) if in_key is None else in_key
    return deletion_of(gone, updated_at=updated_at, position=position)


def doubted(gone: Change, source: Source, *, notices: bool) -> Change:
    """A notice in place of the deletion of what a doubtful row names; ValueError where there is no loader."""
    if notices:
        return msgspec.structs.replace(gone, deleted=False)
    raise ValueError(
        f"the deletion names {gone.product_id!r:.80}, which may be a default of the column, and no id, by what else is "
        f"told: {_remedy(source)}. Where that is so already, configure a loader"
    )


def _remedy(source: Source) -> str:
    return FULL if source.is_postgresql else f"{FULL}, if it is PostgreSQL's{CONNECTOR}"


def _is_anothers(value: str | int, row: Row, ids: IdColumns) -> bool:
    """Whether another column of the row has the value that is the record's whole key."""
    forms = (str(value).encode(), msgspec.json.encode(str(value)))
    return any(bytes(row[name]) in forms for name in row.keys() - set(ids.names))
