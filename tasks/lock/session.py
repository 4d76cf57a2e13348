"""One ZooKeeper session: its guard, and the guarded multis that create and delete locks."""

import atexit
import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from kazoo.client import KazooState
from kazoo.exceptions import (
    KazooException,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    RolledBackError,
    WriterNotClosedException,
)
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.interfaces import IAsyncResult
from kazoo.protocol.states import WatchedEvent, ZnodeStat

from tasks.lock.layout import remaining_s
from tasks.lock.multi import create_locks, delete_locks
from tasks.lock.path import lock_path
from tasks.lock.session_opening import forbidden, open_session
from tasks.lock.table import AmbiguousError, LockTable, Slot
from tasks.lock.zookeeper_client import Security, open_client

log = logging.getLogger(__name__)

MULTI_MAX: Final = 50
"""The most locks in one multi; far below ZooKeeper's jute.maxbuffer, also for the transaction that ends a session."""


class Answer(NamedTuple):
    """What became of a multi that creates locks: all of them under ``token``, or none because one was refused.

    It exists already, or ZooKeeper has ``forbidden`` it, for which this is what to tell a person.
    """

    token: str
    refused: int | None
    forbidden: str = ""


class Session:
    """One ZooKeeper session with its guard, an ephemeral znode. Once ``ended`` is true it stays so.

    Every write goes in one multi with an operation on the guard: under any other session, even one that kazoo opens by
    itself after ours has expired, it fails. ``table`` has the entities whose locks this session holds or is about to.
    ``abandon`` is called, from any thread, when it is no longer certain what the session holds.
    """

    def __init__(
        self,
        hosts: str,
        *,
        root: str,
        prefix: str = "",
        session_timeout_s: float,
        security: Security,
        table: LockTable,
        abandon: Callable[["Session", str], None],
    ) -> None:
        self.table = table
        self.ended = False
        self.opened_at = time.monotonic()
        self._hosts = hosts
        self._root = root
        self._prefix = prefix
        self._security = security
        self._abandon = abandon
        self._id: int | None = None
        self._holder = f"{socket.gethostname()}:{os.getpid()}".encode()  # for a person who looks
        self._guard = f"{root}/guards/{uuid.uuid4()}"
        self._mutex = threading.Lock()
        self._watches: dict[str, threading.Event] = {}
        self._client = open_client(hosts, session_timeout_s=session_timeout_s, security=security)
        self._client.add_listener(self._state_changed)

    def __str__(self) -> str:
        return f"{self._id:#x}" if self._id is not None else "(not yet open)"

    @property
    def was_open(self) -> bool:
        """Whether the session has ever been ready for use."""
        return self._id is not None

    @property
    def connected(self) -> bool:
        """Whether the session is the one it was, and connected as far as this process knows."""
        # In this order: kazoo connects anew under another session only after it has told us that ours is lost.
        return self._client.connected and not self.ended

    def open(self, timeout_s: float) -> None:
        """Connect, make what is missing of the fixed znodes, create the guard; all within ``timeout_s``.

        Raises SessionLostError or ZnodeForbiddenError when that does not succeed; the session must then be abandoned.
        """
        open_session(
            self._client,
            self._hosts,
            root=self._root,
            guard=self._guard,
            holder=self._holder,
            security=self._security,
            timeout_s=timeout_s,
        )
        self._id = self._client.client_id[0]

    def create_locks(self, entity_ids: Sequence[str]) -> IAsyncResult:
        """Send one multi that creates all these locks or none."""
        return create_locks(self._client, self._guard, self._holder, [self._path(each) for each in entity_ids])

    def answer(self, reply: IAsyncResult, entity_ids: Sequence[str], until: float) -> Answer:
        """Wait until ``until`` (monotonic) for the reply to ``create_locks`` of these entities.

        Raises AmbiguousError when there is none, or one that leaves open what exists now.
        """
        try:
            results = reply.get(timeout=remaining_s(until))
        except (KazooException, KazooTimeoutError) as error:
            raise AmbiguousError(f"the creation of locks was not answered: {error!r}") from error
        failure = first_failure(results)
        if failure is None:
            guard: ZnodeStat = results[0]
            return Answer(f"{guard.mzxid:016x}", None)
        index, reason = failure
        if index == 0 or not isinstance(reason, NodeExistsError | NoAuthError):
            # The guard is gone, and the session with it; or a shard, which is made again with the next session.
            raise AmbiguousError(f"the creation of locks failed at operation {index}: {reason!r}") from reason
        return Answer("", index - 1, self._forbidden(entity_ids[index - 1]) if isinstance(reason, NoAuthError) else "")

    def release(self, slots: Sequence[Slot], owner: object) -> None:
        """Hand the owner's locks to waiting threads, or delete them, not waiting for the reply.

        Nothing is sent when the session has ended: its locks are not ours any more.
        """
        if self.ended:
            return
        to_delete = self.table.leave(slots, owner, may_hand_over=self.connected)
        for start in range(0, len(to_delete), MULTI_MAX):
            self._delete_locks(to_delete[start : start + MULTI_MAX])

    def watch(self, entity_id: str) -> threading.Event:
        """An event that is set once the entity's lock, another process's, is gone, or the connection is.

        One watch per entity, however many threads wait, and however often.
        """
        path = self._path(entity_id)
        with self._mutex:
            event = self._watches.get(path)
            if event is not None:
                return event
            event = self._watches[path] = threading.Event()

        def wake(_: WatchedEvent | None = None) -> None:
            with self._mutex:
                if self._watches.get(path) is event:
                    del self._watches[path]
            event.set()

        def read(reply: IAsyncResult) -> None:
            if reply.exception is not None:
                wake()
            elif self._is_unowned(entity_id, reply.value[1]):
                self._abandon(self, f"it holds a lock of product {entity_id!r} that no task owns")

        # Not `exists`: on a missing znode it would leave a watch behind, which kazoo cannot remove.
        self._client.get_async(path, watch=wake).rawlink(read)
        if self.ended:
            wake()
        return event

    def end(self) -> None:
        """Wake all who wait for something in this session, which has ended."""
        self.table.close()
        with self._mutex:
            watches, self._watches = self._watches, {}
        for event in watches.values():
            event.set()

    def stop(self) -> None:
        """Close the session and free its threads and sockets. May take more than 10 s without a connection."""
        with contextlib.suppress(WriterNotClosedException, OSError, AttributeError):  # the last: it was never started
            self._client.stop()
        self._client.close()

    def forget(self) -> None:
        """In a forked child: let go of the parent's session without touching it, its locks or its mutexes."""
        self.ended = True
        atexit.unregister(self._client.handler.stop)  # would wait for threads that only the parent has

    def _delete_locks(self, slots: Sequence[Slot]) -> None:
        reply = delete_locks(self._client, self._guard, [self._path(slot.entity_id) for slot in slots])
        reply.rawlink(partial(self._deleted, slots))

    def _deleted(self, slots: Sequence[Slot], reply: IAsyncResult) -> None:
        # In kazoo's completion thread. Until `released` none of these locks can be acquired in this process, so that
        # a second attempt never deletes a lock that a thread of ours has created meanwhile.
        if self.ended:
            return
        failure = (0, reply.exception) if reply.exception is not None else first_failure(reply.value)
        if failure is None:
            self.table.released(slots)
            return
        index, error = failure
        if index == 0 or not isinstance(error, NoNodeError):
            forbidden_lock = index > 0 and isinstance(error, NoAuthError)
            why = self._forbidden(slots[index - 1].entity_id) if forbidden_lock else repr(error)
            self._abandon(self, f"a release failed: {why}")
        elif len(slots) > 1:
            for slot in slots:
                self._delete_locks([slot])
        else:
            log.warning("The lock of product %r was deleted by somebody else", slots[0].entity_id)
            self.table.released(slots)

    def _path(self, entity_id: str) -> str:
        return lock_path(self._root, self._prefix + entity_id)

    def _forbidden(self, entity_id: str) -> str:
        shard, _, _ = self._path(entity_id).rpartition("/")
        return forbidden(self._hosts, shard, self._security)

    def _is_unowned(self, entity_id: str, stat: ZnodeStat) -> bool:
        # Replies come in order: a lock of ours that was here when this was read is in the table until its release is
        # answered, and that answer is handled after this one.
        return stat.ephemeralOwner == self._id and not self.table.knows(entity_id)

    def _state_changed(self, state: str) -> None:
        # In kazoo's connection thread: must not block.
        if self.ended:
            return
        if state == KazooState.LOST:
            self._abandon(self, "ZooKeeper has ended it")
        elif state == KazooState.SUSPENDED:
            log.warning("ZooKeeper session %s is suspended: no connection to %s", self, self._hosts)
        elif self._id is not None:
            log.info("ZooKeeper session %s is connected again", self)


def first_failure(results: Sequence[object]) -> tuple[int, BaseException] | None:
    """The operation that rolled a multi back, as its position and its error; None when the multi was committed.

    A multi that failed has an exception as the result of each operation.
    """
    failures = [(index, result) for index, result in enumerate(results) if isinstance(result, BaseException)]
    named = (failure for failure in failures if not isinstance(failure[1], RolledBackError))
    return next(named, failures[0] if failures else None)
