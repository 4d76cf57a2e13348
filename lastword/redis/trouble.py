"""What the log says of a server that does not serve: once why, and once that it serves again."""

import logging
import time
from typing import Final, NamedTuple

from redis.exceptions import RedisError

from lastword.redis.errors import CACHE_PERMISSIONS, code_of, explain

logger = logging.getLogger(__name__)

QUIET_S: Final = 10.0
QUIET_MAX_S: Final = 600.0
"""How long a reason that is over is not told again: doubling, where it comes and goes all the time."""


class _Told(NamedTuple):
    """When a reason was told (monotonic), and whether a write was refused for it."""

    at: float
    writing: bool


class _Quiet(NamedTuple):
    until: float
    seconds: float


class Trouble:
    """That of one server. Threads share it without a lock, which a fork might find taken: each step is atomic."""

    def __init__(self, address: str) -> None:
        self.told: dict[str, _Told] = {}
        self._address = address
        self._quiet: dict[str, _Quiet] = {}

    def refused(self, error: RedisError, *, writing: bool) -> None:
        """Tell each reason once."""
        code, now = code_of(error), time.monotonic()
        told = _Told(now, writing)
        quiet = self._quiet.get(code)
        if (quiet and now < quiet.until) or self.told.setdefault(code, told) is not told:
            return
        logger.warning(
            "Redis at %s does not serve us, %s: %s; it is asked again, over a new connection each time",
            *(self._address, code, explain(error, permissions=CACHE_PERMISSIONS)),
        )

    def served(self, *, written: bool) -> None:
        """Tell that it is over, if it is: where a write was refused, only a write shows that."""
        self._over([code for code, told in list(self.told.items()) if written or not told.writing], "serves us again")

    def replaced(self) -> None:
        """Tell that it is over, if there is anything: another server has taken its place."""
        self._over(list(self.told), "is not asked any more, another serves in its place")

    def _over(self, codes: list[str], how: str) -> None:
        ended = {code: told for code in codes if (told := self.told.pop(code, None))}
        if not ended:
            return
        now = time.monotonic()
        for code in ended:
            before = self._quiet.get(code, _Quiet(0.0, 0.0))
            soon = now < before.until + before.seconds
            seconds = min(2 * before.seconds, QUIET_MAX_S) if soon else QUIET_S
            self._quiet[code] = _Quiet(now + seconds, seconds)
        if not self.told:
            since = min(told.at for told in ended.values())
            logger.warning("Redis at %s %s, after %.1f s", self._address, how, now - since)
