"""Waking librdkafka after the system's clock was set."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

CHECK_EVERY_S: Final = 1.0
SET_BY_S: Final = 1.0  # by less, nobody waits much longer


class ClockWatch:
    """Calls ``wake``, in a thread of its own, each time the system's clock was set.

    librdkafka's threads wait until times of that clock, even if only for a tenth of a second: of a clock set back by an
    hour they would wait an hour for nothing, heartbeats and commits included, unless something is asked of them.
    Source: https://github.com/confluentinc/librdkafka/issues/2145
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._stopping = threading.Event()
        threading.Thread(target=self._run, name="clock-watch", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopping.set()

    def _run(self) -> None:
        before_s = _ahead_s()
        while not self._stopping.wait(CHECK_EVERY_S):  # by the monotonic clock
            now_s = _ahead_s()
            if abs(now_s - before_s) > SET_BY_S:
                logger.warning("the system's clock was set by %+.0f s", now_s - before_s)
                self._wake()
            before_s = now_s


def _ahead_s() -> float:
    """How far the system's clock is ahead of the one that nobody sets."""
    return time.time() - time.monotonic()
