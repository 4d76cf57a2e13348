"""Who holds which entity's lock *within this process*: threads share one lock per entity, newest version first."""

import threading
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from lastword.contract.errors import SessionLostError
from lastword.contract.version import Version


class AmbiguousError(SessionLostError):
    """It is no longer certain which locks the session holds: it must be abandoned."""


class State(Enum):
    """What this process is doing with one entity's lock; an entity without a slot is free here."""

    ACQUIRING = auto()
    HELD = auto()
    RELEASING = auto()


@dataclass(eq=False)
class _Waiter:
    """A thread that waits to take the slot over from another thread of this process."""

    version: Version
    owner: object
    settled: bool = False


@dataclass(eq=False)
class Slot:
    """One entity in this process: there is never a second one beside it until its lock is known to be gone.

    ``owner`` is the grant that may use the slot. It is weak: a grant that was thrown away without a release leaves
    a lock that nobody can release any more, and this is how it shows.
    """

    entity_id: str
    owner: weakref.ref[object]
    state: State = State.ACQUIRING
    token: str = ""
    deadline: float = 0.0  # time.monotonic(); while RELEASING: when the answer is overdue
    waiters: list[_Waiter] = field(default_factory=list)

    def pass_on(self) -> bool:
        """Make the waiting thread with the newest version the owner; False when none waits."""
        if not self.waiters:
            return False
        heir = max(self.waiters, key=lambda waiter: waiter.version)
        self.waiters.remove(heir)
        heir.settled = True
        self.owner = weakref.ref(heir.owner)
        return True


class LockTable:
    """The slots of one session, under one mutex; nothing here talks to ZooKeeper.

    ``handover_min_s``: a lock is handed from thread to thread only while it is good for that much longer.
    ``release_timeout_s``: a release that is not answered for so long is ambiguous.
    Every method raises SessionLostError once the table is closed, except those that give something back.
    """

    def __init__(self, *, handover_min_s: float, release_timeout_s: float) -> None:
        self._handover_min_s = handover_min_s
        self._release_timeout_s = release_timeout_s
        self._changed = threading.Condition()
        self._slots: dict[str, Slot] = {}
        self._closed = False

    def claim(self, entity_id: str, owner: object) -> Slot | None:
        """The right to acquire the entity's lock; None when another thread of this process has it.

        A lock of ours that is being released is waited for: it takes a round trip and depends on no other thread.

        Raises AmbiguousError when the release stays unanswered, or when the slot's owner is gone without a release.
        """
        with self._changed:
            while (slot := self._find(entity_id)) is not None and slot.state is State.RELEASING:
                self._changed.wait(max(0.0, slot.deadline - time.monotonic()))
            if slot is not None:
                return None
            return self._new_slot(entity_id, owner)

    def claim_now(self, entity_id: str, owner: object) -> Slot | None:
        """Like ``claim``, but None also while a lock of ours is being released: nothing is waited for."""
        with self._changed:
            return None if self._find(entity_id) is not None else self._new_slot(entity_id, owner)

    def claim_or_wait(self, entity_id: str, version: Version, owner: object, wait_s: float) -> Slot | None:
        """Like ``claim``, but wait up to ``wait_s`` for the other threads; the newest version goes first.

        The slot comes back ``HELD`` when a thread handed its lock over, ``ACQUIRING`` when it has to be acquired. None
        when the time ran out, or when another thread of ours has just seen that somebody else holds the lock.
        """
        end = time.monotonic() + wait_s
        with self._changed:
            slot = self._find(entity_id)
            if slot is None:
                return self._new_slot(entity_id, owner)
            waiter = _Waiter(version, owner)
            slot.waiters.append(waiter)
            while not waiter.settled and (remaining_s := end - time.monotonic()) > 0:
                self._changed.wait(remaining_s)
                self._find(entity_id)  # raises when waiting has become pointless
            if not waiter.settled:
                slot.waiters.remove(waiter)
            return slot if slot.owner() is owner else None

    def acquired(self, slots: Iterable[Slot], token: str, deadline: float) -> None:
        """Their locks are ours now, until ``deadline`` (monotonic)."""
        with self._changed:
            self._check_open()
            for slot in slots:
                slot.state, slot.token, slot.deadline = State.HELD, token, deadline

    def refused(self, slot: Slot) -> None:
        """Somebody else holds its lock. Our other threads learn it from this one attempt instead of trying each."""
        with self._changed:
            self._check_open()
            del self._slots[slot.entity_id]
            for waiter in slot.waiters:
                waiter.settled = True
            slot.waiters.clear()
            self._changed.notify_all()

    def leave(self, slots: Iterable[Slot], owner: object, *, may_hand_over: bool) -> list[Slot]:
        """Take the owner out of its slots; return those whose locks must be deleted now.

        Not among them: locks handed to a waiting thread, and slots that are not the owner's any more.
        """
        now = time.monotonic()
        to_delete = []
        with self._changed:
            for slot in () if self._closed else slots:
                if slot.state is not State.HELD or slot.owner() is not owner:
                    continue
                if may_hand_over and slot.deadline - now >= self._handover_min_s and slot.pass_on():
                    continue
                slot.state = State.RELEASING
                slot.deadline = now + self._release_timeout_s
                to_delete.append(slot)
            self._changed.notify_all()
        return to_delete

    def released(self, slots: Iterable[Slot]) -> None:
        """Their locks are gone: the newest of the waiting threads may acquire it anew.

        Slots that are not being released are left alone: kazoo answers twice where a signal interrupts the sending.
        """
        with self._changed:
            for slot in slots:
                if slot.state is not State.RELEASING or self._slots.get(slot.entity_id) is not slot:
                    continue
                if slot.pass_on():
                    slot.state = State.ACQUIRING
                else:
                    del self._slots[slot.entity_id]
            self._changed.notify_all()

    def knows(self, entity_id: str) -> bool:
        """Whether a thread of this process acquires, holds or is releasing the entity's lock."""
        with self._changed:
            return entity_id in self._slots

    def wait_free(self, entity_id: str, wait_s: float) -> bool:
        """Wait until no thread of this process has the entity, or the table is closed; False when time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed or entity_id not in self._slots, wait_s)

    def close(self) -> None:
        """The session is over, and every lock of it: wake all who wait."""
        with self._changed:
            self._closed = True
            self._slots.clear()
            self._changed.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise SessionLostError("the ZooKeeper session ended while its locks were in use")

    def _new_slot(self, entity_id: str, owner: object) -> Slot:
        slot = self._slots[entity_id] = Slot(entity_id, weakref.ref(owner))
        return slot

    def _find(self, entity_id: str) -> Slot | None:
        self._check_open()
        slot = self._slots.get(entity_id)
        if slot is None:
            return None
        if slot.state is State.RELEASING:
            if time.monotonic() >= slot.deadline:
                raise AmbiguousError(f"the release of the lock of product {entity_id!r} was not answered in time")
        elif slot.owner() is None:
            raise AmbiguousError(f"the lock of product {entity_id!r} was given up without being released")
        return slot
