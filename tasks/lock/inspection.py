"""Who holds an entity's lock, and which sessions there are: a look into ZooKeeper that leaves nothing behind."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoAuthError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError

from lastword.contract.errors import SessionLostError
from lastword.settings.shared import TaskSettings
from tasks.lock.layout import remaining_s
from tasks.lock.opening import CALL_TIMEOUT_S, zookeeper_security
from tasks.lock.path import lock_path
from tasks.lock.session_opening import forbidden
from tasks.lock.zookeeper_client import open_client, trouble_of

_NAMED: Final = 20
_SESSION_TIMEOUT_S: Final = 4.0
_CLOSE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Holder:
    """A lock: ``session`` is the id of the ZooKeeper session that holds it, ``process`` its host and process id.

    ``czxid`` is the transaction that created it, which is the token of what is written under it; ``since_s`` its time
    in seconds since the epoch, by ZooKeeper's clock.
    """

    session: str
    process: str
    czxid: str
    since_s: float


@dataclass(frozen=True, slots=True)
class Locking:
    """``holder`` is None while the lock is free. ``processes`` are those with a session, as far as they are named.

    ``used``: workers have been there; else the root may be another than theirs, and of their locks nothing is known.
    """

    path: str
    holder: Holder | None
    sessions: int
    processes: tuple[str, ...]
    used: bool = True


def read_locking(settings: TaskSettings, entity_id: str, *, timeout_s: float = CALL_TIMEOUT_S) -> Locking:
    """Look at an entity's lock and at the guards, within so many seconds.

    Creates nothing: no lock, no guard, no layout.

    Raises:
        SessionLostError: ZooKeeper cannot be asked, or forbids it; says why.
    """
    security, hosts, root = zookeeper_security(settings), settings.zookeeper_hosts, settings.zookeeper_root
    path, guards = lock_path(root, settings.lock_prefix + entity_id), f"{root}/guards"
    until = time.monotonic() + timeout_s
    with _connected(settings, timeout_s) as client:
        try:
            holder = _holder(client, path, until)
            names = _children(client, guards, until)
            replies = [client.get_async(f"{guards}/{name}") for name in sorted(names or ())[:_NAMED]]
            processes = []
            for reply in replies:
                with contextlib.suppress(NoNodeError):  # its session has ended meanwhile
                    processes.append(reply.get(timeout=remaining_s(until))[0].decode(errors="replace"))
        except NoAuthError as error:
            raise SessionLostError(forbidden(hosts, f"{path} or {guards}", security)) from error
        except (KazooException, KazooTimeoutError) as error:
            raise SessionLostError(
                f"ZooKeeper at {hosts} has not answered within {timeout_s:g} s: {error!r}"
            ) from error
    return Locking(path, holder, len(names or ()), tuple(sorted(processes)), used=names is not None)


@contextlib.contextmanager
def _connected(settings: TaskSettings, timeout_s: float) -> Iterator[KazooClient]:
    # Should we be killed before the session is closed, the server forgets it soon.
    security, hosts = zookeeper_security(settings), settings.zookeeper_hosts
    client = open_client(hosts, session_timeout_s=_SESSION_TIMEOUT_S, security=security)
    try:
        try:
            connected = client.start_async().wait(timeout_s)
        except (KazooException, KazooTimeoutError, OSError) as error:
            raise SessionLostError(f"ZooKeeper at {hosts}: {error!r}") from error
        if not connected:
            raise SessionLostError(f"ZooKeeper at {hosts} is not connected after {timeout_s:g} s: {trouble_of(client)}")
        yield client
    finally:
        # Without a connection kazoo takes more than 10 s for it.
        closing = threading.Thread(target=_close, args=[client], name="close", daemon=True)
        closing.start()
        closing.join(_CLOSE_S)


def _close(client: KazooClient) -> None:
    with contextlib.suppress(KazooException, OSError):
        client.stop()
    client.close()


def _holder(client: KazooClient, path: str, until: float) -> Holder | None:
    try:
        data, stat = client.get_async(path).get(timeout=remaining_s(until))
    except NoNodeError:
        return None
    return Holder(
        session=f"{stat.ephemeralOwner:#x}",
        process=data.decode(errors="replace"),
        czxid=f"{stat.czxid:016x}",
        since_s=stat.ctime / 1_000,
    )


def _children(client: KazooClient, path: str, until: float) -> list[str] | None:
    try:
        children: list[str] = client.get_children_async(path).get(timeout=remaining_s(until))
    except NoNodeError:  # no worker has ever been here
        return None
    return children
