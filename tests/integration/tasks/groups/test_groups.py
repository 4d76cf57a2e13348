"""The groups of the group pool on real servers, driven by hand: whom they ask, and what becomes of each update."""

from collections.abc import Iterator

import pytest
import redis

from lastword.cache.cache import Cache
from lastword.contract.outcome import Outcome
from servers import Reachable, Redis
from tasks.groups.groups import REMEMBERED
from tests.driven_groups import Driven, live
from tests.lock_helpers import acquire_when_possible, open_locks

pytestmark = pytest.mark.core


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
    # Of a product whose lock cannot still be on its way back: who finds it busy looks first.
    assert set(driven.carry([live("another")])) == {Outcome.APPLIED}
    assert driven.reads() == asked, "it is in vain again"


def test_who_waited_for_a_busy_lock_looks_first(
    driven: Driven, zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    with open_locks(zookeeper_server.address, zookeeper_root) as others, acquire_when_possible(others, "busy"):
        before = driven.reads()
        [answer] = driven.carry([live("busy")], patience_s=0.2)
        assert not isinstance(answer, Outcome)
        assert driven.reads() > before
