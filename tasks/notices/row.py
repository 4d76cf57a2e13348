"""What a loader tells of an entity, and what that makes of the notice for which it was asked. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from lastword.contract.errors import (
    PermanentError,
    RowBehindError,
    RowStaysBehindError,
    TransientError,
    UnusableRowError,
)
from lastword.contract.fields import sequence_of, updated_at_us
from lastword.contract.record import Update, refuse_future
from lastword.contract.version import VERSION_LIMIT, Version

WANTED: Final = "a tuple (updated_at, sequence or None, data), or None where there is no such row"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def update_of(
    notice: Update, row: object, *, overdue: bool, future_limit_s: float, now_s: float
) -> Update | TransientError | PermanentError:
    """Return what is to be written for a notice, at the row's own version, or why nothing is yet, or ever.

    A notice by position keeps its own version: no row's time compares with it, and what was loaded under the lock after
    the notice came is that state or a later one. One that is apart may be a deletion: a row that is missing is gone.

    ``row`` is what the loader gave, None for an entity that it does not find. A row without a sequence of its own has
    the notice's where both have the same ``updated_at``, and 0 otherwise. A row that is missing, or older than the
    notice, as in a replica that lags, may come; when it is ``overdue`` the missing one is a deletion, at the notice's
    version, and the older one is an error. ``future_limit_s`` and ``now_s`` (seconds since the epoch): a row may be no
    farther ahead.
    """
    if row is None:
        if overdue or notice.deleted:
            return msgspec.structs.replace(notice, deleted=True, numbered=False)
        return RowBehindError(f"{_named(notice)}: the loader finds no such row yet")
    try:
        time_us, own_sequence, data = _parts(row)
        if notice.version.is_position:
            return msgspec.structs.replace(notice, data=data, deleted=False, time_us=time_us)
        version = Version(time_us, _sequence(own_sequence, time_us, notice))
        refuse_future(version, future_limit_s, now_s)
    except ValueError as error:
        return UnusableRowError(f"{_named(notice)}: {error}")
    if version < notice.version:
        told = f"{_named(notice)}: the loader's row has version {version}"
        return RowStaysBehindError(f"{told}, and is no newer by now") if overdue else RowBehindError(f"{told} as yet")
    return Update(entity_id=notice.entity_id, version=version, data=data)


def _sequence(own: int | None, time_us: int, notice: Update) -> int:
    if own is None:
        return notice.version.sequence if time_us == notice.version.updated_at_us else 0
    if notice.numbered:
        return own
    raise ValueError(
        f"its row has the sequence {own} and the notice has none, so that nothing tells which of the two is newer: "
        "give the notice the row's sequence, or let the loader return None for it"
    )


def _parts(row: object) -> tuple[int, int | None, bytes]:
    if not isinstance(row, (tuple, list)) or len(row) != 3:  # noqa: PLR2004 - three parts
        raise ValueError(f"the loader returned {_shown(row)}; wanted is {WANTED}")
    time, sequence, data = row
    if sequence is not None:
        if not isinstance(sequence, int) or isinstance(sequence, bool):
            raise ValueError(f"the loader returned the sequence {_shown(sequence)}; wanted is an integer, or None")
        sequence = sequence_of(sequence)
    return _time_us(time), sequence, _json(data)


def _time_us(given: object) -> int:
    if isinstance(given, datetime):
        if given.utcoffset() is None:
            raise ValueError(f"the loader returned updated_at {given!r}, which has no offset from UTC: say which it is")
        time_us = (given - _EPOCH) // timedelta(microseconds=1)
        if not 0 <= time_us < VERSION_LIMIT:
            raise ValueError(f"the loader returned updated_at {given!r}; 1970 to June 2255 are allowed")
        return time_us
    if isinstance(given, (str, int)) and not isinstance(given, bool):
        return updated_at_us(given)
    raise ValueError(
        f"the loader returned updated_at {_shown(given)}; wanted is a datetime with an offset from UTC, RFC 3339 text, "
        "or milliseconds since the epoch"
    )


def _json(data: Any) -> bytes:  # noqa: ANN401 - whatever a user's rows hold
    """``bytes`` are JSON already; anything else is encoded."""
    try:
        if not isinstance(data, bytes):
            return msgspec.json.encode(data)
        data.decode()
        msgspec.json.decode(data)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise ValueError(f"the loader returned data that is not JSON, or cannot be: {error}") from error
    return data


def _named(notice: Update) -> str:
    return f"product {notice.entity_id!r}, notice {notice.version}"


def _shown(given: object) -> str:
    return f"{given!r:.80}"
