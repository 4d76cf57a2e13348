"""What is to be said of a broker that does not serve: each reason once, and when it is over."""

import time
from typing import Final

REASONS_MAX: Final = 8
"""The most reasons that are said of one outage; more are the same in other words."""


class Reasons:
    """Why a broker does not serve, for as long as that lasts: ``failures`` so far, ``last`` the last reason."""

    def __init__(self) -> None:
        self.failures = 0
        self.last = ""
        self._since = 0.0
        self._said: set[str] = set()

    def add(self, reason: str, now: float) -> bool:
        """Note a failure; whether its reason is still to be said."""
        if not self.failures:
            self._since = now
        self.failures += 1
        self.last = reason
        if reason in self._said or len(self._said) >= REASONS_MAX:
            return False
        self._said.add(reason)
        return True

    def end(self) -> float | None:
        """For how many seconds it has lasted, None where there was no failure; the next one begins anew."""
        lasted_s = time.monotonic() - self._since if self.failures else None
        self.failures, self.last = 0, ""
        self._said.clear()
        return lasted_s
