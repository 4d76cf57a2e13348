"""What Redis holds of one entity, as a person wants to see it."""

from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from lastword.cache.cache import Cache
from lastword.cache.started import started_key
from lastword.contract.version import Version

_FIELDS = ("version", "updated_at", "token", "deleted", "data")


@dataclass(frozen=True, slots=True)
class Held:
    """An entity's key. ``kind`` is Redis's name for what is there: ``hash`` for an entity, ``none`` for nothing.

    ``version`` is None where there is none that can be read; ``ttl_s`` where the key does not expire. ``unreadable``
    says what could not be had, and why.
    """

    key: str
    kind: str = "none"
    version: Version | None = None
    updated_at: str = ""
    token: str = ""
    deleted: bool = False
    data: bytes | None = None
    ttl_s: float | None = None
    unreadable: str = ""


def read_held(cache: Cache, entity_id: str) -> Held:
    """Read an entity's key, in one round trip. CacheUnavailableError when Redis does not answer."""
    key = cache.key(entity_id)
    kind, fields, ttl_ms = cache.answers([("TYPE", key), ("HMGET", key, *_FIELDS), ("PTTL", key)])
    if isinstance(kind, RedisError):
        raise cache.unavailable(kind) from kind
    return held_of(key, kind.decode() if isinstance(kind, bytes) else str(kind), fields, ttl_ms)


def read_started(cache: Cache, task_id: str) -> tuple[str, ...]:
    """The sends of a task that have begun and not come to an end: which process began each, and when.

    Only of updates that were sent in vain before. Empty also where it cannot be read.
    """
    (marks,) = cache.answers([("HVALS", started_key(task_id))])
    return () if isinstance(marks, RedisError) else tuple(sorted(mark.decode(errors="replace") for mark in marks))


def held_of(key: str, kind: str, fields: Any, ttl_ms: Any) -> Held:  # noqa: ANN401 - Redis's answers
    """Make sense of what Redis answered to TYPE, to HMGET of our fields, and to PTTL."""
    unreadable = []
    ttl_s = None
    if isinstance(ttl_ms, RedisError):
        unreadable.append(f"when it expires ({ttl_ms})")
    elif ttl_ms >= 0:
        ttl_s = ttl_ms / 1_000
    if kind in {"none", "hash"} and isinstance(fields, RedisError):
        unreadable.append(f"its fields ({fields})")
    if kind != "hash" or isinstance(fields, RedisError):
        return Held(key, kind, ttl_s=ttl_s, unreadable=", ".join(unreadable))
    version, updated_at, token, deleted, data = fields
    try:
        read = Version.parse((version or b"").decode(errors="replace"))
    except ValueError as error:
        read = None
        unreadable.append(f"its version ({error})")
    return Held(
        key,
        kind,
        version=read,
        updated_at=(updated_at or b"").decode(errors="replace"),
        token=(token or b"").decode(errors="replace"),
        deleted=deleted is not None,
        data=data,
        ttl_s=ttl_s,
        unreadable=", ".join(unreadable),
    )
