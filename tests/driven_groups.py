"""Groups driven by hand, on real servers, as the group pool drives them."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis

from lastword.cache.cache import Cache
from lastword.cache.started import Started
from lastword.contract.record import Update
from lastword.contract.task import Arguments
from lastword.contract.version import Version
from lastword.settings.shared import TaskSettings, load
from tasks.groups.groups import Groups, Prepared, Waiting
from tasks.lock.locks import Locks
from tasks.notices.loader import Loader
from tasks.refresh import Answer
from tasks.resources import Resources


def live(entity_id: str, sequence: int = 1, data: bytes = b"1") -> Update:
    return Update(entity_id=entity_id, version=Version(1_763_800_000_000_000, sequence), data=data)


class Driven:
    """Groups, and what has become of the updates that went through them."""

    def __init__(self, cache: Cache, locks: Locks, raw: redis.Redis, loader: Loader | None = None) -> None:
        self._woken = threading.Event()
        here = Resources(load(TaskSettings), cache, locks, Started(cache.ask), loader)
        self.groups = Groups(lambda: here, self._woken.set)
        self._raw = raw

    def carry(self, updates: Sequence[Update], *, patience_s: float = 5.0) -> list[Answer | None]:
        """Bring the updates to their ends as the pool does, and return what became of each."""
        ended = self.begin(updates, patience_s=patience_s)
        self.advance_until(lambda: len(ended) == len(updates))
        return [ended[place] for place in range(len(updates))]

    def begin(self, updates: Sequence[Update], *, patience_s: float = 5.0) -> dict[int, Answer | None]:
        """Hand the updates over; what is returned fills, by place, as they come to their ends in ``advance_until``."""
        ended: dict[int, Answer | None] = {}

        def finished(place: int, ready: Prepared | None) -> None:
            ended[place] = ready.answer if ready else None

        for place, update in enumerate(updates):
            arguments = Arguments(update=update, nonce="n", first_sent=time.time(), not_after=1e10)
            until = time.monotonic() + patience_s
            self.groups.add(Waiting(arguments, lambda ready, place=place: finished(place, ready), until))  # type: ignore[misc]
        return ended

    def advance_until(self, enough: Callable[[], bool]) -> None:
        """Do what the pool's loop does."""
        end = time.monotonic() + 180
        while not enough():
            assert time.monotonic() < end
            self._woken.clear()
            self.groups.advance()
            self._woken.wait(0.01)

    def reads(self) -> int:
        """How often Redis was asked for a version, but for the script, which does so itself."""
        stats: dict[str, Any] = self._raw.info("commandstats")
        hget, script = (stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("hget", "evalsha"))
        return int(hget - script)
