"""Waiting longer after each failure in a row. Pure."""

import random
from typing import Final

FIRST_S: Final = 0.1


class BackOff:
    """Says from when on the next try is due: a doubling pause with jitter, until a success."""

    def __init__(self, max_s: float) -> None:
        self._max_s = max_s
        self._pause_s = min(FIRST_S, max_s)
        self._until = 0.0

    def ready(self, now: float) -> bool:
        """Whether the next try is due."""
        return now >= self._until

    @property
    def failing(self) -> bool:
        """Whether the last try has failed."""
        return self._until > 0.0

    def failed(self, now: float) -> None:
        """Wait longer than the last time."""
        self._until = now + self._pause_s * random.uniform(0.5, 1)  # noqa: S311 - jitter
        self._pause_s = min(self._pause_s * 2, self._max_s)

    def succeeded(self) -> None:
        """Start over with the shortest pause."""
        self._pause_s, self._until = min(FIRST_S, self._max_s), 0.0
