"""What Redis has answered of an entity, of a failure and of what has begun, as the cache's callers want it."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from redis.exceptions import RedisError, ResponseError

from lastword.cache.failures import TaskFailure, decode
from lastword.contract.errors import ApartError, CacheUnavailableError
from lastword.contract.outcome import Outcome
from lastword.contract.record import Kind, Update
from lastword.contract.version import Version

logger = logging.getLogger(__name__)

Standing = Outcome | ApartError | CacheUnavailableError | None


def error_in(answer: object) -> RedisError | None:
    """The error in an answer; that a key is of another type is none."""
    return answer if isinstance(answer, RedisError) and not str(answer).startswith("WRONGTYPE") else None


def standing_of(update: Update, held: Version | None, content: Any) -> Standing:  # noqa: ANN401 - Redis's answer
    """What a write of the update would come to beside the version that is held, and the content of that one."""
    if held is not None and held.tells_nothing_of(update.version):
        return None if update.version.asks else ApartError(f"product {update.entity_id!r}")
    if held is None or held < update.version:
        return None
    if held > update.version:
        return Outcome.STALE
    if update.kind is Kind.NOTICE or isinstance(content, ResponseError):
        return None
    data, deleted = content
    same = deleted is not None if update.deleted else deleted is None and data == update.data
    return Outcome.DUPLICATE if same else None


def versions_in(answers: Mapping[str, object]) -> dict[str, Version]:
    """The versions that can be read, by entity id."""
    return {entity_id: read for entity_id, stored in answers.items() if (read := _version(stored)) is not None}


def _version(stored: object) -> Version | None:
    """The version in a field as Redis answered it; None when it is absent, unreadable or the key no hash."""
    if not isinstance(stored, bytes):
        return None
    try:
        return Version.parse(stored.decode())
    except ValueError:
        return None


def begun_in(nonces: Sequence[str], stored: object) -> dict[str, str]:
    """Who began the sends with these nonces when: of those that have begun."""
    if not isinstance(stored, list):
        return {}
    return {nonce: who.decode(errors="replace") for nonce, who in zip(nonces, stored, strict=True) if who is not None}


def failure_in(task_id: str, stored: object) -> TaskFailure | None:
    """The failure that was recorded of a task; None without one, and where it is unreadable, which is logged."""
    if not isinstance(stored, bytes):
        return None
    try:
        return decode(stored)
    except ValueError as error:
        logger.warning("ignored the recorded failure of task %s, which is unreadable: %s", task_id, error)
        return None
