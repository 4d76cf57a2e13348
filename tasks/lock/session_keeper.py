"""The one ZooKeeper session of this process: opened when needed, abandoned when in doubt."""

import logging
import os
import random
import threading
import time
from typing import Final
from weakref import WeakSet

from kazoo.hosts import collect_hosts

from lastword.contract.errors import SessionLostError
from tasks.lock.session import Session
from tasks.lock.table import LockTable
from tasks.lock.zookeeper_client import NO_SECURITY, Security

log = logging.getLogger(__name__)

_BACKOFF_MIN_S: Final = 0.1
_BACKOFF_MAX_S: Final = 5.0


class SessionKeeper:
    """Opens a session lazily in the process that uses it, and another one, with jittered back-off, after a loss."""

    def __init__(
        self,
        hosts: str,
        *,
        root: str,
        prefix: str = "",
        session_timeout_s: float,
        call_timeout_s: float,
        security: Security = NO_SECURITY,
    ) -> None:
        try:
            collect_hosts(hosts)
        except ValueError as error:
            raise ValueError(
                f"ZooKeeper hosts {hosts!r}: {error}; wanted is host:port,host:port, with or without a /path"
            ) from error
        if not root.startswith("/") or any(name in {"", ".", ".."} for name in root[1:].split("/")):
            raise ValueError(f"ZooKeeper root {root!r}: wanted is a path like /lastword")
        self._hosts = hosts
        self._root = root
        self._prefix = prefix
        self._session_timeout_s = session_timeout_s
        self._call_timeout_s = call_timeout_s
        self._security = security
        self._closed = False
        self._start_afresh()
        _keepers.add(self)

    def current(self) -> Session:
        """The connected session, opened if there is none.

        Raises SessionLostError: at once while suspended or backing off, within the call timeout otherwise;
        ZnodeForbiddenError when a new session may not use the znodes.
        """
        session = self._session
        if session is None or session.ended:
            session = self._open_one()
        if not session.connected:
            raise SessionLostError(f"the connection of ZooKeeper session {session} is suspended")
        return session

    def existing(self) -> Session | None:
        """The connected session, or None."""
        session = self._session
        return session if session is not None and session.connected else None

    def abandon(self, session: Session, why: str) -> None:
        """End the session, whose locks ZooKeeper frees now or when its timeout has passed. Never blocks; idempotent."""
        with self._mutex:
            if session.ended:
                return
            now = time.monotonic()
            if now - session.opened_at > _BACKOFF_MAX_S:
                self._failures = 0
            is_news = session.was_open or self._failures == 0
            self._not_before = now + _backoff_s(self._failures)
            self._failures += 1
            self._end(session)
        log.log(logging.WARNING if is_news else logging.DEBUG, "ZooKeeper session %s abandoned: %s", session, why)

    def close(self) -> None:
        """Close the session for good, waiting no longer than the call timeout."""
        with self._mutex:
            self._closed = True
            stopping = self._end(self._session) if self._session is not None else None
        if stopping is not None:
            stopping.join(self._call_timeout_s)

    def forget(self) -> None:
        """In a forked child: drop the parent's session, which goes on living there."""
        if self._session is not None:
            self._session.forget()
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._mutex = threading.Lock()
        self._opening = threading.Lock()
        self._session: Session | None = None
        self._failures = 0
        self._not_before = 0.0

    def _open_one(self) -> Session:
        if not self._opening.acquire(timeout=self._call_timeout_s):
            raise SessionLostError(f"another thread is still opening a session with ZooKeeper at {self._hosts}")
        try:
            if self._session is not None and not self._session.ended:
                return self._session
            if self._closed:
                raise SessionLostError("the ZooKeeper session of this process has been closed for good")
            if time.monotonic() < self._not_before:
                raise SessionLostError(f"the last session with ZooKeeper at {self._hosts} failed just now; backing off")
            return self._open()
        finally:
            self._opening.release()

    def _open(self) -> Session:
        session = Session(
            self._hosts,
            root=self._root,
            prefix=self._prefix,
            session_timeout_s=self._session_timeout_s,
            security=self._security,
            table=LockTable(
                # Half of a lock's life: the other half is for the processes that wait for it.
                handover_min_s=self._session_timeout_s / 4,
                release_timeout_s=self._call_timeout_s,
            ),
            abandon=self.abandon,
        )
        try:
            session.open(self._call_timeout_s)
            self._adopt(session)
        except RuntimeError as error:
            # "can't start new thread": the machine's fault, which may pass.
            self.abandon(session, str(error))
            raise SessionLostError(f"no session with ZooKeeper at {self._hosts}: {error}") from error
        except BaseException as error:
            self.abandon(session, str(error))
            raise
        log.info("ZooKeeper session %s opened", session)
        return session

    def _adopt(self, session: Session) -> None:
        with self._mutex:
            if session.ended or self._closed:
                raise SessionLostError("the ZooKeeper session ended while it was being opened")
            self._session = session

    def _end(self, session: Session) -> threading.Thread | None:
        session.ended = True
        if self._session is session:
            self._session = None
        session.end()
        # stop() waits for kazoo's threads: 10 s and more without a connection, for ever in one of them.
        stopping = threading.Thread(target=session.stop, name="zookeeper-session-stop", daemon=True)
        try:
            stopping.start()
        except RuntimeError:
            log.warning(
                "no thread to stop ZooKeeper session %s with; its locks are free when it has timed out", session
            )
        return stopping


def _backoff_s(failures: int) -> float:
    return min(_BACKOFF_MAX_S, _BACKOFF_MIN_S * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


_keepers: WeakSet[SessionKeeper] = WeakSet()


def _forget_after_fork() -> None:
    for keeper in list(_keepers):
        keeper.forget()


os.register_at_fork(after_in_child=_forget_after_fork)
