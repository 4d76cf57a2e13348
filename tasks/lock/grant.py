"""What was asked for and granted in ZooKeeper: locks of entities, held for as long as a session guards them."""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import NamedTuple, Self

from kazoo.interfaces import IAsyncResult

from lastword.contract.errors import LockExpiredError, SessionLostError, TransientError, ZnodeForbiddenError
from tasks.lock.session import MULTI_MAX, Session
from tasks.lock.table import Slot

_NARROWINGS = 2  # how often a refused group is sent again without the entity that was refused


class Grant:
    """The locks that an acquire got, as a context manager: leaving it releases them.

    ``tokens``: entity id to lock token, 16 lower-case hexadecimal digits that grow with every acquisition, across
    sessions; threads that hand a lock on share its token. ``busy``: the entity ids that somebody else holds.
    Keep it as long as you need the locks; one that is thrown away without a release costs the process its session.
    """

    def __init__(self, session: Session) -> None:
        self.tokens: dict[str, str] = {}
        self.busy: list[str] = []
        self._session = session
        self._slots: list[Slot] = []
        self._deadline = math.inf
        self._released = False

    def add(self, slot: Slot) -> None:
        """Take in a slot whose lock is held for this grant."""
        self.tokens[slot.entity_id] = slot.token
        self._slots.append(slot)
        self._deadline = min(self._deadline, slot.deadline)

    def check(self) -> None:
        """Return if the locks are held as far as this process can know; call it before every effect.

        Raises LockExpiredError past half the session timeout since the acquire was sent, or after a release;
        SessionLostError when the session that holds them has ended or is not connected.
        """
        if not self._slots:
            return
        if self._released:
            raise LockExpiredError("the locks have been released")
        if time.monotonic() >= self._deadline:
            raise LockExpiredError("the locks have been held for more than half the ZooKeeper session timeout")
        if not self._session.connected:
            raise SessionLostError("the ZooKeeper session that holds the locks has ended or is not connected")

    def release(self) -> None:
        """Give the locks back, not waiting for ZooKeeper. Never raises; a second time it does nothing."""
        self._released = True
        self._session.release(self._slots, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


class _Batch(NamedTuple):
    """Slots whose locks are asked for in one multi, and how often entities were taken out of it."""

    slots: Sequence[Slot]
    narrowed: int

    @property
    def entity_ids(self) -> list[str]:
        """The entities, in the order of the slots."""
        return [slot.entity_id for slot in self.slots]

    def without(self, index: int) -> list["_Batch"]:
        """What to send after the lock at ``index`` was refused: the rest together, in the end one by one."""
        rest = [slot for position, slot in enumerate(self.slots) if position != index]
        if self.narrowed < _NARROWINGS:
            return [_Batch(rest, self.narrowed + 1)] if rest else []
        return [_Batch([slot], self.narrowed) for slot in rest]


class Asked:
    """Locks that ZooKeeper has been asked for. ``grant()`` says which it gave; do call it, or ``give_up()``.

    Each multi is all or nothing and none is waited for while another is held, so there is no deadlock.
    """

    def __init__(
        self,
        session: Session,
        grant: Grant,
        slots: Sequence[Slot],
        certain: Callable[[Session], AbstractContextManager[None]],
        *,
        life_s: float,
        call_timeout_s: float,
    ) -> None:
        self._session = session
        self._grant = grant
        self._certain = certain
        self._life_s = life_s
        self._call_timeout_s = call_timeout_s
        self._forbidden = ""
        self._sent_at = time.monotonic()
        self._batches: list[_Batch] = []
        self._replies: list[IAsyncResult] = []
        self._send([_Batch(slots[start : start + MULTI_MAX], 0) for start in range(0, len(slots), MULTI_MAX)])

    @property
    def answered(self) -> bool:
        """Whether ``grant()`` need not wait for the answers it waits for first, or may wait no longer."""
        overdue = time.monotonic() >= self._sent_at + self._call_timeout_s
        return overdue or all(reply.ready() for reply in self._replies)

    def when_answered(self, call: Callable[[], object]) -> None:
        """Call this once, from any thread, when ZooKeeper has answered; never, where it does not answer."""
        unanswered = len(self._replies)
        mutex = threading.Lock()

        def one_less(_: object) -> None:
            nonlocal unanswered
            with mutex:
                unanswered -= 1
                last = not unanswered
            if last:
                call()

        if not self._replies:
            call()
        for reply in self._replies:
            reply.rawlink(one_less)

    def grant(self) -> Grant:
        """Wait for the answers, no longer than the call timeout, and return the locks. Raises as ``acquire`` does."""
        with self._certain(self._session):
            while self._batches:
                self._send(self._following())
        if self._forbidden:
            # Rolled back, so it is certain what exists; the session, and what else it holds, can stay.
            self._grant.release()
            raise ZnodeForbiddenError(self._forbidden)
        return self._grant

    def give_up(self) -> None:
        """Want the locks no longer: they are released when they come. Never raises."""
        with contextlib.suppress(TransientError):
            self.grant().release()

    def _send(self, batches: list[_Batch]) -> None:
        self._sent_at = time.monotonic()
        self._batches = batches
        self._replies = [self._session.create_locks(batch.entity_ids) for batch in batches]

    def _following(self) -> list[_Batch]:
        """Take the answers to what was asked; return what to ask next, without the entities that were refused."""
        following: list[_Batch] = []
        for batch, reply in zip(self._batches, self._replies, strict=True):
            answer = self._session.answer(reply, batch.entity_ids, self._sent_at + self._call_timeout_s)
            self._forbidden = self._forbidden or answer.forbidden
            if answer.refused is None:
                self._session.table.acquired(batch.slots, answer.token, self._sent_at + self._life_s)
                for slot in batch.slots:
                    self._grant.add(slot)
            else:
                refused = batch.slots[answer.refused]
                self._session.table.refused(refused)
                self._grant.busy.append(refused.entity_id)
                following += batch.without(answer.refused)
        return following
