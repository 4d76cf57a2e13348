"""What a flow notes in its cache: the topic that the key prefix belongs to, and a name by which the cache is known.

An address does not tell one cache from another: there are aliases, proxies, and servers that change places. The note
lies in the cache itself. It is made by the first bridge, and its random ``cache`` goes with every task; a worker that
finds another one, or none, has another cache. Source: docs/decisions/0023-a-flow-has-a-queue-of-its-own.md
"""

from typing import Final

import msgspec

from lastword.cache.cache import Cache
from lastword.redis.pipeline import Command

NOTE_PREFIX: Final = "lastword:flow:"
"""What precedes the key prefix in the key of its note."""


class UnreadableNoteError(Exception):
    """The key of the note holds something that no bridge has written."""


class FlowNote(msgspec.Struct, frozen=True):
    """Which topic the keys of a prefix are written from, by the bridges of which flow; ``group`` is whose began it."""

    topic: str
    group: str
    flow: str
    cache: str


def note_key(key_prefix: str) -> str:
    """The Redis key of the prefix's note."""
    return f"{NOTE_PREFIX}{key_prefix}"


def read_note(cache: Cache, key_prefix: str) -> FlowNote | None:
    """The note, None where there is none. CacheUnavailableError, UnreadableNoteError."""
    return _read(cache, key_prefix, [])


def leave_note(cache: Cache, key_prefix: str, note: FlowNote) -> FlowNote:
    """Leave a note unless there is one, and return the one that stands. CacheUnavailableError, UnreadableNoteError."""
    # Most bridges find one, and a Redis that refuses writes just now can still be read.
    standing = _read(cache, key_prefix, [])
    if standing is None:
        standing = _read(cache, key_prefix, [("SET", note_key(key_prefix), msgspec.json.encode(note), "NX")])
    return note if standing is None else standing


def _read(cache: Cache, key_prefix: str, before: list[Command]) -> FlowNote | None:
    key = note_key(key_prefix)
    stored = cache.ask([*before, ("GET", key)])[-1]
    if stored is None:
        return None
    try:
        return msgspec.json.decode(stored, type=FlowNote)
    except ValueError as error:
        raise UnreadableNoteError(f"key {key!a} in Redis at {cache.address} is no note of a bridge: {error}") from error
