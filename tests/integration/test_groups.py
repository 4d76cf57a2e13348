"""The groups of the group pool on real servers, driven by hand: whom they ask, and what becomes of each update."""

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis

from servers import Reachable, Redis
from tasks.arguments import Arguments
from tasks.cache import Cache
from tasks.contract import Update
from tasks.grouped import REMEMBERED, Groups, Prepared, Waiting
from tasks.lock import Locks
from tasks.outcome import Outcome
from tasks.refresh import Answer
from tasks.resources import Resources
from tasks.settings import TaskSettings, load
from tasks.started import Started
from tasks.version import Version
from tests.lock_helpers import acquire_when_possible, open_locks


def live(product_id: str, sequence: int = 1, data: bytes = b"1") -> Update:
    return Update(product_id=product_id, version=Version(1_763_800_000_000_000, sequence), data=data)


class Driven:
    """Groups, and what has become of the updates that went through them."""

    def __init__(self, cache: Cache, locks: Locks, raw: redis.Redis) -> None:
        self._woken = threading.Event()
        here = Resources(load(TaskSettings), cache, locks, Started(cache.note))
        self.groups = Groups(lambda: here, self._woken.set)
        self._raw = raw

    def carry(self, updates: Sequence[Update], *, patience_s: float = 5.0) -> list[Answer | None]:
        """Bring the updates to their ends as the pool does, and return what became of each."""
        answers: dict[int, Answer | None] = {}

        def finished(place: int, ready: Prepared | None) -> None:
            answers[place] = ready.answer if ready else None

        for place, update in enumerate(updates):
            arguments = Arguments(update=update, nonce="n", first_sent=0.0, not_after=1e10)
            until = time.monotonic() + patience_s
            self.groups.add(Waiting(arguments, lambda ready, place=place: finished(place, ready), until))  # type: ignore[misc]
        end = time.monotonic() + 20
        while len(answers) < len(updates):
            assert time.monotonic() < end, f"{len(answers)} of {len(updates)} have ended"
            self._woken.clear()
            self.groups.advance()
            self._woken.wait(0.01)
        return [answers[place] for place in range(len(updates))]

    def reads(self) -> int:
        """How often Redis was asked for a version, but for the script, which does so itself."""
        stats: dict[str, Any] = self._raw.info("commandstats")
        hget, script = (stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("hget", "evalsha"))
        return int(hget - script)


@pytest.fixture
def driven(own_redis: Redis, key_prefix: str, zookeeper_server: Reachable, zookeeper_root: str) -> Iterator[Driven]:
    cache = Cache.connect(own_redis.url(), key_prefix=key_prefix)
    with open_locks(zookeeper_server.address, zookeeper_root) as locks, redis.Redis.from_url(own_redis.url()) as raw:
        yield Driven(cache, locks, raw)
    cache.close()


def test_each_outcome_is_that_of_the_write(driven: Driven) -> None:
    driven.carry([live("newer", 5), live("same", 5), live("other data", 5)])
    answers = driven.carry([live("new"), live("newer", 4), live("same", 5), live("other data", 5, b"2")])
    assert answers == [Outcome.APPLIED, Outcome.STALE, Outcome.DUPLICATE, Outcome.CONFLICT]


def test_redis_is_asked_what_it_holds_before_the_locks_where_that_has_often_spared_one(driven: Driven) -> None:
    driven.carry([live("the first, which loads the script")])
    updates = [live(f"p{number}") for number in range(REMEMBERED)]
    before = driven.reads()
    assert set(driven.carry(updates)) == {Outcome.APPLIED}
    assert driven.reads() == before, "nothing was held so far: the look would have been in vain"

    assert set(driven.carry(updates)) == {Outcome.DUPLICATE}
    asked = driven.reads()
    assert set(driven.carry(updates)) == {Outcome.DUPLICATE}
    assert driven.reads() == asked + len(updates)

    for sequence in range(2, 6):
        assert set(driven.carry([live(f"p{number}", sequence) for number in range(REMEMBERED)])) == {Outcome.APPLIED}
    asked = driven.reads()
    assert set(driven.carry([live("p0", 9)])) == {Outcome.APPLIED}
    assert driven.reads() == asked, "it is in vain again"


def test_who_waited_for_a_busy_lock_looks_first(
    driven: Driven, zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    with open_locks(zookeeper_server.address, zookeeper_root) as others, acquire_when_possible(others, "busy"):
        before = driven.reads()
        [answer] = driven.carry([live("busy")], patience_s=0.2)
        assert not isinstance(answer, Outcome)
        assert driven.reads() > before
