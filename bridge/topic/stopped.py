"""Partitions that are stopped for a reason, of which the log tells now and then."""

import logging
from typing import Final

logger = logging.getLogger(__name__)

COMPLAIN_EVERY_S: Final = 60.0


class Stopped:
    """Which partitions are stopped, and why."""

    def __init__(self) -> None:
        self._reasons: dict[int, str] = {}
        self._next_complaint = 0.0

    def __contains__(self, number: int) -> bool:
        return number in self._reasons

    def stop(self, number: int, why: str) -> None:
        """Stop a partition."""
        self._reasons[number] = why

    def go_on(self, number: int) -> None:
        """Let a partition go on, or forget it."""
        self._reasons.pop(number, None)

    def numbers(self, now: float) -> frozenset[int]:
        """The partitions that are stopped; complains of them now and then."""
        if self._reasons and now >= self._next_complaint:
            self._next_complaint = now + COMPLAIN_EVERY_S
            for number, reason in sorted(self._reasons.items()):
                logger.error("partition %d is paused until this bridge is started again: %s", number, reason)
        return frozenset(self._reasons)
