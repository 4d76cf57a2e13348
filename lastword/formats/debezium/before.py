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
    rb'null|"?0(\.0*)?"?|""|false|"AA=="|"1970-01-01T[^"]*"|"?(\{\}|\[\])"?|"0{8}(-0{4}){3}-0{12}"'
)
"""What stands for nothing, in the type of its column: a number may be bytes, and of a uuid all digits are 0."""

FULL: Final = "the table needs REPLICA IDENTITY FULL"


def is_told(before: Row, source: Source, ids: IdColumns) -> bool:
    """Whether the row before has an id that is no filling."""
    return source.tells_all_before or not any(_UNTOLD.fullmatch(bytes(before.get(name, b"null"))) for name in ids.names)


def is_doubtful(before: Row, source: Source, ids: IdColumns, key: DebeziumKey) -> bool:
    """Whether its id may still be a filling, a default of its column: nothing else of the row is told, but the key."""
    if source.tells_all_before or not isinstance(key, dict):
        return False
    known = {*ids.names, *key}
    others = [value for name, value in before.items() if name not in known and not name.startswith("__")]
    return bool(others) and all(_UNTOLD.fullmatch(bytes(value)) for value in others)


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
        return deletion_of(in_key, updated_at=updated_at, position=position)
    if before is not None and is_told(before, source, ids):
        in_before = ids.in_row(before)
        if in_before is not None and is_doubtful(before, source, ids, key):
            return doubted(deletion_of(in_before, updated_at=updated_at, position=position), notices=notices)
        in_key = in_key if in_before is None else in_before
    elif before is not None and (in_key is None or _is_anothers(in_key, before, ids)):
        raise ValueError(
            f"the deletion does not tell {ids}: the key has it not, and the row before only what stands for nothing; "
            f"{FULL}"
        )
    gone = ids.needed(before) if in_key is None else in_key
    return deletion_of(gone, updated_at=updated_at, position=position)


def doubted(gone: Change, *, notices: bool) -> Change:
    """A notice in place of the deletion of what a doubtful row names; ValueError where there is no loader."""
    if notices:
        return msgspec.structs.replace(gone, deleted=False)
    raise ValueError(
        f"the row before names {gone.product_id!r:.80}, and all else of it but the key stands for nothing. So it may "
        f"be a default, and no id: {FULL}. Where the table has that, configure a loader"
    )


def _is_anothers(value: str | int, row: Row, ids: IdColumns) -> bool:
    """Whether another column of the row has the value that is the record's whole key."""
    forms = (str(value).encode(), msgspec.json.encode(str(value)))
    return any(bytes(row[name]) in forms for name in row.keys() - set(ids.names))
