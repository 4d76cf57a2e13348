"""Whether a source's positions have begun anew: what comes then would lose against all of before, without a word.

Source: docs/decisions/0021-positions-before-clocks.md
"""

import logging
from collections.abc import Iterable
from typing import Final

from tasks.contract import Update
from tasks.version import Version

logger = logging.getLogger(__name__)

ALIGNED: Final = 8
COMPLAIN_EVERY_S: Final = 60.0


class Positions:
    """Stops a partition at the first change whose commit is before the last one's and was made later.

    The commits of a log come in their order. One that a connector writes again is before the last one too, and was made
    before it. Nothing is told by a row that was read, which bears another clock, nor by an offset.
    """

    def __init__(self) -> None:
        self._last: dict[int, Update] = {}
        self._stopped: dict[int, str] = {}
        self._next_complaint = 0.0

    def follow(self, number: int, updates: Iterable[Update]) -> bool:
        """Whether these may follow in a partition, which is stopped where they may not."""
        for update in updates:
            if not _is_commit(update.version):
                continue
            last = self._last.get(number)
            if last is None or update.version.updated_at_us >= last.version.updated_at_us:
                self._last[number] = update
            elif update.updated_at_us > last.updated_at_us and number not in self._stopped:
                self._stopped[number] = (
                    f"product {update.product_id!r} has version {update.version}, before {last.version} of product "
                    f"{last.product_id!r}, and was committed later. The source's positions have begun anew, as after a "
                    f"restored backup, or two connectors write the topic. Start with LASTWORD_GENERATION="
                    f"{update.version.generation + 1}"
                )
        return number not in self._stopped

    def forget(self, numbers: Iterable[int]) -> None:
        """Begin anew with partitions that come or go."""
        for number in numbers:
            self._last.pop(number, None)
            self._stopped.pop(number, None)

    def stopped(self, now: float) -> frozenset[int]:
        """The partitions that are stopped; complains of them now and then."""
        if self._stopped and now >= self._next_complaint:
            self._next_complaint = now + COMPLAIN_EVERY_S
            for number, reason in sorted(self._stopped.items()):
                logger.error("partition %d is paused until this bridge is started again: %s", number, reason)
        return frozenset(self._stopped)


def _is_commit(version: Version) -> bool:
    """Whether it tells the last commit: not so an offset, a row that was read, and an lsn without the commit."""
    commit = version.commit
    return bool(commit and version.sequence) and commit != version.sequence // ALIGNED
