"""Acquire and release on a real ZooKeeper, while nothing goes wrong."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lastword.contract.errors import LockExpiredError, SessionLostError
from servers import Reachable
from tasks.lock.locks import Locks
from tasks.lock.path import lock_path
from tests.lock_helpers import V, direct_client, lock_count, lock_stat, open_locks, session_of
from tests.waiting import wait_until

pytestmark = pytest.mark.core

FUZZ = ["", "/", "//", "..", ".", "a/b", "a%2Fb", "{x}", "\x00", "\x7f", "\ue000", "\ufffe", "🦊", "é", "e\u0301"]
FUZZ += ["x" * 512, "x" * 511 + "y", "ü" * 256, "zookeeper", "p", "h" + "0" * 64]


def test_a_granted_lock_is_one_ephemeral_znode_and_its_token_is_its_czxid(
    zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    with (
        open_locks(zookeeper_server.address, zookeeper_root) as locks,
        direct_client(zookeeper_server.address) as client,
    ):
        with locks.acquire({"a": V, "b": V}) as grant:
            grant.check()
            assert list(grant.busy) == []
            for entity_id, token in grant.tokens.items():
                stat = lock_stat(client, zookeeper_root, entity_id)
                assert stat is not None
                assert token == f"{stat.czxid:016x}"
                assert stat.ephemeralOwner == session_of(locks)._client.client_id[0]
        wait_until(lambda: lock_count(client, zookeeper_root) == 0, what="both locks deleted")


def test_a_released_grant_does_not_check_any_more(zookeeper_server: Reachable, zookeeper_root: str) -> None:
    with open_locks(zookeeper_server.address, zookeeper_root) as locks:
        grant = locks.acquire({"a": V})
        locks.release(grant)
        locks.release(grant)
        with pytest.raises(LockExpiredError, match="released"):
            grant.check()
        with locks.acquire({"a": V}) as again:
            locks.release(grant)
            again.check()
            assert "a" in again.tokens
            assert locks.acquire({"a": V}).busy == ["a"]


def test_of_a_group_the_free_products_are_granted_and_the_others_named(
    zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    with (
        open_locks(zookeeper_server.address, zookeeper_root) as locks,
        open_locks(zookeeper_server.address, zookeeper_root) as others,
    ):
        for attempt, held in enumerate(
            ([], [0], [49], [3, 4], list(range(0, 60, 7)), list(range(60)), list(range(59)))
        ):
            names = [f"{attempt}-{number}" for number in range(60)]
            with (
                others.acquire({names[number]: V for number in held}),
                locks.acquire(dict.fromkeys(names, V)) as grant,
            ):
                assert set(grant.busy) == {names[number] for number in held}
                assert len(grant.busy) == len(held)
                assert set(grant.tokens) == set(names) - set(grant.busy)


def test_tokens_grow_with_every_acquisition_in_whatever_session(
    zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    tokens: list[str] = []
    for _ in range(3):
        with (
            open_locks(zookeeper_server.address, zookeeper_root) as one,
            open_locks(zookeeper_server.address, zookeeper_root) as other,
        ):
            for locks in (one, other, one):
                with locks.acquire({"a": V}) as grant:
                    tokens.append(grant.tokens["a"])
                with locks.acquire({"b": V}) as grant:
                    tokens.append(grant.tokens["b"])
                assert other.wait("a", 10)
                assert one.wait("a", 10)
    assert tokens == sorted(set(tokens))
    assert {len(token) for token in tokens} == {16}


def test_the_ids_that_fuzzers_like_are_lockable_and_distinct(zookeeper_server: Reachable, zookeeper_root: str) -> None:
    with (
        open_locks(zookeeper_server.address, zookeeper_root) as locks,
        open_locks(zookeeper_server.address, zookeeper_root) as others,
    ):
        with locks.acquire(dict.fromkeys(FUZZ, V)) as grant:
            assert list(grant.tokens) == FUZZ
            assert len(set(grant.tokens.values())) == 1, "not all of them in the same multi"
            assert sorted(others.acquire(dict.fromkeys(FUZZ, V)).busy) == sorted(FUZZ)
        for entity_id in FUZZ:
            assert others.wait(entity_id, 10)
            with others.acquire({entity_id: V}) as grant:
                assert grant.busy == []


def test_ten_thousand_products_leave_nothing_behind(zookeeper_server: Reachable, zookeeper_root: str) -> None:
    with (
        open_locks(zookeeper_server.address, zookeeper_root) as locks,
        direct_client(zookeeper_server.address) as client,
    ):
        with locks.acquire({"first": V}):
            pass
        wait_until(lambda: lock_count(client, zookeeper_root) == 0, what="the first lock deleted")
        before = _znode_count(client.command(b"mntr"))
        for start in range(0, 10_000, 50):
            with locks.acquire({f"product-{number}": V for number in range(start, start + 50)}) as grant:
                assert len(grant.tokens) == 50
        wait_until(lambda: lock_count(client, zookeeper_root) == 0, what="all locks deleted")
        assert _znode_count(client.command(b"mntr")) <= before
        assert len(client.get_children(f"{zookeeper_root}/guards")) == 1
        assert session_of(locks).table._slots == {}
        assert session_of(locks)._watches == {}
    with direct_client(zookeeper_server.address) as client:
        wait_until(lambda: client.get_children(f"{zookeeper_root}/guards") == [], what="the guard is gone")


def _znode_count(mntr: str) -> int:
    return next(int(line.split()[1]) for line in mntr.splitlines() if line.startswith("zk_znode_count"))


def test_a_lock_that_is_missing_at_release_keeps_none_of_its_group(
    zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    with (
        open_locks(zookeeper_server.address, zookeeper_root) as locks,
        direct_client(zookeeper_server.address) as client,
    ):
        grant = locks.acquire(dict.fromkeys("abcde", V))
        client.delete(lock_path(zookeeper_root, "a"))
        client.delete(lock_path(zookeeper_root, "c"))
        session = session_of(locks)
        locks.release(grant)
        with locks.acquire(dict.fromkeys("abcde", V)) as again:
            assert sorted(again.tokens) == list("abcde"), "our own release is waited for"
        wait_until(lambda: lock_count(client, zookeeper_root) == 0, what="all locks deleted")
        assert session_of(locks) is session


def test_waiting_ends_when_the_holder_is_done_or_the_time_is_up(
    zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    with (
        open_locks(zookeeper_server.address, zookeeper_root) as holder,
        open_locks(zookeeper_server.address, zookeeper_root) as locks,
        ThreadPoolExecutor(8) as pool,
    ):
        grant = holder.acquire({"a": V})
        assert locks.acquire({"a": V}, wait_s=30).busy == ["a"], "another process's lock is not waited for"
        assert not locks.wait("a", 0.1)
        waits = [pool.submit(locks.wait, "a", 30) for _ in range(8)]
        assert len(session_of(locks)._client._data_watchers[lock_path(zookeeper_root, "a")]) == 1, "one for all"
        holder.release(grant)
        assert all(wait.result(120) for wait in waits)
        with locks.acquire({"a": V}) as ours:
            assert ours.busy == []
            assert not locks.wait("a", 0.1), "held by another thread of this process"
        assert locks.wait("a", 10)
        wait_until(lambda: not session_of(locks)._client._data_watchers, what="no watch left")


def test_processes_that_start_together_make_the_layout_together(
    zookeeper_server: Reachable, zookeeper_root: str
) -> None:
    root = f"{zookeeper_root}/deep/er"
    barrier = threading.Barrier(4)
    every = [Locks(zookeeper_server.address, root=root) for _ in range(4)]

    def first_use(number: int) -> int:
        barrier.wait(120)
        with every[number].acquire({str(number): V}) as grant:
            return len(grant.tokens)

    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(first_use, range(4))) == [1, 1, 1, 1]
        with direct_client(zookeeper_server.address) as client:
            assert sorted(client.get_children(root)) == ["guards", "locks"]
            assert len(client.get_children(f"{root}/locks")) == 256
    finally:
        for locks in every:
            locks.close()


def test_a_chroot_must_exist(zookeeper_server: Reachable, zookeeper_root: str) -> None:
    with open_locks(zookeeper_server.address + zookeeper_root, "/lastword") as locks:
        with pytest.raises(SessionLostError, match=f"{zookeeper_root} at the end of that does not exist"):
            locks.acquire({"a": V})
        with direct_client(zookeeper_server.address) as client:
            assert client.exists(zookeeper_root) is None
            client.create(zookeeper_root)
            wait_until(lambda: _acquires(locks), what="a session in the chroot")
            assert client.exists(f"{zookeeper_root}/lastword/locks/00") is not None


def test_an_unreachable_server_is_told_within_the_call_timeout_then_at_once() -> None:
    with open_locks("127.0.0.1:1", "/root", call_timeout_s=0.3) as locks:
        with pytest.raises(SessionLostError, match=r"127\.0\.0\.1:1 is not connected after 0\.3 s"):
            locks.acquire({"a": V})
        with pytest.raises(SessionLostError, match="backing off"):
            locks.acquire({"a": V})
        assert locks.wait("a", 30)


def test_after_close_there_is_no_session_any_more(zookeeper_server: Reachable, zookeeper_root: str) -> None:
    with open_locks(zookeeper_server.address, zookeeper_root) as locks:
        grant = locks.acquire({"a": V})
        locks.close()
        with pytest.raises(SessionLostError):
            grant.check()
        with pytest.raises(SessionLostError, match="closed for good"):
            locks.acquire({"a": V})
        with direct_client(zookeeper_server.address) as client:
            assert lock_count(client, zookeeper_root) == 0


def _acquires(locks: Locks) -> bool:
    try:
        with locks.acquire({"a": V}) as grant:
            return not grant.busy
    except SessionLostError:
        return False
