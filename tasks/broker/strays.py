"""Tasks that came to the wrong worker: of another flow, of other keys, or of a bridge with another cache.

They are dropped, and nothing is recorded of them: the bridge that sent them sends them again, to a worker of its own.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from lastword.cache.flow_note import UnreadableNoteError
from lastword.contract.errors import CacheUnavailableError
from lastword.contract.flow import Destination

logger = logging.getLogger(__name__)

SURE_S: Final = 5.0
"""How long what the cache said of itself is believed: behind its address there may be another one by then."""

UNSURE_S: Final = 1.0
"""How long a bridge whose cache is another one is not asked about again."""

SAY_EVERY_S: Final = 30.0


class Strays:
    """Tells the tasks that this process may run from those that it must drop. Thread-safe.

    ``name_of_cache`` asks the cache for its name: "" where it has none; it may raise CacheUnavailableError.
    """

    def __init__(self, ours: Destination, name_of_cache: Callable[[], str]) -> None:
        self.ours = ours
        self._name_of_cache = name_of_cache
        self._known: str | None = None
        self._known_until = 0.0
        self._refused_until: dict[str, float] = {}
        self._good: Destination | None = None
        self._good_until = 0.0
        self._mutex = threading.Lock()
        self._unsaid: Counter[str] = Counter()
        self._timer: threading.Timer | None = None

    def reason(self, to: Destination | None) -> str:
        """Why a task for this destination must be dropped, "" if it must not; a task of an older release has none."""
        if to is None or (to == self._good and time.monotonic() < self._good_until):
            return ""
        if (to.flow, to.key_prefix) != (self.ours.flow, self.ours.key_prefix):
            return f"it is for {to}, and this worker for {self.ours}"
        if to.cache and (cache := self._cache(to.cache)) is not None and cache != to.cache:
            return (
                f"the cache of the bridge that sent it, for {to}, is another one than this worker's (REDIS_URL): "
                f"{to.cache}, and not {cache or 'one that a bridge has been to'}"
            )
        self._good, self._good_until = to, time.monotonic() + UNSURE_S
        return ""

    def drop(self, reason: str, count: int = 1) -> str:
        """Return the result of a task of so many updates that is dropped; say so in the log, once in a while."""
        with self._mutex:
            self._unsaid[reason] += count
            if self._timer is None:
                self._say()
        return f"dropped: {reason}"

    def name_of_cache(self) -> str | None:
        """The name that the cache has for itself, "" if none; None where it does not say."""
        try:
            return self._name_of_cache()
        except (CacheUnavailableError, UnreadableNoteError):
            return None

    def _cache(self, wanted: str) -> str | None:
        """The cache's name, asked again where what is known is old or not what is wanted; None: it never said."""
        with self._mutex:
            now = time.monotonic()
            if now < (self._known_until if self._known == wanted else self._refused_until.get(wanted, 0.0)):
                return self._known
            name = self.name_of_cache()
            self._known = self._known if name is None else name
            self._known_until = time.monotonic() + SURE_S
            if self._known == wanted:
                self._refused_until.clear()
            else:
                self._refused_until[wanted] = time.monotonic() + UNSURE_S
            return self._known

    def _say(self) -> None:
        for reason, count in self._unsaid.items():
            what = "an update was dropped" if count == 1 else f"{count} updates were dropped"
            logger.warning("%s: %s. Their bridge sends them again", what, reason)
        self._unsaid.clear()
        self._timer = threading.Timer(SAY_EVERY_S, self._say_the_rest)
        self._timer.daemon = True
        self._timer.start()

    def _say_the_rest(self) -> None:
        with self._mutex:
            self._timer = None
            if self._unsaid:
                self._say()
