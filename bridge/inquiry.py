"""Asking, when tasks do not come back, who takes them: in a thread, for workers take their time to answer."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from celery import Celery

from bridge.causes import causes
from lastword.broker.consumers import read_consumers
from lastword.contract.flow import Destination

logger = logging.getLogger(__name__)

ASK_EVERY_S: Final = 30.0


class Inquiry:
    """Says in the log why tasks do not come back, where the broker or a worker knows; twice a minute at most."""

    def __init__(self, app: Celery, ours: Callable[[], Destination]) -> None:
        self._app = app
        self._ours = ours
        self._next = 0.0
        self._thread: threading.Thread | None = None

    def begin(self, now: float) -> None:
        """Ask, unless that has just been done."""
        if now >= self._next and (self._thread is None or not self._thread.is_alive()):
            self._next = now + ASK_EVERY_S
            self._thread = threading.Thread(target=self._ask, name="inquiry", daemon=True)
            self._thread.start()

    def _ask(self) -> None:
        try:
            told = list(causes(self._ours(), read_consumers(self._app)))
        except ConnectionError as error:
            logger.info("the workers cannot be asked why tasks do not come back: %s", error)
        except Exception:  # the edge of the thread
            logger.exception("the workers cannot be asked why tasks do not come back")
        else:
            for cause in told:
                logger.warning("tasks do not come back: %s", cause)
