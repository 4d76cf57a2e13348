"""What the tests of the lock share: sessions with short timeouts, and a look at the znodes past the code under test."""

from collections.abc import Iterator
from contextlib import contextmanager

from kazoo.client import KazooClient
from kazoo.protocol.states import ZnodeStat

from lastword.contract.errors import SessionLostError
from lastword.contract.version import Version
from tasks.lock.grant import Grant
from tasks.lock.locks import Locks
from tasks.lock.path import SHARDS, lock_path
from tasks.lock.session import Session
from tasks.lock.zookeeper_client import NO_SECURITY, Security
from tests.waiting import wait_until

V = Version(1_763_800_000_000_000, 0)


@contextmanager
def open_locks(
    address: str,
    root: str,
    *,
    session_timeout_s: float = 10.0,
    call_timeout_s: float = 5.0,
    security: Security = NO_SECURITY,
) -> Iterator[Locks]:
    locks = Locks(
        address, root=root, session_timeout_s=session_timeout_s, call_timeout_s=call_timeout_s, security=security
    )
    try:
        yield locks
    finally:
        locks.close()


@contextmanager
def direct_client(address: str, client_id: tuple[int, bytes] | None = None) -> Iterator[KazooClient]:
    client = KazooClient(address, client_id=client_id)
    client.start(timeout=60)
    try:
        yield client
    finally:
        client.stop()
        client.close()


def session_of(locks: Locks) -> Session:
    session = locks._keeper.existing()
    assert session is not None
    return session


def end_session_elsewhere(address: str, locks: Locks) -> None:
    """Do to the session what its timeout does: end it on the server, behind its owner's back."""
    session = session_of(locks)
    client_id = session._client.client_id
    with direct_client(address) as client:
        for scheme, auth in session._client.auth_data:
            client.add_auth(scheme, auth)
        close_session(address, client_id, client, session._guard)


def close_session(address: str, client_id: tuple[int, bytes], client: KazooClient, guard: str) -> None:
    """Close somebody else's session, whose guard ``client`` can see, by its id and password."""
    while client.exists(guard):  # the owner, disconnected by this, may be back before the session is closed
        with direct_client(address, client_id):
            pass


def lock_stat(client: KazooClient, root: str, entity_id: str) -> ZnodeStat | None:
    return client.exists(lock_path(root, entity_id))


def lock_count(client: KazooClient, root: str) -> int:
    return sum(len(client.get_children(f"{root}/locks/{shard}")) for shard in SHARDS)


def acquire_when_possible(locks: Locks, *entity_ids: str) -> Grant:
    """Like a task that is retried until it has all the locks."""

    def attempt() -> Grant | None:
        try:
            grant = locks.acquire(dict.fromkeys(entity_ids, V))
        except SessionLostError:
            return None
        if not grant.busy:
            return grant
        grant.release()
        locks.wait(entity_ids[0], 0.2)
        return None

    grant = wait_until(attempt, what=f"the locks of {entity_ids}")
    assert grant is not None
    return grant


def is_held(client: KazooClient, root: str, grant: Grant, entity_id: str) -> bool:
    stat = lock_stat(client, root, entity_id)
    return stat is not None and f"{stat.czxid:016x}" == grant.tokens[entity_id]
