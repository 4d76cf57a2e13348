"""What a process does to itself: time limits, lost grants, forks; and what abandoned sessions leave in it: nothing."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

import psutil
import pytest
from kazoo.client import KazooClient

from lastword.contract.errors import SessionLostError
from servers import Reachable
from tasks.lock.grant import Grant
from tasks.lock.locks import Locks
from tasks.lock.path import lock_path
from tests.blackhole import BlackHoleProxy
from tests.lock_helpers import (
    V,
    acquire_when_possible,
    direct_client,
    is_held,
    lock_count,
    lock_stat,
    open_locks,
    session_of,
)
from tests.waiting import wait_until

TIMEOUT_S = 3.0  # of the sessions; the server's tick is 1 s


class TimeIsUpError(Exception):
    """What Celery raises, from a signal handler, in the middle of whatever a task does."""


def test_an_acquire_interrupted_by_a_time_limit_leaves_no_lock_behind(
    zookeeper_server: Reachable, zookeeper_root: str
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
    zookeeper_server: Reachable, zookeeper_root: str, mishap: Callable[[Locks, KazooClient, str], None]
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
    zookeeper_server: Reachable, zookeeper_root: str, *, mutex_held: bool
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
        assert wait_until(lambda: exit_of(child), what="the child ends") == ["exit code", 0]
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
            release.wait(120)

    threading.Thread(target=hold, daemon=True).start()
    assert held.wait(120)
    return release


def exit_of(pid: int) -> list[object]:
    """Empty while the child runs."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return ["exit code", os.waitstatus_to_exitcode(status)] if done else []


def open_sockets() -> int:
    # Not all descriptors: kazoo opens one more for each select(), and whether it is in one is chance.
    return len(psutil.Process().net_connections("all"))


def test_abandoned_sessions_leave_neither_threads_nor_sockets(zookeeper_server: Reachable, zookeeper_root: str) -> None:
    with open_locks(zookeeper_server.address, zookeeper_root, session_timeout_s=TIMEOUT_S) as locks:
        with acquire_when_possible(locks, "a"):
            pass
        threads, sockets = threading.active_count(), open_sockets()
        for _ in range(6):
            locks._keeper.abandon(session_of(locks), "a test")
            with acquire_when_possible(locks, "a"):
                pass
        wait_until(
            lambda: threading.active_count() <= threads and open_sockets() <= sockets,
            what=f"no more than {threads} threads and {sockets} sockets",
        )


def test_sessions_that_were_never_opened_leave_neither_threads_nor_sockets() -> None:
    threads, sockets = threading.active_count(), open_sockets()
    for _ in range(3):
        with open_locks("127.0.0.1:1", "/root", call_timeout_s=0.1) as locks, pytest.raises(SessionLostError):
            locks.acquire({"a": V})
    wait_until(
        lambda: threading.active_count() <= threads and open_sockets() <= sockets,
        what=f"no more than {threads} threads and {sockets} sockets",
    )
