"""Marks of what has begun: how an update that kills its worker is told from those that die with it.

An update that was sent in vain before is run alone in its process, under a mark in Redis that is taken away at any end
that the process survives. So a mark that stays was left by a process that was killed while it did nothing else.
Source: docs/decisions/0008-giving-up-on-evidence.md
"""

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple

from lastword.cache.gate import Gate
from lastword.contract.errors import CacheUnavailableError
from lastword.redis.pipeline import Command

logger = logging.getLogger(__name__)

STARTED_PREFIX: Final = "lastword:started:"
"""What precedes the id of an update's first task in the key of its marks: a hash from nonces to who began it when."""

STARTED_TTL_S: Final = 86_400  # after the last mark: the bridge asks for it within seconds


def started_key(task_id: str) -> str:
    """The Redis key under which the sends of ``task_id`` that have begun are marked."""
    return f"{STARTED_PREFIX}{task_id}"


class _Mark(NamedTuple):
    task_id: str
    nonce: str


class Started:
    """Lets updates run: most of them together, a marked one alone and under its mark. Thread-safe.

    ``ask`` runs commands in Redis in one round trip; it raises CacheUnavailableError unless all of them succeed.
    """

    def __init__(self, ask: Callable[[Sequence[Command]], object]) -> None:
        self._ask = ask
        self._gate = Gate()
        # Marks that could not be taken away, or that may have been set though nobody answered.
        self._remaining: set[_Mark] = set()

    @contextmanager
    def unmarked(self) -> Iterator[None]:
        """Run an update beside others, and never beside a marked one: what it kills must not look like the killer."""
        with self._gate.together():
            yield

    @contextmanager
    def marked(self, task_id: str, nonce: str) -> Iterator[None]:
        """Run this send of an update alone, and marked; a mark that cannot be taken away goes with the next one.

        Raises NotAloneError or CacheUnavailableError, and nothing was run, when it cannot be alone or not be marked.
        """
        mark = _Mark(task_id, nonce)
        with self._gate.alone():
            try:
                self._set(mark)
            except BaseException:
                self._remaining.add(mark)
                raise
            try:
                yield
            finally:
                self._remaining.add(mark)
                self._take_away()

    def _set(self, mark: _Mark) -> None:
        key = started_key(mark.task_id)
        who = f"{socket.gethostname()}, process {os.getpid()}, {datetime.now(UTC).isoformat()}"
        self._ask([("HSET", key, mark.nonce, who), ("EXPIRE", key, STARTED_TTL_S)])

    def _take_away(self) -> None:
        marks = list(self._remaining)
        try:
            self._ask([("HDEL", started_key(mark.task_id), mark.nonce) for mark in marks])
        except CacheUnavailableError as error:
            logger.warning("%d marks of updates that have come to an end stay for now: %s", len(marks), error)
        else:
            self._remaining.difference_update(marks)
