"""Refreshing on real servers: an answer for each update, whatever Redis, ZooKeeper and the other lock holders do."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from lastword.cache.cache import Cache, Write
from lastword.contract.errors import (
    CacheUnavailableError,
    LockBusyError,
    LockExpiredError,
    SessionLostError,
    TransientError,
    UnusableKeyError,
)
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update
from lastword.contract.version import Version
from servers import Reachable, Redis, ZooKeeper
from tasks.lock.grant import Asked, Grant
from tasks.lock.locks import Locks
from tasks.refresh import Answer, refresh
from tests.blackhole import BlackHoleProxy
from tests.lock_helpers import direct_client, lock_count, open_locks, session_of
from tests.waiting import wait_until

pytestmark = pytest.mark.core

NOWHERE = "127.0.0.1:1"
CALL_TIMEOUT_S = 0.5
SLACK_S = 60.0  # what a call may take beyond its own bound, on a machine that is busy


def live(entity_id: str, sequence: int, data: bytes = b"1") -> Update:
    return Update(entity_id=entity_id, version=Version(1_763_800_000_000_000, sequence), data=data)


def tombstone(entity_id: str, sequence: int) -> Update:
    return Update(entity_id=entity_id, version=Version(1_763_800_000_000_000, sequence), data=None, deleted=True)


def kinds(answers: Sequence[Answer]) -> list[type[Answer]]:
    return [type(answer) for answer in answers]


def all_held(answers: Sequence[Answer]) -> bool:
    return all(isinstance(answer, Outcome) for answer in answers)


@pytest.fixture
def redis_server(own_redis: Redis) -> Redis:
    """Our own: it is paused here."""
    return own_redis


@pytest.fixture
def cache(redis_server: Redis, key_prefix: str) -> Iterator[Cache]:
    cache = Cache.connect(redis_server.url(), key_prefix=key_prefix, call_timeout_s=CALL_TIMEOUT_S)
    yield cache
    cache.close()


@pytest.fixture
def other_locks(zookeeper_server: Reachable, zookeeper_root: str) -> Iterator[Locks]:
    """Those of another process."""
    with open_locks(zookeeper_server.address, zookeeper_root) as locks:
        yield locks


@pytest.fixture
def dead_locks(zookeeper_root: str) -> Iterator[Locks]:
    with open_locks(NOWHERE, zookeeper_root, call_timeout_s=CALL_TIMEOUT_S) as locks:
        yield locks


def test_each_outcome_and_no_lock_is_left(
    *,
    cache: Cache,
    locks: Locks,
    raw: redis.Redis,
    key_prefix: str,
    zookeeper_server: Reachable,
    zookeeper_root: str,
) -> None:
    assert refresh([live("a", 2)], cache, locks) == [Outcome.APPLIED]
    first = raw.hgetall(f"{key_prefix}a")
    assert refresh([live("a", 2)], cache, locks) == [Outcome.DUPLICATE]
    assert refresh([live("a", 1)], cache, locks) == [Outcome.STALE]
    assert raw.hgetall(f"{key_prefix}a") == first
    assert refresh([live("a", 2, b"2")], cache, locks) == [Outcome.CONFLICT]
    second = raw.hgetall(f"{key_prefix}a")
    assert second[b"data"] == b"2", "the content under the newer lock token stays"
    assert int(second[b"token"], 16) > int(first[b"token"], 16)
    assert refresh([tombstone("a", 3)], cache, locks) == [Outcome.APPLIED]
    assert raw.hget(f"{key_prefix}a", "deleted") == b"1"

    with direct_client(zookeeper_server.address) as client:
        wait_until(lambda: lock_count(client, zookeeper_root) == 0, what="all locks released")


def test_nothing_to_do_needs_no_server(dead_locks: Locks) -> None:
    assert refresh([], Cache.connect(f"redis://{NOWHERE}"), dead_locks) == []


def test_what_the_cache_holds_needs_no_lock(cache: Cache, dead_locks: Locks) -> None:
    cache.write([Write(live("a", 5), ""), Write(tombstone("b", 5), "")])

    answers = refresh([live("a", 4), live("a", 5), tombstone("b", 5), live("b", 4)], cache, dead_locks)

    assert answers == [Outcome.STALE, Outcome.DUPLICATE, Outcome.DUPLICATE, Outcome.STALE]


def test_updates_of_one_product_in_a_group_share_a_lock_and_the_newest_is_written(
    cache: Cache, locks: Locks, raw: redis.Redis, key_prefix: str
) -> None:
    raw.config_resetstat()

    answers = refresh([live("a", 1), live("a", 3), live("b", 1), live("a", 2), live("a", 3)], cache, locks)

    assert answers == [Outcome.STALE, Outcome.APPLIED, Outcome.APPLIED, Outcome.STALE, Outcome.DUPLICATE]
    assert cache.held(["a", "b"]) == {"a": live("a", 3).version, "b": live("b", 1).version}
    assert raw.hget(f"{key_prefix}a", "token") == raw.hget(f"{key_prefix}b", "token"), "one multi for the group"


@pytest.mark.parametrize("held_by", ["another process", "another thread"])
@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (
            [live("a", 2), live("busy", 2), live("busy", 3), live("c", 2)],
            [Outcome.APPLIED, LockBusyError, LockBusyError, Outcome.APPLIED],
        ),
        ([live("old", 1), live("busy", 2)], [Outcome.STALE, LockBusyError]),
    ],
)
def test_a_busy_product_in_a_group_keeps_nobody_waiting(
    *,
    cache: Cache,
    locks: Locks,
    other_locks: Locks,
    held_by: str,
    group: list[Update],
    expected: list[Outcome | type[Exception]],
) -> None:
    cache.write([Write(live("old", 5), "")])
    holder = other_locks if held_by == "another process" else locks
    with holder.acquire({"busy": Version(1, 1)}):
        started = time.monotonic()
        answers = refresh(group, cache, locks, lock_wait_s=300)
        assert time.monotonic() - started < SLACK_S

    for answer, wanted in zip(answers, expected, strict=True):
        assert answer is wanted or isinstance(answer, LockBusyError)
    assert [isinstance(answer, LockBusyError) for answer in answers] == [w is LockBusyError for w in expected]
    assert "'busy'" in str(next(answer for answer in answers if isinstance(answer, LockBusyError)))
    assert cache.held(["busy"]) == {}


def refresh_while_busy(
    update: Update, cache: Cache, locks: Locks, holder: Locks, before_release: Callable[[], object]
) -> Answer:
    """Refresh a product that ``holder`` has locked until the refresh waits for it."""
    with locks.acquire({}), ThreadPoolExecutor(1) as pool:  # the session is there, and can be watched
        grant = holder.acquire({update.entity_id: update.version})
        future = pool.submit(refresh, [update], cache, locks, lock_wait_s=300)
        try:
            wait_until(lambda: session_of(locks)._watches, what="the refresh waits for the lock")
            before_release()
            assert not future.done()
        finally:
            grant.release()
        [answer] = future.result(timeout=120)
    return answer


def test_a_lone_busy_product_is_waited_for_and_written(cache: Cache, locks: Locks, other_locks: Locks) -> None:
    answer = refresh_while_busy(live("a", 1), cache, locks, other_locks, lambda: None)

    assert answer is Outcome.APPLIED
    assert cache.held(["a"]) == {"a": live("a", 1).version}


@pytest.mark.parametrize(("written", "outcome"), [(live("a", 2), Outcome.STALE), (live("a", 1), Outcome.DUPLICATE)])
def test_what_the_holder_wrote_meanwhile_is_not_contended_for(
    *,
    cache: Cache,
    locks: Locks,
    other_locks: Locks,
    zookeeper_server: Reachable,
    written: Update,
    outcome: Outcome,
) -> None:
    answer = refresh_while_busy(
        live("a", 1), cache, locks, other_locks, lambda: cache.write([Write(written, "00000001000000a9")])
    )

    assert answer is outcome
    with direct_client(zookeeper_server.address) as client:
        guard = client.exists(session_of(locks)._guard)
    assert guard is not None
    assert guard.version == 0, "each acquire that gets a lock writes the guard"


@pytest.mark.parametrize("held_by", ["another process", "another thread"])
def test_a_lone_product_that_stays_busy_is_answered_after_the_wait(
    cache: Cache, locks: Locks, other_locks: Locks, held_by: str
) -> None:
    holder = other_locks if held_by == "another process" else locks
    wait_s = 5.0
    with locks.acquire({}), holder.acquire({"a": Version(1, 1)}):
        started = time.monotonic()
        [answer] = refresh([live("a", 1)], cache, locks, lock_wait_s=wait_s)
        took_s = time.monotonic() - started

    assert isinstance(answer, LockBusyError)
    assert "'a'" in str(answer)
    assert wait_s <= took_s < 1.9 * wait_s, "once, not once for each place to wait at"
    assert cache.held(["a"]) == {}


def test_a_silent_redis_is_answered_in_time_for_each(cache: Cache, locks: Locks, redis_server: Redis) -> None:
    group = [live("a", 1), live("b", 1), live("a", 2)]
    redis_server.pause()
    try:
        started = time.monotonic()
        answers = refresh(group, cache, locks)
        assert time.monotonic() - started < CALL_TIMEOUT_S + SLACK_S
    finally:
        redis_server.resume()

    assert kinds(answers) == [CacheUnavailableError] * 3
    assert refresh(group, cache, locks) == [Outcome.STALE, Outcome.APPLIED, Outcome.APPLIED]


def test_a_redis_that_falls_silent_under_the_locks_costs_neither_locks_nor_updates(
    cache: Cache, locks: Locks, raw: redis.Redis, zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    group = [live("a", 1), live("b", 1)]
    raw.client_pause(60_000, all=False)  # reads are answered
    try:
        started = time.monotonic()
        answers = refresh(group, cache, locks)
        assert time.monotonic() - started < CALL_TIMEOUT_S + SLACK_S
    finally:
        raw.client_unpause()

    assert kinds(answers) == [CacheUnavailableError] * 2
    with direct_client(zookeeper_server.address) as client:
        wait_until(lambda: lock_count(client, zookeeper_root) == 0, what="all locks released")
    # The writes that were not answered may have been run nevertheless.
    assert all_held(refresh(group, cache, locks))
    assert cache.held(["a", "b"]) == {update.entity_id: update.version for update in group}


def test_no_zookeeper_is_answered_in_time_for_each(cache: Cache, dead_locks: Locks) -> None:
    cache.write([Write(live("old", 5), "")])

    started = time.monotonic()
    answers = refresh([live("a", 1), live("old", 4), live("b", 1)], cache, dead_locks)

    assert time.monotonic() - started < CALL_TIMEOUT_S + SLACK_S
    assert kinds(answers) == [SessionLostError, Outcome, SessionLostError]
    assert cache.held(["a", "b"]) == {}


def test_a_zookeeper_that_falls_silent_is_answered_in_time_for_each(
    cache: Cache, zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    group = [live("a", 1), live("b", 1)]
    with (
        BlackHoleProxy(zookeeper_server.address) as proxy,
        open_locks(proxy.address, zookeeper_root, session_timeout_s=3, call_timeout_s=CALL_TIMEOUT_S) as locks,
    ):
        wait_until(lambda: all_held(refresh([live("first", 1)], cache, locks)), what="a session")
        proxy.swallow_replies()
        started = time.monotonic()
        answers = refresh(group, cache, locks)
        assert time.monotonic() - started < CALL_TIMEOUT_S + SLACK_S
        assert all(isinstance(answer, SessionLostError) for answer in answers), answers
        assert cache.held(["a", "b"]) == {}

        proxy.heal()
        wait_until(
            lambda: all_held(refresh(group, cache, locks)),
            what="both written once ZooKeeper has freed the locks of the lost session",
        )


def test_locks_that_come_too_late_are_not_written_under(
    cache: Cache, own_zookeeper: ZooKeeper, zookeeper_root: str
) -> None:
    # Locks last 2 s from when they were asked for; after 2.7 s of silence kazoo gives the connection up.
    with open_locks(own_zookeeper.address, zookeeper_root, session_timeout_s=4) as locks, locks.acquire({}):
        resume = threading.Timer(2.3, own_zookeeper.resume)
        own_zookeeper.pause()
        resume.start()
        try:
            answers = refresh([live("a", 1), live("b", 1)], cache, locks)
        finally:
            resume.join()

        assert all(isinstance(answer, LockExpiredError | SessionLostError) for answer in answers), answers
        assert cache.held(["a", "b"]) == {}
        wait_until(lambda: refresh([live("a", 1)], cache, locks) == [Outcome.APPLIED], what="another try succeeds")


def test_nothing_is_written_under_locks_whose_time_is_over(
    cache: Cache, locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    granting = Asked.grant

    def too_late(asked: Asked) -> Grant:
        grant = granting(asked)
        grant._deadline = time.monotonic()
        return grant

    monkeypatch.setattr(Asked, "grant", too_late)
    [answer] = refresh([live("a", 1)], cache, locks)
    assert isinstance(answer, LockExpiredError)
    assert cache.held(["a"]) == {}


def test_a_key_that_is_not_ours_costs_only_its_own_product(
    cache: Cache, locks: Locks, raw: redis.Redis, key_prefix: str
) -> None:
    raw.set(f"{key_prefix}b", "not a hash")

    answers = refresh([live("a", 1), live("b", 1), live("c", 1)], cache, locks)

    assert kinds(answers) == [Outcome, UnusableKeyError, Outcome]
    assert f"{key_prefix}b" in str(answers[1])
    assert raw.get(f"{key_prefix}b") == b"not a hash"


def test_shuffled_groups_in_several_processes_end_at_the_newest(cache: Cache, locks: Locks, other_locks: Locks) -> None:
    chance = random.Random(7)
    products = [f"p{number}" for number in range(12)]
    updates = [live(product, sequence) for product in products for sequence in range(8)] * 2
    chance.shuffle(updates)
    groups: list[list[Update]] = []
    while updates:
        size = chance.randint(1, 9)
        groups.append(updates[:size])
        updates = updates[size:]

    def work(mine: Sequence[list[Update]], locks: Locks) -> None:
        for group in mine:
            left = group

            def all_done() -> bool:
                nonlocal left
                answers = refresh(left, cache, locks, lock_wait_s=0.2)
                assert all(isinstance(answer, Outcome | TransientError) for answer in answers), answers
                left = [update for update, answer in zip(left, answers, strict=True) if not all_held([answer])]
                return not left

            wait_until(all_done, what="the group")

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work, groups[n::4], (locks, other_locks)[n % 2]) for n in range(4)]:
            future.result(timeout=120)

    assert cache.held(products) == {product: live(product, 7).version for product in products}
