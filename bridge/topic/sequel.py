"""Whether the records of a partition come one behind the other: where it cannot go on, librdkafka begins anew."""

import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Sequel:
    """The offset that comes next in a partition; between offsets there are gaps, but it never goes back by itself."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._next: int | None = None
        self._broken = False

    def begin(self, offset: int) -> None:
        """From here the partition is read."""
        self._next, self._broken = offset, False

    def follows(self, offset: int, first: Callable[[int], int]) -> bool:
        """Whether a record comes behind those before it; if not, the others do not count either.

        ``first`` tells of a partition the first offset that is still there.
        """
        wanted = offset if self._next is None else self._next
        if self._broken or offset < wanted:
            self._broken = True
            return False
        if offset > wanted and (there := first(self._number)) > wanted:
            tell_gone(self._number, wanted, there)
        self._next = offset + 1
        return True

    def ends(self, offset: int) -> bool:
        """Whether the partition's end is behind its records: that of one that has begun anew is not."""
        return not self._broken and (self._next is None or offset >= self._next)

    def take_broken(self) -> int | None:
        """The offset at which nothing was any more, if the partition went back by itself; once."""
        if not self._broken:
            return None
        wanted, self._next = self._next, None
        return wanted


def tell_gone(number: int, first: int, there: int) -> None:
    """Say that records were deleted before they were read."""
    logger.error(
        "partition %d: what was at offsets %d to %d is gone from the topic and was not read: the topic keeps records "
        "for less than the bridge was behind, or somebody has deleted them. In Redis their products stay as they were",
        *(number, first, there - 1),
    )
