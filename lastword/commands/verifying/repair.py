"""Getting updates applied beside the bridge: what Redis does not hold is sent as tasks, and looked for until it is.

The window decides what to send, to look for and to send again, as in the bridge; here nothing is committed.
"""

import itertools
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Self

from bridge.claim import Claim
from bridge.delivery.in_flight import InFlight
from bridge.delivery.window import Window
from bridge.enqueue.app import app
from bridge.enqueue.delivery import BATCH, Delivery
from bridge.enqueue.enqueue import Enqueuer
from bridge.run import open_window
from lastword.cache.cache import Cache
from lastword.contract.record import Update
from lastword.contract.version import Version
from lastword.kafka.headers import RECORD_BYTES
from lastword.settings.bridge import BridgeSettings

IDLE_S: Final = 0.1
LATE_EVERY_S: Final = 1.0
ENOUGH_SENDS: Final = 3
KEPT: Final = 1_000
NOTHING: Final = Version(-1, 0)


class LocatedUpdate(NamedTuple):
    """An update, and where on the topic its record is."""

    partition: int
    offset: int
    update: Update


class Unconfirmed(NamedTuple):
    """An update that Redis was not seen to hold, and why, as far as it is known."""

    partition: int
    offset: int
    product_id: str
    version: Version
    reason: str


class Repair:
    """Sends what is not held and waits until it is. One thread; memory is bounded by the window's bounds.

    ``held`` updates needed nothing: Redis had their version or a newer one, or a newer one came with them.
    ``confirmed`` were sent and then seen. ``missed`` are the others, and the first thousand of them ``unconfirmed``.
    An update is given up on the bridge's evidence that it can never be applied, or when it is not seen ``deadline_s``
    after its first send though it was sent three times. When nothing at all has come of anything for ``deadline_s``,
    all that is in flight is given up, and ``stalled`` says why.
    """

    def __init__(self, window: Window, delivery: Delivery, *, deadline_s: float) -> None:
        self._window = window
        self._delivery = delivery
        self._deadline_s = deadline_s
        self._unread: Sequence[LocatedUpdate] = ()
        self._missing: deque[LocatedUpdate] = deque()
        self._last_progress = time.monotonic()
        self._next_late = 0.0
        self.held = 0
        self.confirmed = 0
        self.missed = 0
        self.unconfirmed: list[Unconfirmed] = []
        self.stalled = ""

    @classmethod
    def open(cls, settings: BridgeSettings, cache: Cache, claim: Claim, *, deadline_s: float) -> Self:
        """One with the bridge's own window, clocks and queue; its tasks go where the claim says."""
        window = open_window(settings)
        enqueuer = Enqueuer(app, settings.topic, to=lambda: claim.destination)
        delivery = Delivery(window, enqueuer, cache)
        return cls(window, delivery, deadline_s=deadline_s)

    def apply(self, updates: Iterable[LocatedUpdate]) -> None:
        """Return when each is held, confirmed or among the unconfirmed."""
        source = iter(updates)
        while not self.stalled and (batch := list(itertools.islice(source, BATCH))):
            self.give(batch)
            while not self.hungry and not self.stalled:
                self.turn()
                time.sleep(self.idle_s)
        self.finish()

    # For a caller that reads while it sends.

    @property
    def hungry(self) -> bool:
        """Whether more may be given."""
        return not self._unread and not self._missing

    @property
    def in_flight(self) -> int:
        """How many updates are neither held, confirmed nor given up."""
        return len(self._unread) + len(self._missing) + self._window.updates

    @property
    def idle_s(self) -> float:
        """How long until something is to be done: a turn after that is soon enough."""
        return self._delivery.idle_s(IDLE_S)

    def give(self, updates: Sequence[LocatedUpdate]) -> None:
        """Take a batch, when ``hungry``; of several of one entity the newest counts."""
        newest: dict[str, LocatedUpdate] = {}
        for located in updates:
            other = newest.get(located.update.entity_id)
            if other is None or located.update.version > other.update.version:
                newest[located.update.entity_id] = located
        if not self.in_flight:
            self._last_progress = time.monotonic()
        self.held += len(updates) - len(newest)
        self._unread = list(newest.values())

    def turn(self) -> None:
        """Move everything that is in flight as far as it goes, without waiting."""
        self._read_held()
        self._admit()
        self._delivery.send()
        self._poll()
        self._give_up()

    def finish(self) -> None:
        """Wait for everything that is in flight, and end the connection to the broker."""
        while self.in_flight and not self.stalled:
            self.turn()
            time.sleep(self.idle_s)
        self.close()

    def close(self) -> None:
        """End the connection to the broker; what was sent is on its way."""
        self._delivery.close()

    # What is missing.

    def _read_held(self) -> None:
        """Look which of the batch is held: that needs no task."""
        versions = self._delivery.held([located.update.entity_id for located in self._unread]) if self._unread else None
        if versions is None:
            return
        missing = [f for f in self._unread if f.update.version > versions.get(f.update.entity_id, NOTHING)]
        self._last_progress = time.monotonic()
        self.held += len(self._unread) - len(missing)
        self._missing.extend(missing)
        self._unread = ()

    def _admit(self) -> None:
        self._window.paused()  # lets partitions go on that were full and are half empty
        while self._missing:
            partition, offset, update = self._missing[0]
            size = RECORD_BYTES + len(update.data or b"")
            if partition not in self._window.assigned:
                self._window.assign([partition])
            if not self._window.admits(partition, size):
                return
            self._missing.popleft()
            self._window.add(partition, offset, [update], size=size, source=None)

    # What becomes of the tasks.

    def _poll(self) -> None:
        due = self._delivery.due()
        if not due:
            return
        polled, _ = self._delivery.poll(due)
        if polled.confirmed:
            self.confirmed += polled.confirmed
            self._last_progress = time.monotonic()
        for hopeless in polled.hopeless:
            self._leave(hopeless.entry, f"{hopeless.error}: {hopeless.reason}")

    # What does not arrive.

    def _give_up(self) -> None:
        now = time.monotonic()
        if not self.in_flight or now < self._last_progress + self._deadline_s:
            self._give_up_late(now)
            return
        delivery = self._delivery
        broker = f"the Celery broker does not take tasks: {delivery.broker_trouble}" if delivery.broker_trouble else ""
        trouble = (
            broker or delivery.cache_trouble or "tasks are taken, and nothing arrives in Redis: does a worker run?"
        )
        self.stalled = f"nothing was confirmed for {self._deadline_s:g} s; {trouble}"
        for located in itertools.chain(self._missing, self._unread):
            self._miss(located, "not sent")
        self._unread, self._missing = (), deque()
        for entry in self._window.in_flight():
            self._leave(entry, "not seen in Redis" if entry.sends else "not sent for certain")

    def _give_up_late(self, now: float) -> None:
        """Give up what others have overtaken for so long: sent again and again, it is not the workers' backlog."""
        if now < self._next_late:
            return
        self._next_late = now + LATE_EVERY_S
        for entry in self._window.in_flight():
            if entry.sends >= ENOUGH_SENDS and entry.first_sent <= now - self._deadline_s:
                self._leave(entry, f"sent {entry.sends} times in {now - entry.first_sent:.0f} s, not seen in Redis")

    def _leave(self, entry: InFlight, reason: str) -> None:
        if entry.update is not None and self._window.give_up(entry):
            self._window.finish(entry)
            self._miss(LocatedUpdate(entry.record.partition.number, entry.record.offset, entry.update), reason)

    def _miss(self, located: LocatedUpdate, reason: str) -> None:
        self.missed += 1
        if len(self.unconfirmed) < KEPT:
            update = located.update
            self.unconfirmed.append(
                Unconfirmed(located.partition, located.offset, update.entity_id, update.version, reason)
            )
