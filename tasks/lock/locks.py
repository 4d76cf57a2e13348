"""The lock of an entity in ZooKeeper: guarded by its session, garbage-free, taken in groups."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lastword.contract.version import Version
from tasks.lock.grant import Asked, Grant
from tasks.lock.session import Session
from tasks.lock.session_keeper import SessionKeeper
from tasks.lock.table import Slot, State
from tasks.lock.zookeeper_client import NO_SECURITY, Security


class Locks:
    """The entity locks of this process, in one ZooKeeper session that is opened when first needed.

    ``hosts``: ``h1:2181,h2:2181``, or with a path that exists, ``h1,h2/app``. ``root``: the znode that has all of ours.
    ``prefix`` precedes the entity id in a lock's name: flows that share a root do not wait for each other.
    ``session_timeout_s`` is how long the locks of a dead process last; it must lie within the server's bounds, 2 to 20
    ticks, and half of it must be enough to do the work. ``call_timeout_s`` bounds every wait for a reply. ``security``
    is how the session is authenticated and encrypted.

    Thread-safe; survives a fork: the child opens its own session at first use. Raises ValueError for hosts or a root
    that cannot be.
    """

    def __init__(
        self,
        hosts: str,
        *,
        root: str = "/lastword",
        prefix: str = "",
        session_timeout_s: float = 10.0,
        call_timeout_s: float = 5.0,
        security: Security = NO_SECURITY,
    ) -> None:
        self._life_s = session_timeout_s / 2
        self._call_timeout_s = call_timeout_s
        self._keeper = SessionKeeper(
            hosts,
            root=root,
            prefix=prefix,
            session_timeout_s=session_timeout_s,
            call_timeout_s=call_timeout_s,
            security=security,
        )

    def acquire(self, wanted: Mapping[str, Version], *, wait_s: float = 0.0) -> Grant:
        """Take the locks of the wanted entities that are free: entity id to the newest version in flight for it.

        A lock of another process is never waited for. One of another thread of this process is, up to ``wait_s``, if
        it is the only one wanted: that thread hands it over, to the newest version first, without ZooKeeper.

        Raises SessionLostError when there is no usable session, or when it had to be abandoned because the reply did
        not come; ZnodeForbiddenError when ZooKeeper forbids one of the locks, or the session: nothing is held then.
        """
        return self.ask(wanted, wait_s=wait_s).grant()

    def ask(self, wanted: Mapping[str, Version], *, wait_s: float | None = None) -> Asked:
        """Ask for the locks like ``acquire``, not waiting for ZooKeeper's answer.

        Without ``wait_s`` no thread of this process is waited for either: a lock of ours that is still being released
        counts as busy too. Raises SessionLostError when there is no usable session.
        """
        session = self._keeper.current()
        grant = Grant(session)
        with self._certain(session):
            slots = self._claim(session, grant, wanted, wait_s)
        acquiring = [slot for slot in slots if slot.state is State.ACQUIRING]
        with self._certain(session):
            return Asked(
                session, grant, acquiring, self._certain, life_s=self._life_s, call_timeout_s=self._call_timeout_s
            )

    def wait(self, entity_id: str, wait_s: float) -> bool:
        """Wait up to ``wait_s`` until the entity's lock is free as far as we know; False when the time ran out.

        True also when the connection is lost meanwhile, or there is none: ``acquire`` tells.
        """
        session = self._keeper.existing()
        if session is None:
            return True
        if session.table.knows(entity_id):
            return session.table.wait_free(entity_id, wait_s)
        return session.watch(entity_id).wait(wait_s)

    def release(self, grant: Grant) -> None:
        """Give the grant's locks back, not waiting for ZooKeeper. Never raises; a second time it does nothing."""
        grant.release()

    def close(self) -> None:
        """Close the session for good, waiting no longer than the call timeout; ``acquire`` raises from then on."""
        self._keeper.close()

    def _claim(self, session: Session, grant: Grant, wanted: Mapping[str, Version], wait_s: float | None) -> list[Slot]:
        """Ask the other threads of this process first: what one of them has, the grant gets from it or not at all."""
        slots = []
        for entity_id, version in wanted.items():
            if wait_s is None:
                slot = session.table.claim_now(entity_id, grant)
            elif len(wanted) == 1 and wait_s > 0:
                slot = session.table.claim_or_wait(entity_id, version, grant, wait_s)
            else:
                slot = session.table.claim(entity_id, grant)
            if slot is None:
                grant.busy.append(entity_id)
                continue
            slots.append(slot)
            if slot.state is State.HELD:
                grant.add(slot)
        return slots

    @contextmanager
    def _certain(self, session: Session) -> Iterator[None]:
        """Abandon the session when anything is raised in here: what it holds is not certain any more.

        Whatever it was, also a time limit that Celery raises in the middle.
        """
        try:
            yield
        except BaseException as error:
            self._keeper.abandon(session, repr(error))
            raise
