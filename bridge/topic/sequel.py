"""Whether the records of a partition come one behind the other: where it cannot go on, librdkafka begins anew."""

import logging
from collections.abc import Callable, Iterable

logger = logging.getLogger(__name__)


class Sequel:
    """By partition the offset that comes next; between offsets there are gaps, but it never goes back by itself."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        self._broken: dict[int, int] = {}

    def begin(self, number: int, offset: int) -> None:
        """From here a partition is read."""
        self._next[number] = offset
        self._broken.pop(number, None)

    def end(self, numbers: Iterable[int]) -> None:
        """These are not read any more."""
        for number in numbers:
            self._next.pop(number, None)
            self._broken.pop(number, None)

    def follows(self, number: int, offset: int, first: Callable[[int], int]) -> bool:
        """Whether a record comes behind those before it; if not, the others of its partition do not count either.

        ``first`` tells of a partition the first offset that is still there.
        """
        if number in self._broken:
            return False
        wanted = self._next.get(number, offset)
        if offset < wanted:
            self._broken[number] = wanted
            return False
        if offset > wanted and (there := first(number)) > wanted:
            tell_gone(number, wanted, there)
        self._next[number] = offset + 1
        return True

    def ends(self, number: int, offset: int) -> bool:
        """Whether a partition's end is behind its records: that of one that has begun anew is not."""
        return number not in self._broken and offset >= self._next.get(number, offset)

    def broken(self) -> dict[int, int]:
        """The partitions that went back by themselves, with the offset at which nothing was any more; each once."""
        broken = {number: wanted for number, wanted in self._broken.items() if number in self._next}
        for number in broken:
            del self._next[number]
        return broken


def tell_gone(number: int, first: int, there: int) -> None:
    """Say that records were deleted before they were read."""
    logger.error(
        "partition %d: what was at offsets %d to %d is gone from the topic and was not read: the topic keeps records "
        "for less than the bridge was behind, or somebody has deleted them. In Redis their products stay as they were",
        *(number, first, there - 1),
    )
