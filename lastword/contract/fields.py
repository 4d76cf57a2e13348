"""The fields of an update, taken from a record's value or headers: what each means, or why it means nothing.

Every function raises ValueError, whose message is one printable line of bounded length, for a person.
"""

import re
from typing import Final, TypeVar

import msgspec

from lastword.contract.rfc3339 import parse_rfc3339
from lastword.contract.version import VERSION_LIMIT

_MAX_ID_BYTES: Final = 512
_LEAST_MS: Final = 10**11  # as milliseconds a day of 1973, as seconds one of the year 5138
_LIMIT_MS: Final = VERSION_LIMIT // 1_000
_MAX_DIGITS: Final = 16  # of a number below VERSION_LIMIT
_SHOWN_LENGTH: Final = 80
_HALF_SURROGATE_PAIR: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


T = TypeVar("T")


class Fields(msgspec.Struct):
    """The fields of a record's value; None and, for the JSON text of ``data``, empty when absent."""

    product_id: str | int | None = None
    updated_at: str | int | None = None
    sequence: int | None = None
    data: msgspec.Raw = msgspec.Raw()
    deleted: bool | None = None


_FIELDS: Final = msgspec.json.Decoder(Fields)
_KEY: Final[msgspec.json.Decoder[str | int | None]] = msgspec.json.Decoder(str | int | None)


def read_fields(value: bytes) -> Fields:
    """Take a record's value apart; all of it is JSON and UTF-8, unknown fields and ``data`` included."""
    if not value:
        raise ValueError("the value is empty (0 bytes): the value of a tombstone is null, any other is a JSON object")
    return read_json(value, _FIELDS, "the value")


def read_json_key(key: bytes) -> str | int | None:
    """Return the string, integer or null that a record's key spells in JSON."""
    return read_json(key, _KEY, "it")


def read_json(text: bytes, decoder: "msgspec.json.Decoder[T]", name: str) -> T:
    """Decode JSON, all of which is UTF-8; ``name`` is what the error calls it."""
    try:
        # msgspec checks the UTF-8 of the strings that it decodes, and of them alone.
        text.decode()
        return decoder.decode(text)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"{name} {_json_problem(text, error)}: {shown(text)}") from error


def entity_id_of(given: str | int) -> str:
    """Return the entity id as text, if it has a usable length."""
    if isinstance(given, int):
        given = str(given)
    length = len(given.encode())
    if not 1 <= length <= _MAX_ID_BYTES:
        raise ValueError(f"product id {shown(given)} has {length} bytes in UTF-8: 1 to {_MAX_ID_BYTES} are allowed")
    return given


def updated_at_us(given: str | int) -> int:
    """Return the microseconds since the epoch that an RFC 3339 text, or a number of milliseconds, stands for."""
    if isinstance(given, int):
        return milliseconds_us(given)
    try:
        time_us = parse_rfc3339(given)
    except ValueError as error:
        raise ValueError(f"updated_at {error}") from error
    if time_us >= VERSION_LIMIT:
        raise ValueError(f"updated_at {shown(given)} is later than a version can hold, which ends in June 2255")
    return time_us


def milliseconds_us(time_ms: int, name: str = "updated_at") -> int:
    """Return milliseconds since the epoch as microseconds, unless they look like another unit.

    A version can hold every microsecond of that millisecond.
    """
    if time_ms < 0:
        raise ValueError(f"{name} {shown(time_ms)} is before 1970")
    if time_ms < _LEAST_MS:
        raise ValueError(f"{name} {shown(time_ms)} is too small: seconds? milliseconds are wanted")
    if time_ms >= _LIMIT_MS:
        raise ValueError(f"{name} {shown(time_ms)} is too large: microseconds? milliseconds are wanted")
    return time_ms * 1_000


def sequence_of(given: int) -> int:
    """Return the sequence, if it is in range."""
    if not 0 <= given < VERSION_LIMIT:
        raise ValueError(f"sequence {shown(given)} is out of range: 0 to 2^53-1 = {VERSION_LIMIT - 1} are allowed")
    return given


def updated_at_us_of_header(given: bytes) -> int:
    """Return the microseconds since the epoch that RFC 3339, or decimal milliseconds, stand for."""
    number = _decimal(given)
    return updated_at_us(given.decode(errors="replace") if number is None else number)


def sequence_of_header(given: bytes) -> int:
    """Return the sequence that decimal digits stand for."""
    number = _decimal(given)
    if number is None:
        raise ValueError(f"sequence {shown(given)} is not an integer of 0 to 2^53-1 = {VERSION_LIMIT - 1}")
    return sequence_of(number)


def int64_of_key(key: bytes) -> int:
    """Return the number that Java's LongSerializer wrote."""
    if len(key) != 8:  # noqa: PLR2004 - 64 bits
        raise ValueError(f"it has {len(key)} bytes, 8 are wanted: {shown(key)}")
    return int.from_bytes(key, "big", signed=True)


def shown(given: str | bytes | int) -> str:
    """Return the beginning of what was given, printable."""
    if isinstance(given, int):
        text = str(given)  # msgspec reads no integer of more digits than str() writes
    elif isinstance(given, bytes):
        text = repr(given[: _SHOWN_LENGTH + 1].decode(errors="backslashreplace"))
    else:
        text = repr(given[: _SHOWN_LENGTH + 1])
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"


def _decimal(text: bytes) -> int | None:
    return int(text) if text.isdigit() and len(text) <= _MAX_DIGITS else None


def _json_problem(text: bytes, error: Exception) -> str:
    if text.startswith(b"\xef\xbb\xbf"):
        return "begins with a byte order mark, which is no part of JSON"
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8 ({error.reason} at byte {error.start})"
    if isinstance(error, RecursionError):
        return "is JSON too deeply nested to be read"
    if isinstance(error, msgspec.ValidationError):
        hint = "; a tombstone has no value at all, rather than JSON's null" if text.strip() == b"null" else ""
        return f"does not keep the contract ({error}{hint})"
    # msgspec calls half a surrogate pair "truncated" or an "unexpected end".
    half = _HALF_SURROGATE_PAIR.search(text)
    hint = "" if half is None else f"; half of a surrogate pair, as {half[0].decode()} in it, is no character"
    return f"is not JSON ({error}{hint})"
