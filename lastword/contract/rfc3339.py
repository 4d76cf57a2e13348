"""Points in time as RFC 3339 text, to the microsecond, without passing through a float."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

# Stricter than datetime.fromisoformat, which also takes week dates, commas, bare hours and a missing offset, more of it
# with every release of Python. [0-9], since \d takes the digits of every script.
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ](?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_WITHOUT_OFFSET: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_QUOTED_LENGTH: Final = 40


def parse_rfc3339(text: str) -> int:
    """Return the microseconds from the epoch to ``text``, like ``2025-11-22T09:26:40.000123+01:00``.

    Digits past microseconds are cut, never rounded: rounded up, a time could overtake one that is later. ``:60`` is the
    next second, in whatever minute, since the leap seconds to come are not known to us. A space may stand for ``T``,
    and ``t`` and ``z`` for ``T`` and ``Z``.

    ValueError for any other form, an offset missing or out of range, a day that does not exist, a time before 1970.
    """
    if not _RFC3339.fullmatch(text):
        raise ValueError(f"{_quoted(text)} {_complaint(text)}")
    leap = text[17:19] == "60"
    try:
        # It cuts digits past microseconds: https://docs.python.org/3/library/datetime.html#datetime.datetime.fromisoformat
        time = datetime.fromisoformat((f"{text[:17]}59{text[19:]}" if leap else text).upper())
    except ValueError as error:
        raise ValueError(f"{_quoted(text)} names a day that does not exist: {error}") from error
    since_epoch = time - _EPOCH
    time_us = (since_epoch.days * 86_400 + since_epoch.seconds + leap) * 1_000_000 + since_epoch.microseconds
    if time_us < 0:
        raise ValueError(f"{_quoted(text)} is before 1970")
    return time_us


def format_rfc3339(time_us: int) -> str:
    """Return microseconds since the epoch as RFC 3339 in UTC; ``parse_rfc3339`` reads the same number back."""
    time = _EPOCH + timedelta(microseconds=time_us)
    return f"{time.replace(tzinfo=None).isoformat()}Z"


def _complaint(text: str) -> str:
    if _WITHOUT_OFFSET.fullmatch(text):
        return "has no offset from UTC; wanted is Z or one like +01:00 at its end"
    return "is not an RFC 3339 time with an offset, like 2025-11-22T09:26:40.000123+01:00"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _QUOTED_LENGTH else text[:_QUOTED_LENGTH] + "…")
