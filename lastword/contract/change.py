"""A change as a service tells it, and the record that it becomes."""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from lastword.contract.record import InvalidUpdateError, KeyForm, Rules, decode
from lastword.contract.version import Position


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change of one entity.

    ``updated_at``: when the database committed it, as a datetime with a time zone, RFC 3339 text, or milliseconds since
    1970. ``sequence``: orders changes with the same ``updated_at``; a row version. ``data``: the full new state, all
    that msgspec can write as JSON; JSON text that is there already as ``msgspec.Raw``; left out in a deletion only.
    ``position``: for a decoder, and not for publishing: where the change is in its source's own order, a number that
    grows, or two. It orders the changes of an entity by itself; ``updated_at`` is for people then, and may be None.
    """

    product_id: str | int
    updated_at: datetime | str | int | None
    sequence: int | None = None
    data: Any = msgspec.UNSET
    deleted: bool = False
    position: Position | None = None


def record_of(change: Change, rules: Rules) -> tuple[bytes, bytes]:
    """Return the key and the value of a change's record; InvalidUpdateError if the bridge would not understand it."""
    at = change.updated_at
    if change.position is not None:
        raise InvalidUpdateError("a change that is published has no position: that is for what a decoder reads")
    try:
        if isinstance(at, datetime) and at.utcoffset() is not None:
            # An offset may have seconds, which RFC 3339 cannot say. Without one, the contract's own complaint follows.
            change = msgspec.structs.replace(change, updated_at=at.astimezone(UTC))
        value = msgspec.json.encode(change)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidUpdateError(f"the change cannot be written as JSON: {error}") from error
    return checked_key(value, rules), value


def checked_key(value: bytes, rules: Rules) -> bytes:
    """Return the key that belongs to a record's value; InvalidUpdateError if the bridge would not understand it."""
    (update,) = decode(key=None, value=value, headers=(), offset=0, timestamp_ms=None, rules=rules)
    return key_of(update.entity_id, rules.key_form)


def key_of(entity_id: str, form: KeyForm) -> bytes:
    """Return the entity id as the topic's keys are written; InvalidUpdateError if it cannot be."""
    if form is KeyForm.JSON:
        return msgspec.json.encode(entity_id)
    if form is KeyForm.INT64:
        number = int(entity_id) if re.fullmatch("0|-?[1-9][0-9]{0,18}", entity_id) else 2**63
        if not -(2**63) <= number < 2**63:
            raise InvalidUpdateError(f"product_id {entity_id[:80]!a} is no 64-bit integer, as the keys are")
        return number.to_bytes(8, "big", signed=True)
    return entity_id.encode()
