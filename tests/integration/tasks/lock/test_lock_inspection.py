"""Who holds a lock, as a look from outside tells it: nothing is made, and every call is bounded."""

import os
import socket
import time

import pytest

from lastword.contract.errors import SessionLostError
from lastword.settings.shared import TaskSettings, load
from servers import Reachable, ZooKeeper
from servers.ports import free_port
from tasks.lock.inspection import read_locking
from tasks.lock.path import lock_path
from tasks.lock.zookeeper_client import Security
from tests.kafka_helpers import at_most
from tests.lock_helpers import V, direct_client, open_locks

HERE = f"{socket.gethostname()}:{os.getpid()}"


def settings_for(address: str, root: str, **others: object) -> TaskSettings:
    return load(TaskSettings, zookeeper_hosts=address, zookeeper_root=root, **others)


def test_a_held_lock_tells_its_session_process_token_and_age(zookeeper_server: Reachable, zookeeper_root: str) -> None:
    settings = settings_for(zookeeper_server.address, zookeeper_root)
    with open_locks(zookeeper_server.address, zookeeper_root) as locks, locks.acquire({"42": V}) as grant:
        locking, other = read_locking(settings, "42"), read_locking(settings, "43")

    assert locking.holder is not None
    assert locking.path == lock_path(zookeeper_root, "42")
    assert (locking.holder.process, locking.holder.czxid) == (HERE, grant.tokens["42"])
    assert abs(locking.holder.since_s - time.time()) < 60
    assert (locking.sessions, locking.processes, locking.used) == (1, (HERE,), True)
    assert other.holder is None


def test_where_no_worker_has_ever_been_nothing_is_made(zookeeper_server: Reachable, zookeeper_root: str) -> None:
    locking = read_locking(settings_for(zookeeper_server.address, zookeeper_root), "42")
    assert (locking.holder, locking.sessions, locking.processes, locking.used) == (None, 0, (), False)
    with direct_client(zookeeper_server.address) as client:
        assert client.exists(zookeeper_root) is None


def test_a_forbidden_lock_says_what_to_set(zookeeper_server: Reachable, zookeeper_root: str) -> None:
    auth = "shop:hunter2-and-more"
    with open_locks(zookeeper_server.address, zookeeper_root, security=Security(auth=auth)) as locks:
        locks.acquire({"42": V})
        with pytest.raises(SessionLostError, match="set LASTWORD_ZOOKEEPER_AUTH"):
            read_locking(settings_for(zookeeper_server.address, zookeeper_root), "42")
        settings = settings_for(zookeeper_server.address, zookeeper_root, zookeeper_auth=auth)
        assert read_locking(settings, "42").holder is not None


def test_a_zookeeper_that_is_not_there_is_an_error_in_time(zookeeper_root: str) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with at_most(60, "the look"), pytest.raises(SessionLostError, match=f"ZooKeeper at {nobody} is not connected"):
        read_locking(settings_for(nobody, zookeeper_root), "42", timeout_s=1.0)


def test_a_silent_zookeeper_is_an_error_in_time(own_zookeeper: ZooKeeper, zookeeper_root: str) -> None:
    own_zookeeper.pause()
    try:
        with at_most(60, "the look"), pytest.raises(SessionLostError, match="it takes the connection and says nothing"):
            read_locking(settings_for(own_zookeeper.address, zookeeper_root), "42", timeout_s=1.0)
    finally:
        own_zookeeper.resume()
