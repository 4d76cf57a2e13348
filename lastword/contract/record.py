"""The update contract: what a record says about one entity, or why it cannot be understood.

A record is a key, a value and headers. Its value is a JSON object with the fields ``product_id``, ``updated_at``,
``sequence``, ``data`` and ``deleted``; others are ignored. ``null`` counts as absent, except in ``data``, where it is a
state like any other. Where a field or a header comes twice, the last one counts.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from lastword.contract.fields import (
    Fields,
    entity_id_of,
    int64_of_key,
    milliseconds_us,
    read_fields,
    read_json_key,
    sequence_of,
    sequence_of_header,
    shown,
    updated_at_us,
    updated_at_us_of_header,
)
from lastword.contract.rfc3339 import format_rfc3339
from lastword.contract.version import Version

JSON: Final = "json"
"""The name of our own format, among those that lastword/formats has."""

VERSION_HEADER: Final = "lastword-version"
"""The header in which a replayed record carries its version, as ``str(version)``."""

_NO_FIELDS: Final = Fields()


class Kind(StrEnum):
    """What an update asks for."""

    UPDATE = "update"
    TOMBSTONE = "tombstone"
    NOTICE = "notice"


class KeyForm(StrEnum):
    """How a record's key spells the entity id; ``INT64`` is Java's LongSerializer: 8 bytes, big-endian, signed."""

    TEXT = "text"
    JSON = "json"
    INT64 = "int64"


class InvalidUpdateError(ValueError):
    """The record is no update: the message is one printable line of bounded length, for a person."""


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one entity: its full new state, its deletion, or the bare notice that it changed.

    ``data`` is one JSON value, byte for byte as received and valid UTF-8; None in a tombstone and in a notice.
    ``numbered``: a notice, and its sequence is its own, no offset that stands in for one. ``time_us``: when the source
    committed it, in microseconds since the epoch, where that is not what the version begins with.
    """

    entity_id: str
    version: Version
    data: bytes | None
    deleted: bool = False
    numbered: bool = False
    time_us: int | None = None

    @property
    def updated_at_us(self) -> int:
        """When the source committed it, in microseconds since the epoch: for people and limits, never for the order."""
        return self.version.updated_at_us if self.time_us is None else self.time_us

    @property
    def is_notice(self) -> bool:
        """Whether its state is not given, or not certain, and to be loaded."""
        return (self.data is None and not self.deleted) or self.version.asks

    @property
    def kind(self) -> Kind:
        """Whether the state is given, gone, or to be loaded."""
        if self.deleted:
            return Kind.TOMBSTONE
        return Kind.NOTICE if self.data is None else Kind.UPDATE


@dataclass(frozen=True, slots=True)
class Rules:
    """By which rules records become updates.

    Where the key must agree, it may be the only one to carry the entity id, and may be null beside a ``product_id`` in
    the value; two ids must be the same. Otherwise the key is never looked at, and a value without ``product_id``, as is
    a null one, is invalid: a key that is something else must not change the entity that happens to have its name.
    """

    key_form: KeyForm = KeyForm.TEXT
    key_must_agree: bool = True
    future_limit_s: float = 86_400.0
    """How far ahead of our clock an update may be: one from the far future would pin its entity for ever."""
    notices: bool = False
    """Whether an update may come without data: only where a loader can fetch it."""
    format: str = JSON
    """What records are written in: see lastword/formats."""
    id_field: str = "id"
    """The column of a row, in the formats that carry rows, that is the entity id; or several, with commas between."""
    columns: tuple[str, ...] = ()
    """Columns that every row must have: one without is not whole."""
    placeholder: str = "__debezium_unavailable_value"
    """What Debezium was told to write in the place of a value that it does not know."""
    added_prefix: str = "__"
    """What the names of the fields begin with that Debezium's flattening adds."""
    tombstone_time_from_record: bool = False
    """Whether a null value without a header ``updated_at`` takes the last microsecond of the record's timestamp."""
    one_partition: bool = False
    """Whether all rows of the table are in one partition, whose offsets order also what changes a row's id."""
    anew_ms: tuple[int, ...] = ()
    """When the source's positions began anew, in milliseconds, by the records' own timestamps; ascending."""

    def generation(self, timestamp_ms: int | None) -> int:
        """Which generation of the source's positions a record with this timestamp is of."""
        return len(self.anew_ms) if timestamp_ms is None else bisect_right(self.anew_ms, timestamp_ms)


def decode(
    *,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
    offset: int,
    timestamp_ms: int | None,
    rules: Rules,
    now: Callable[[], float] = time.time,
    version: Version | None = None,
) -> list[Update]:
    """Return the updates in a record, in the order in which they count; plain JSON holds exactly one.

    A null ``value`` is a tombstone, whose ``updated_at`` and ``sequence`` are headers of these names, as text.
    ``offset`` stands in for an absent sequence; ``timestamp_ms`` is the record's own, None if it has none. A header
    ``lastword-version`` overrides the version, whatever time and number ``updated_at`` and ``sequence`` hold. ``now``
    returns the seconds since the epoch. ``version``: by the source's position; then ``updated_at`` decides nothing.

    InvalidUpdateError where the record breaks a rule of the contract; nothing else is raised.
    """
    last_headers = dict(headers)
    try:
        fields = _NO_FIELDS if value is None else read_fields(value)
        deleted = value is None or fields.deleted is True
        data = None if deleted else _data(fields, rules)
        entity_id = _entity_id(fields, key, rules)
        if version is not None:
            time_us = _time_for_people(fields, timestamp_ms)
            return [Update(entity_id=entity_id, version=version, data=data, deleted=deleted, time_us=time_us)]
        if VERSION_HEADER in last_headers:
            version = _version_from_header(last_headers[VERSION_HEADER])
        elif value is None:
            version = _version_of_null_value(last_headers, offset, timestamp_ms, rules)
        else:
            version = _version(fields, offset)
        refuse_future(version, rules.future_limit_s, now())
    except ValueError as error:
        raise InvalidUpdateError(str(error)) from error
    numbered = data is None and not deleted and fields.sequence is not None
    return [Update(entity_id=entity_id, version=version, data=data, deleted=deleted, numbered=numbered)]


def _time_for_people(fields: Fields, timestamp_ms: int | None) -> int:
    """When the source committed it, else when the record was written, else 1970: nothing depends on it."""
    for given in (fields.updated_at, timestamp_ms):
        with suppress(ValueError):
            if given is not None:
                return updated_at_us(given)
    return 0


def entities_named(*, key: bytes | None, value: bytes | None, rules: Rules) -> frozenset[str]:
    """The entity ids in a record's key, where keys count, and in its value, be the record valid or not."""
    entity_ids = set()
    with suppress(ValueError):
        if rules.key_must_agree and (in_key := id_in_key(key, rules.key_form)) is not None:
            entity_ids.add(in_key)
    with suppress(ValueError):
        if value is not None and (in_value := read_fields(value).product_id) is not None:
            entity_ids.add(entity_id_of(in_value))
    return frozenset(entity_ids)


def _data(fields: Fields, rules: Rules) -> bytes | None:
    data = bytes(fields.data)
    if not data and not rules.notices:
        raise ValueError(
            "data is missing and deleted is not true: such a notice is valid only where a loader is configured, "
            "which fetches the product's state"
        )
    return data or None


def _entity_id(fields: Fields, key: bytes | None, rules: Rules) -> str:
    in_value = None if fields.product_id is None else entity_id_of(fields.product_id)
    in_key = id_in_key(key, rules.key_form) if rules.key_must_agree else None
    if in_value is not None and in_key is not None and in_value != in_key:
        raise ValueError(f"the key names product {shown(in_key)}, but product_id is {shown(in_value)}: they must agree")
    entity_id = in_key if in_value is None else in_value
    if entity_id is None:
        keys = "the key has none either" if rules.key_must_agree else "a setting says that keys are ignored"
        raise ValueError(f"product_id is missing in the value, and {keys}")
    return entity_id


def id_in_key(key: bytes | None, form: KeyForm) -> str | None:
    """The entity id that a record's key spells; None for a null key. ValueError where it spells none."""
    if key is None:
        return None
    try:
        match form:
            case KeyForm.TEXT:
                return entity_id_of(key.decode())
            case KeyForm.JSON:
                given = read_json_key(key)
                return None if given is None else entity_id_of(given)
            case KeyForm.INT64:
                return entity_id_of(int64_of_key(key))
    except UnicodeDecodeError as error:
        raise ValueError(f"the key, read as text, is not UTF-8 ({error.reason} at byte {error.start})") from error
    except ValueError as error:
        raise ValueError(f"the key, read as {form}, names no product: {error}") from error


def _version(fields: Fields, offset: int) -> Version:
    if fields.updated_at is None:
        raise ValueError("updated_at is missing")
    return Version(
        updated_at_us(fields.updated_at), offset if fields.sequence is None else sequence_of(fields.sequence)
    )


def _version_from_header(text: bytes | None) -> Version:
    try:
        return Version.parse("" if text is None else text.decode(errors="replace"))
    except ValueError as error:
        raise ValueError(f"header {VERSION_HEADER}: {error}") from error


def _version_of_null_value(
    last_headers: Mapping[str, bytes | None], offset: int, timestamp_ms: int | None, rules: Rules
) -> Version:
    updated_at, sequence = last_headers.get("updated_at"), last_headers.get("sequence")
    if updated_at is not None:
        time_us = updated_at_us_of_header(updated_at)
    elif not rules.tombstone_time_from_record:
        raise ValueError(
            "the value is null, a tombstone, and there is no header updated_at; a setting forbids to take the record's "
            "timestamp for it"
        )
    elif timestamp_ms is None:
        raise ValueError("the value is null, a tombstone, and there is neither a header updated_at nor a timestamp")
    else:
        # The last microsecond: what the source wrote earlier in the millisecond of the deletion must not win.
        time_us = milliseconds_us(timestamp_ms, "the record's timestamp") + 999
    return Version(time_us, offset if sequence is None else sequence_of_header(sequence))


def refuse_future(version: Version, limit_s: float, now_s: float) -> None:
    """ValueError where the version is more than ``limit_s`` ahead of ``now_s``, seconds since the epoch."""
    ahead_s = version.updated_at_us / 1e6 - now_s
    if ahead_s > limit_s:
        raise ValueError(
            f"updated_at {format_rfc3339(version.updated_at_us)} (version {version}) is {ahead_s:.0f} s ahead of this "
            f"machine's clock; at most {limit_s:g} s are allowed"
        )
