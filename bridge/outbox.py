"""Tasks out: what is unsent or presumed lost goes to the Celery broker, and after a failure a while later."""

import logging
import time
from typing import Final

from bridge.back_off import BackOff
from bridge.enqueue import EnqueueError, Enqueuer
from bridge.window import Window

logger = logging.getLogger(__name__)

BATCH: Final = 1_000


class Outbox:
    """Sends from a window. ``trouble`` is why the broker did not take the last tasks for sure; empty: it did.

    ``lost``: some were presumed lost since somebody has set it to false.
    """

    def __init__(self, window: Window, enqueuer: Enqueuer, back_off: BackOff) -> None:
        self._window = window
        self._enqueuer = enqueuer
        self._back_off = back_off
        self.trouble = ""
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
            self.trouble = str(error)
            logger.warning(
                "it is not certain that the Celery broker took %d tasks; they are sent again: %s", len(entries), error
            )
            self._window.uncertain(entries, now)
            self._back_off.failed(time.monotonic())
        else:
            self.trouble = ""
            self._window.sent(entries, time.monotonic())
            self._back_off.succeeded()
