"""From the window to the cache: tasks out, polls of what the cache holds, and what can never be applied."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from bridge.delivery.back_off import BackOff
from bridge.delivery.evidence import Hopeless, hopeless, loaded, marked_sends
from bridge.delivery.in_flight import InFlight
from bridge.delivery.window import Window
from bridge.enqueue.enqueue import EnqueueError, Enqueuer
from lastword.broker.outage import Reasons
from lastword.cache.cache import Cache
from lastword.cache.seal import Seal
from lastword.contract.errors import CacheUnavailableError
from lastword.contract.version import Version

logger = logging.getLogger(__name__)

BATCH: Final = 1_000
"""The most updates that are sent, or asked about, at a time."""

BACK_OFF_MAX_S: Final = 5.0
"""The longest pause after a server failed."""

FAILURES_AFTER_S: Final = 0.05
FAILURES_AFTER_MAX_S: Final = 1.0
"""How old a send must be before anybody asks whether it has failed: hardly any has before it is usually found."""

STARTED_MAX_S: Final = 30.0
"""How long a worker may be at one update. One that began it alone, and did not end by then, counts as killed by it."""

COMPLAIN_EVERY_S: Final = 10.0


class Polled(NamedTuple):
    """How many updates a poll has confirmed, and which can never be applied."""

    confirmed: int = 0
    hopeless: Sequence[Hopeless] = ()


class Delivery:
    """Sends what is in a window and polls the cache for it. One thread.

    ``cache_trouble`` is why the cache could not be asked, or not about everything; empty: nothing is wrong. The log has
    each trouble once. ``presumed_lost``: some were since somebody has set it to false.
    """

    def __init__(
        self,
        window: Window,
        enqueuer: Enqueuer,
        cache: Cache,
        *,
        back_off_max_s: float = BACK_OFF_MAX_S,
    ) -> None:
        self._window = window
        self._enqueuer = enqueuer
        self._cache = cache
        self._send_back_off = BackOff(back_off_max_s)
        self._poll_back_off = BackOff(back_off_max_s)
        self._broker = Reasons()
        self._partly = False
        self._next_complaint = 0.0
        self.cache_trouble = ""
        self.presumed_lost = False

    @property
    def broker_trouble(self) -> str:
        """Why the broker did not take the last tasks for sure; empty: it did."""
        return self._broker.last

    def idle_s(self, most_s: float) -> float:
        """How long nothing is to be done here, ``most_s`` at most."""
        return min(most_s, max(0.0, self._window.next_poll - time.monotonic()))

    # Tasks out.

    def send(self) -> None:
        """Send up to a batch. What the broker did not take for sure stays unsent, and goes again a while later."""
        now = time.monotonic()
        lost = self._window.presume_lost(now)
        if lost:
            self.presumed_lost = True
            logger.info("%d updates are presumed lost and sent again", lost)
        entries = self._window.unsent(BATCH) if self._send_back_off.ready(now) else []
        if not entries:
            return
        try:
            self._enqueuer.send(entries)
        except EnqueueError as error:
            if self._broker.add(str(error), now):
                logger.warning(
                    "it is not certain that the Celery broker took %d tasks; they are sent again until it does: %s",
                    len(entries),
                    error,
                )
            self._window.uncertain(entries, now)
            self._send_back_off.failed(time.monotonic())
        else:
            away_s = self._broker.end()
            if away_s is not None:
                logger.warning("the Celery broker takes tasks again, after %.0f s", away_s)
            self._window.sent(entries, time.monotonic())
            self._send_back_off.succeeded()

    # What the cache holds.

    def due(self) -> list[InFlight]:
        """Up to a batch that the cache is to be asked about now."""
        return self._window.due(time.monotonic(), BATCH)

    def poll(self, due: Sequence[InFlight], sealing: Callable[[], Seal] | None = None) -> tuple[Polled, Seal | None]:
        """Ask the cache about these in one round trip, and note in the window what it tells.

        ``sealing`` makes the seal that ends the round trip; there is None where nothing was asked, or nothing answered.
        Where the seal is lost, nothing else of the answer counts.
        """
        now = time.monotonic()
        if not self._poll_back_off.ready(now):
            return Polled(), None
        seal = sealing() if sealing else None
        sent_before = now - min(max(FAILURES_AFTER_S, 1.5 * self._window.usual_s), FAILURES_AFTER_MAX_S)
        asked = {self._enqueuer.task_id(e): e for e in due if e.sends and e.last_sent <= sent_before}
        sends = {name: nonces for name, e in asked.items() if (nonces := marked_sends(e))}
        try:
            polled = self._cache.poll([e.update.entity_id for e in due if e.update], list(asked), sends, seal=seal)
        except CacheUnavailableError as error:
            self._cache_failed(error)
            return Polled(), None
        self._cache_answered(polled.missed, now)
        if seal and seal.lost:
            return Polled(), seal
        confirmed = sum(self._window.observe(entity_id, held, now) for entity_id, held in polled.versions.items())
        confirmed += sum(self._window.loaded(entry, now) for entry in loaded(asked, polled))
        self._window.polled(due, now)
        working_s = max(STARTED_MAX_S, self._window.timeout_s)
        return Polled(confirmed, list(hopeless(asked, polled, now, working_s))), seal

    def held(self, entity_ids: Sequence[str]) -> dict[str, Version] | None:
        """The versions that the cache holds of these; None where it cannot be asked now."""
        now = time.monotonic()
        if not self._poll_back_off.ready(now):
            return None
        try:
            versions = self._cache.held(entity_ids)
        except CacheUnavailableError as error:
            self._cache_failed(error)
            return None
        self._cache_answered(None, now)
        return versions

    def poll_at_once(self) -> None:
        """Let the next poll not wait, whatever has failed before."""
        self._poll_back_off.succeeded()

    def close(self) -> None:
        """End the connection to the broker; what was sent is on its way."""
        self._enqueuer.close()

    def _cache_failed(self, error: CacheUnavailableError) -> None:
        if not self._poll_back_off.failing:
            logger.warning("Redis cannot be asked what it holds: %s", error)
        self.cache_trouble = str(error)
        self._poll_back_off.failed(time.monotonic())

    def _cache_answered(self, missed: CacheUnavailableError | None, now: float) -> None:
        """Say once of a part of Redis that it does not answer; not again at once, where it comes and goes."""
        self._poll_back_off.succeeded()
        self.cache_trouble = str(missed or "")
        if missed and not self._partly and now >= self._next_complaint:
            self._next_complaint = now + COMPLAIN_EVERY_S
            logger.warning("Redis cannot be asked about a part of what it holds: %s", missed)
            self._partly = True
        elif not missed:
            self._partly = False
