"""Lost sessions, lost replies, interrupted calls, forks: what must hold when the lock is not what it seems to be."""

import copy
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lastword.contract.errors import LockExpiredError, SessionLostError
from servers import Reachable, ZooKeeper
from tasks.lock.path import lock_path
from tests.blackhole import BlackHoleProxy
from tests.lock_helpers import (
    V,
    acquire_when_possible,
    direct_client,
    end_session_elsewhere,
    is_held,
    lock_count,
    lock_stat,
    open_locks,
    session_of,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.core

TIMEOUT_S = 3.0  # of the sessions; the server's tick is 1 s


def test_a_release_after_a_lost_session_leaves_the_next_holders_lock_alone(
    zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    with (
        open_locks(zookeeper_server.address, zookeeper_root) as locks,
        open_locks(zookeeper_server.address, zookeeper_root) as others,
        direct_client(zookeeper_server.address) as client,
    ):
        lost = locks.acquire({"a": V, "b": V})
        session = session_of(locks)
        end_session_elsewhere(zookeeper_server.address, locks)
        with acquire_when_possible(others, "a") as theirs:
            assert theirs.tokens["a"] > lost.tokens["a"]
            with pytest.raises(SessionLostError):
                wait_until(lost.check, what="the loss is noticed")
            lost.release()
            wait_until(lambda: session.ended, what="the session is abandoned")
            with acquire_when_possible(locks, "b"):  # on a new session
                assert is_held(client, zookeeper_root, theirs, "a")
                theirs.check()


def test_a_release_that_is_sent_after_the_session_was_lost_deletes_nothing(
    zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    # The worst case: the release of a session that has ended arrives all the same, by whatever way.
    with (
        open_locks(zookeeper_server.address, zookeeper_root) as locks,
        open_locks(zookeeper_server.address, zookeeper_root) as others,
        direct_client(zookeeper_server.address) as client,
    ):
        lost = locks.acquire({"a": V})
        session = session_of(locks)
        slots, failures = list(lost._slots), list[str]()
        end_session_elsewhere(zookeeper_server.address, locks)
        with acquire_when_possible(others, "a") as theirs:
            late = copy.copy(session)
            late._client, late._abandon = client, lambda _, why: failures.append(why)
            late.ended = False
            late._delete_locks(slots)
            wait_until(lambda: failures, what="the release is answered")
            assert "NoNodeError" in failures[0]
            assert is_held(client, zookeeper_root, theirs, "a")


def test_control_the_naive_release_does_delete_the_next_holders_lock(
    zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    with (
        open_locks(zookeeper_server.address, zookeeper_root) as locks,
        open_locks(zookeeper_server.address, zookeeper_root) as others,
        direct_client(zookeeper_server.address) as client,
    ):
        lost = locks.acquire({"a": V})
        end_session_elsewhere(zookeeper_server.address, locks)
        theirs = acquire_when_possible(others, "a")
        assert theirs.tokens["a"] > lost.tokens["a"]
        client.delete(lock_path(zookeeper_root, "a"), version=-1)
        assert not is_held(client, zookeeper_root, theirs, "a")
        theirs.check()  # and the holder does not know
        with open_locks(zookeeper_server.address, zookeeper_root) as third:
            assert third.acquire({"a": V}).tokens, "a second holder beside the first"


def test_past_half_the_session_timeout_the_locks_count_as_expired(
    zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    with open_locks(zookeeper_server.address, zookeeper_root, session_timeout_s=2) as locks:
        with locks.acquire({"warm": V}):
            pass
        before = time.monotonic()
        with locks.acquire({"a": V}) as grant:
            grant.check()
            with pytest.raises(LockExpiredError, match="half the ZooKeeper session timeout"):
                wait_until(grant.check, what="the deadline")
            assert time.monotonic() - before >= 1.0
            assert session_of(locks).connected, "the session is fine: it is the deadline that counts"
        with acquire_when_possible(locks, "a") as again:
            again.check()


def test_a_lock_whose_creation_was_not_answered_lasts_no_longer_than_its_session(
    zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    with (
        BlackHoleProxy(zookeeper_server.address) as proxy,
        open_locks(proxy.address, zookeeper_root, session_timeout_s=TIMEOUT_S, call_timeout_s=1) as locks,
        direct_client(zookeeper_server.address) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        held = acquire_when_possible(locks, "before")
        session = session_of(locks)
        proxy.swallow_replies()
        attempt = pool.submit(locks.acquire, {"a": V})
        wait_until(lambda: lock_stat(client, zookeeper_root, "a"), what="the lock that nobody will know of")
        proxy.swallow_all()  # so that the session cannot be closed either
        with pytest.raises(SessionLostError, match="not answered"):
            attempt.result(120)
        assert session.ended
        assert lock_stat(client, zookeeper_root, "a") is not None
        with pytest.raises(SessionLostError):
            held.check()
        held.release()
        wait_until(lambda: lock_count(client, zookeeper_root) == 0, what="both locks gone with their session")
        proxy.heal()
        with acquire_when_possible(locks, "a", "before") as grant:
            grant.check()
            assert session_of(locks) is not session
        wait_until(lambda: lock_count(client, zookeeper_root) == 0, what="all locks deleted")


def test_in_a_black_hole_every_call_is_bounded_and_the_deadline_trips(
    zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    with (
        BlackHoleProxy(zookeeper_server.address) as proxy,
        open_locks(proxy.address, zookeeper_root, session_timeout_s=TIMEOUT_S, call_timeout_s=1) as locks,
        open_locks(zookeeper_server.address, zookeeper_root) as others,
    ):
        held = acquire_when_possible(locks, "a")
        for number in range(20):
            locks.release(locks.acquire({str(number): V}))
        proxy.swallow_all()
        for _ in range(5):
            start = time.monotonic()
            with pytest.raises(SessionLostError):
                locks.acquire({"b": V})
            locks.wait("b", 0.1)
            assert time.monotonic() - start < 60
        with pytest.raises((SessionLostError, LockExpiredError)):
            held.check()
        with acquire_when_possible(others, "a", "b") as grant:
            assert grant.busy == []
        proxy.heal()
        with acquire_when_possible(locks, "a", "b"):
            pass


def test_while_suspended_grants_fail_and_in_the_same_session_they_are_good_again(
    zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    with (
        BlackHoleProxy(zookeeper_server.address) as proxy,
        open_locks(proxy.address, zookeeper_root, session_timeout_s=20) as locks,
        direct_client(zookeeper_server.address) as client,
    ):
        first, second = locks.acquire({"a": V}), locks.acquire({"b": V})
        session = session_of(locks)
        proxy.swallow_all()  # so that nothing connects again
        proxy._close_connections()
        with pytest.raises(SessionLostError, match="not connected"):
            wait_until(first.check, what="the disconnection is noticed")
        with pytest.raises(SessionLostError, match="suspended"):
            locks.acquire({"c": V})
        assert locks.wait("a", 30)
        first.release()  # sent when the connection is back
        proxy.heal()
        wait_until(lambda: locks._keeper.existing() is session, what="connected again")
        second.check()
        wait_until(lambda: lock_stat(client, zookeeper_root, "a") is None, what="the release has arrived")
        with locks.acquire({"a": V}) as grant:
            assert grant.busy == []
        assert is_held(client, zookeeper_root, second, "b")
        assert session_of(locks) is session


def test_zookeeper_restarted(own_zookeeper: ZooKeeper, zookeeper_root: str) -> None:
    with (
        open_locks(own_zookeeper.address, zookeeper_root, session_timeout_s=TIMEOUT_S) as locks,
        open_locks(own_zookeeper.address, zookeeper_root, session_timeout_s=TIMEOUT_S) as others,
    ):
        held, theirs = locks.acquire({"a": V}), others.acquire({"b": V})
        own_zookeeper.restart()
        held.release()
        theirs.release()
        with acquire_when_possible(locks, "a", "b", "c") as grant:
            grant.check()
            assert grant.tokens["a"] > held.tokens["a"]
        with acquire_when_possible(others, "a", "b"):
            pass


def test_shards_deleted_by_an_operator_are_made_again(zookeeper_server: Reachable, zookeeper_root: str) -> None:
    with (
        open_locks(zookeeper_server.address, zookeeper_root) as locks,
        direct_client(zookeeper_server.address) as client,
    ):
        with locks.acquire({"a": V}):
            pass
        wait_until(lambda: lock_count(client, zookeeper_root) == 0, what="the lock deleted")
        client.delete(f"{zookeeper_root}/locks", recursive=True)
        with pytest.raises(SessionLostError, match="NoNodeError"):
            locks.acquire({"a": V})
        with acquire_when_possible(locks, "a"):
            pass
        client.delete(zookeeper_root, recursive=True)
        with pytest.raises(SessionLostError, match="operation 0"):
            locks.acquire({"a": V})
        with acquire_when_possible(locks, "a"):
            pass
