"""Lost sessions, lost replies, interrupted calls, forks: what must hold when the lock is not what it seems to be."""

import copy
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import pytest
from kazoo.client import KazooClient

from servers import ZooKeeper
from tasks.errors import LockExpiredError, SessionLostError
from tasks.lock import Grant, Locks
from tasks.lock_path import lock_path
from tests.blackhole import BlackHoleProxy
from tests.lock_helpers import (
    V,
    direct_client,
    end_session_elsewhere,
    lock_count,
    lock_stat,
    open_locks,
    session_of,
)
from tests.waiting import wait_until

TIMEOUT_S = 3.0  # of the sessions; the server's tick is 1 s


def acquire_when_possible(locks: Locks, *product_ids: str) -> Grant:
    """Like a task that is retried until it has all the locks."""

    def attempt() -> Grant | None:
        try:
            grant = locks.acquire(dict.fromkeys(product_ids, V))
        except SessionLostError:
            return None
        if not grant.busy:
            return grant
        grant.release()
        locks.wait(product_ids[0], 0.2)
        return None

    grant = wait_until(attempt, what=f"the locks of {product_ids}")
    assert grant is not None
    return grant


def is_held(client: KazooClient, root: str, grant: Grant, product_id: str) -> bool:
    stat = lock_stat(client, root, product_id)
    return stat is not None and f"{stat.czxid:016x}" == grant.tokens[product_id]


def test_a_release_after_a_lost_session_leaves_the_next_holders_lock_alone(
    zookeeper_server: ZooKeeper, zookeeper_root: str
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
    zookeeper_server: ZooKeeper, zookeeper_root: str
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
    zookeeper_server: ZooKeeper, zookeeper_root: str
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
    zookeeper_server: ZooKeeper, zookeeper_root: str
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
    zookeeper_server: ZooKeeper, zookeeper_root: str
) -> None:
    with (
        BlackHoleProxy(zookeeper_server.address) as proxy,
        open_locks(proxy.address, zookeeper_root, session_timeout_s=TIMEOUT_S, call_timeout_s=1) as locks,
        direct_client(zookeeper_server.address) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        held = locks.acquire({"before": V})
        session = session_of(locks)
        proxy.swallow_replies()
        attempt = pool.submit(locks.acquire, {"a": V})
        wait_until(lambda: lock_stat(client, zookeeper_root, "a"), what="the lock that nobody will know of")
        proxy.swallow_all()  # so that the session cannot be closed either
        with pytest.raises(SessionLostError, match="not answered"):
            attempt.result(30)
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
    zookeeper_server: ZooKeeper, zookeeper_root: str
) -> None:
    with (
        BlackHoleProxy(zookeeper_server.address) as proxy,
        open_locks(proxy.address, zookeeper_root, session_timeout_s=TIMEOUT_S, call_timeout_s=1) as locks,
        open_locks(zookeeper_server.address, zookeeper_root) as others,
    ):
        held = locks.acquire({"a": V})
        for number in range(20):
            locks.release(locks.acquire({str(number): V}))
        proxy.swallow_all()
        for _ in range(5):
            start = time.monotonic()
            with pytest.raises(SessionLostError):
                locks.acquire({"b": V})
            locks.wait("b", 0.1)
            assert time.monotonic() - start < 10
        with pytest.raises((SessionLostError, LockExpiredError)):
            held.check()
        with acquire_when_possible(others, "a", "b") as grant:
            assert grant.busy == []
        proxy.heal()
        with acquire_when_possible(locks, "a", "b"):
            pass


def test_while_suspended_grants_fail_and_in_the_same_session_they_are_good_again(
    zookeeper_server: ZooKeeper, zookeeper_root: str
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


def test_zookeeper_restarted(zookeeper_server: ZooKeeper, zookeeper_root: str) -> None:
    with (
        open_locks(zookeeper_server.address, zookeeper_root, session_timeout_s=TIMEOUT_S) as locks,
        open_locks(zookeeper_server.address, zookeeper_root, session_timeout_s=TIMEOUT_S) as others,
    ):
        held, theirs = locks.acquire({"a": V}), others.acquire({"b": V})
        zookeeper_server.restart()
        held.release()
        theirs.release()
        with acquire_when_possible(locks, "a", "b", "c") as grant:
            grant.check()
            assert grant.tokens["a"] > held.tokens["a"]
        with acquire_when_possible(others, "a", "b"):
            pass


def test_shards_deleted_by_an_operator_are_made_again(zookeeper_server: ZooKeeper, zookeeper_root: str) -> None:
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


class TimeIsUpError(Exception):
    """What Celery raises, from a signal handler, in the middle of whatever a task does."""


def test_an_acquire_interrupted_by_a_time_limit_leaves_no_lock_behind(
    zookeeper_server: ZooKeeper, zookeeper_root: str
) -> None:
    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise TimeIsUpError

    with (
        BlackHoleProxy(zookeeper_server.address) as proxy,
        open_locks(proxy.address, zookeeper_root, session_timeout_s=TIMEOUT_S) as locks,
        direct_client(zookeeper_server.address) as client,
    ):
        with locks.acquire({"a": V}):
            session = session_of(locks)
        wait_until(lambda: lock_count(client, zookeeper_root) == 0, what="the lock deleted")
        proxy.swallow_replies()
        previous = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            with pytest.raises(TimeIsUpError):
                locks.acquire({"a": V})
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        assert session.ended
        wait_until(lambda: lock_count(client, zookeeper_root) == 0, what="the lock gone with its session")
        proxy.heal()
        with acquire_when_possible(locks, "a"):
            pass


def lose_a_grant(locks: Locks, _client: KazooClient, _root: str) -> None:
    locks.acquire({"a": V})


def make_a_zombie(locks: Locks, _client: KazooClient, root: str) -> None:
    session_of(locks)._client.create(lock_path(root, "a"), ephemeral=True)


@pytest.mark.parametrize("mishap", [lose_a_grant, make_a_zombie])
def test_a_lock_of_ours_that_no_task_owns_costs_the_session_and_is_free_then(
    zookeeper_server: ZooKeeper, zookeeper_root: str, mishap: Callable[[Locks, KazooClient, str], None]
) -> None:
    with (
        open_locks(zookeeper_server.address, zookeeper_root) as locks,
        direct_client(zookeeper_server.address) as client,
    ):
        with locks.acquire({"b": V}):
            session = session_of(locks)
        mishap(locks, client, zookeeper_root)
        assert lock_stat(client, zookeeper_root, "a") is not None
        with acquire_when_possible(locks, "a") as grant:
            grant.check()
            assert session.ended
            assert session_of(locks) is not session


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("mutex_held", [False, True])
def test_a_forked_child_has_a_session_of_its_own_and_the_parents_locks_stay(
    zookeeper_server: ZooKeeper, zookeeper_root: str, *, mutex_held: bool
) -> None:
    with (
        open_locks(zookeeper_server.address, zookeeper_root) as locks,
        direct_client(zookeeper_server.address) as client,
        locks.acquire({"a": V}) as grant,
    ):
        release_mutexes = hold_mutexes(locks) if mutex_held else threading.Event()
        child = os.fork()
        if child == 0:
            os._exit(exit_code_of_child(locks, grant))
        release_mutexes.set()
        assert wait_until(lambda: exit_of(child), deadline_s=60, what="the child ends") == ["exit code", 0]
        assert is_held(client, zookeeper_root, grant, "a")
        grant.check()
        with acquire_when_possible(locks, "b"):  # the child's session has been closed
            pass


def exit_code_of_child(locks: Locks, inherited: Grant) -> int:
    try:
        with pytest.raises(SessionLostError):
            inherited.check()
        inherited.release()
        with locks.acquire({"a": V, "b": V}) as grant:
            if (grant.busy, list(grant.tokens)) != (["a"], ["b"]):
                return 1
            grant.check()
            if locks.wait("a", 0.1):
                return 2
        locks.close()
    except BaseException:  # noqa: BLE001 - the child must not go on as a second pytest
        return 3
    return 0


def hold_mutexes(locks: Locks) -> threading.Event:
    """Have another thread hold every mutex of the parent's, as may be when a process forks; set the event to end it."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        session = session_of(locks)
        with locks._keeper._mutex, locks._keeper._opening, session._mutex, session.table._changed:
            held.set()
            release.wait(60)

    threading.Thread(target=hold, daemon=True).start()
    assert held.wait(30)
    return release


def exit_of(pid: int) -> list[object]:
    """Empty while the child runs."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return ["exit code", os.waitstatus_to_exitcode(status)] if done else []


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_abandoned_sessions_leave_neither_threads_nor_descriptors(
    zookeeper_server: ZooKeeper, zookeeper_root: str
) -> None:
    with open_locks(zookeeper_server.address, zookeeper_root, session_timeout_s=TIMEOUT_S) as locks:
        with acquire_when_possible(locks, "a"):
            pass
        threads, descriptors = threading.active_count(), open_descriptors()
        for _ in range(6):
            locks._keeper.abandon(session_of(locks), "a test")
            with acquire_when_possible(locks, "a"):
                pass
        wait_until(
            lambda: threading.active_count() <= threads and open_descriptors() <= descriptors,
            deadline_s=60,
            what=f"no more than {threads} threads and {descriptors} descriptors",
        )


def test_sessions_that_were_never_opened_leave_neither_threads_nor_descriptors() -> None:
    threads, descriptors = threading.active_count(), open_descriptors()
    for _ in range(3):
        with open_locks("127.0.0.1:1", "/root", call_timeout_s=0.1) as locks, pytest.raises(SessionLostError):
            locks.acquire({"a": V})
    wait_until(
        lambda: threading.active_count() <= threads and open_descriptors() <= descriptors,
        deadline_s=60,
        what=f"no more than {threads} threads and {descriptors} descriptors",
    )
