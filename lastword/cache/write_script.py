"""Calling write_if_newer.lua, the only writer of entities, and reading what it answers."""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from lastword.contract.errors import ApartError, UnusableKeyError
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update
from lastword.redis.pipeline import Command

_SCRIPT: Final = Path(__file__).with_name("write_if_newer.lua").read_bytes()
_SCRIPT_SHA: Final = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

LOAD: Final[Command] = ("SCRIPT LOAD", _SCRIPT)
"""What a Redis must have been sent before it knows the calls."""


class Write(NamedTuple):
    """One update to write, its data given or loaded, and the token of the lock it is written under ("" without)."""

    update: Update
    token: str


def script_call(write: Write, key: str, *, ttl_s: int | None, tombstone_ttl_s: int | None) -> Command:
    """The command that writes ``key`` if the update is newer; ValueError for a notice whose data is not loaded."""
    update, token = write
    deleted, data, ttl = ("1", b"", tombstone_ttl_s) if update.deleted else ("", update.data, ttl_s)
    if data is None:
        raise ValueError(f"product {update.entity_id!a}, version {update.version}: a notice has no data to write")
    version, updated_at = str(update.version), _rfc3339(update.updated_at_us)
    return ("EVALSHA", _SCRIPT_SHA, 1, key, version, updated_at, token, deleted, data, "" if ttl is None else ttl)


def outcome_of(answer: object, key: str, address: str) -> Outcome | ApartError | UnusableKeyError:
    """What the script's answer means for ``key`` in the Redis at ``address``."""
    match answer:
        case b"apart":
            return ApartError(f"key {key!a} in Redis at {address} has changes in several partitions")
        case bytes():
            return Outcome(answer.decode())
        case [b"unusable", bytes() as kind]:
            held = f"a {kind.decode()}"
        case [b"unusable", bytes() as kind, bytes() as version]:
            held = f"a {kind.decode()} whose version is {version[:80]!r}"
        case _:
            raise AssertionError(f"write_if_newer.lua answered {answer!r}")
    return UnusableKeyError(f"key {key!a} in Redis at {address} holds {held}; wanted is the hash of a product")


def _rfc3339(updated_at_us: int) -> str:
    seconds, microseconds = divmod(updated_at_us, 1_000_000)
    return f"{_second(seconds)}.{microseconds:06}Z"


@lru_cache(maxsize=1_024)
def _second(since_epoch: int) -> str:
    """Most updates share theirs with others."""
    return (_EPOCH + timedelta(seconds=since_epoch)).replace(tzinfo=None).isoformat()
