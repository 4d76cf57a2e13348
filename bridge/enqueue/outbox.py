"""Tasks out: what is unsent or presumed lost goes to the Celery broker, and after a failure a while later."""

import logging
import time
from typing import Final

from bridge.delivery.back_off import BackOff
from bridge.delivery.window import Window
from bridge.enqueue.enqueue import EnqueueError, Enqueuer

logger = logging.getLogger(__name__)

BATCH: Final = 1_000

REASONS_MAX: Final = 8
"""The most reasons that are said of one outage; more are the same in other words."""


class Outbox:
    """Sends from a window. ``trouble`` is why the broker did not take the last tasks for sure; empty: it did.

    The log has each reason once, and when it is over. ``lost``: some were presumed lost since somebody has set it to
    false.
    """

    def __init__(self, window: Window, enqueuer: Enqueuer, back_off: BackOff) -> None:
        self._window = window
        self._enqueuer = enqueuer
        self._back_off = back_off
        self.trouble = ""
        self._since = 0.0
        self._said: set[str] = set()
        self.lost = False

    def send(self) -> None:
        """Send up to a batch. What the broker did not take for sure stays unsent."""
        now = time.monotonic()
        lost = self._window.presume_lost(now)
        if lost:
            self.lost = True
            logger.info("%d updates are presumed lost and sent again", lost)
        entries = self._window.unsent(BATCH) if self._back_off.ready(now) else []
        if not entries:
            return
        try:
            self._enqueuer.send(entries)
        except EnqueueError as error:
            self._complain(len(entries), str(error), now)
            self._window.uncertain(entries, now)
            self._back_off.failed(time.monotonic())
        else:
            self._rejoice()
            self._window.sent(entries, time.monotonic())
            self._back_off.succeeded()

    def _complain(self, count: int, reason: str, now: float) -> None:
        if not self.trouble:
            self._since = now
        self.trouble = reason
        if reason not in self._said and len(self._said) < REASONS_MAX:
            self._said.add(reason)
            logger.warning(
                "it is not certain that the Celery broker took %d tasks; they are sent again until it does: %s",
                count,
                reason,
            )

    def _rejoice(self) -> None:
        if self.trouble:
            logger.warning("the Celery broker takes tasks again, after %.0f s", time.monotonic() - self._since)
        self.trouble = ""
        self._said.clear()
