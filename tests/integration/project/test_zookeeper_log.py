"""The transaction log as we read it: what ZooKeeper's own reader reads, and the lock intervals in it."""

import secrets
from pathlib import Path

import pytest

from servers import ZooKeeper, ZooKeeperEnsemble
from tasks.lock.path import lock_path
from tests.history.events import End
from tests.history.zookeeper_log import LogError, Transaction, gaps, lock_intervals, read_log
from tests.java_programs import run_java
from tests.lock_helpers import V, direct_client, end_session_elsewhere, open_locks, session_of
from tests.programs import JDK
from tests.waiting import wait_until

ROOT = "/root"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> ZooKeeper:
    """One that has been through everything that a log may tell, and is stopped."""
    server = ZooKeeper(tmp_path_factory.mktemp("zookeeper"))
    with server:
        with open_locks(server.address, ROOT) as locks, open_locks(server.address, ROOT) as others:
            grant = locks.acquire({"a": V, "b": V})
            assert others.acquire({"a": V, "c": V}).busy == ["a"], "a multi that fails, and one that succeeds"
            grant.release()
            wait_until(lambda: others.wait("a", 1), what="the release")
            others.acquire({"a": V})
        server.restart()
        with open_locks(server.address, ROOT) as locks, direct_client(server.address) as client:
            locks.acquire({"a": V, "d": V})
            client.delete(lock_path(ROOT, "d"))
            client.create(lock_path(ROOT, "d"), ephemeral=True)
            end_session_elsewhere(server.address, locks)
    return server


@JDK.mark
def test_we_read_what_zookeepers_own_reader_reads(server: ZooKeeper, tmp_path: Path) -> None:
    version_2 = server.directory / "data" / "version-2"
    assert len(list(version_2.glob("log.*"))) == 2, "one file for each start"
    said = run_java("PrintTransactions.java", "zookeeper", version_2, directory=tmp_path)
    read = read_log([server.directory / "data"])
    assert [_line(transaction) for transaction in read] == said.splitlines()
    kinds = {operation.kind for transaction in read for operation in transaction.operations}
    assert kinds == {"create", "delete", "close"}


def _line(transaction: Transaction) -> str:
    told = "".join(f" {kind} {path}" for kind, path in transaction.operations)
    return f"{transaction.zxid} {transaction.session} {transaction.at_ms}{told}"


def test_every_holding_of_a_lock_is_an_interval(server: ZooKeeper) -> None:
    transactions = read_log([server.directory / "data"])
    assert gaps(transactions) == []
    intervals = lock_intervals(transactions, ROOT)
    told = [(i.path, i.how, i.taken_by is not None) for i in intervals]
    a, b, c, d = (lock_path(ROOT, product) for product in "abcd")
    assert told == [
        (a, End.RELEASED, False),
        (b, End.RELEASED, False),
        (c, End.SESSION_CLOSED, False),
        (a, End.SESSION_CLOSED, False),
        (a, End.SESSION_CLOSED, False),
        (d, End.SESSION_CLOSED, True),
        (d, End.SESSION_CLOSED, False),
    ]
    robbed, robber = intervals[5:]
    assert robbed.taken_by is not None
    assert robbed.taken_by[0] == robber.session
    assert robbed.begin < robbed.taken_by[1] < robber.begin < (robbed.end or 0), "the owner's session went on"
    assert all(before.end and before.end > before.begin for before in intervals)
    assert lock_intervals(transactions, "/another") == []


def test_a_missing_transaction_is_a_gap(server: ZooKeeper) -> None:
    transactions = read_log([server.directory / "data"])
    at = len(transactions) // 2
    before, after = transactions[at - 1].zxid, transactions[at + 1].zxid
    assert gaps(transactions[:at] + transactions[at + 1 :]) == [f"between zxid {before:#x} and {after:#x}"]


def test_under_another_leader_the_count_begins_anew() -> None:
    zxids = (0x100000001, 0x100000002, 0x200000001, 0x200000002)
    assert gaps([Transaction(zxid, 0, 0, ()) for zxid in zxids]) == []
    missing = [Transaction(zxid, 0, 0, ()) for zxid in zxids if zxid != 0x200000001]
    assert gaps(missing) == ["between zxid 0x100000002 and 0x200000002"]


def test_a_damaged_log_is_refused(server: ZooKeeper, tmp_path: Path) -> None:
    whole = min((server.directory / "data" / "version-2").glob("log.*")).read_bytes()
    file = tmp_path / "version-2" / "log.1"
    file.parent.mkdir()
    file.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    with pytest.raises(LogError, match="checksum"):
        read_log([tmp_path])
    file.write_bytes(b"something else altogether")
    with pytest.raises(LogError, match="no transaction log"):
        read_log([tmp_path])


def test_members_of_an_ensemble_must_agree(server: ZooKeeper, tmp_path: Path) -> None:
    data = server.directory / "data"
    assert read_log([data, data]) == read_log([data])
    with ZooKeeper(tmp_path / "other") as other, open_locks(other.address, ROOT) as locks:
        locks.acquire({})
        assert session_of(locks).was_open
    with pytest.raises(LogError, match="two members disagree about zxid"):
        read_log([data, tmp_path / "other" / "data"])


def test_what_a_leader_proposed_to_nobody_never_was(zookeeper_ensemble: ZooKeeperEnsemble) -> None:
    """Neither while it is down nor after it has rejoined."""
    before, proposed, after, rejoined = (f"/{name}-{secrets.token_hex(4)}" for name in ("b", "p", "a", "r"))
    logs = [member.directory / "data" for member in zookeeper_ensemble.members]
    leader, followers = zookeeper_ensemble.leader, zookeeper_ensemble.followers
    with direct_client(leader.address) as client:
        client.create(before)
        for follower in followers:
            follower.pause()
        client.create_async(proposed)
        wait_until(lambda: proposed in _created([leader.directory / "data"]), what="the leader's log")
        # Killed while they are stopped, so that the proposal is lost with their sockets.
        for member in (leader, *followers):
            member.kill()
    for follower in followers:
        follower.launch()
    for follower in followers:
        follower.wait_ready()
    with direct_client(followers[0].address) as client:
        client.create(after)
    assert {before, after} <= _created(logs)
    assert proposed not in _created(logs)
    leader.launch()
    leader.wait_ready()
    with direct_client(leader.address) as client:
        client.create(rejoined)
    assert rejoined in _created(logs)
    assert proposed not in _created(logs)


def _created(logs: list[Path]) -> set[str]:
    return {change.path for transaction in read_log(logs) for change in transaction.operations}
