"""When to look whether the cache holds an update: soon after it was sent, then at doubling intervals. Pure."""

import heapq
import math
from collections.abc import Hashable
from itertools import count
from typing import Generic, TypeVar

L = TypeVar("L", bound=Hashable)


class Looks(Generic[L]):
    """The looks to come, soonest first."""

    def __init__(self, first_s: float, max_s: float) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._heap: list[tuple[float, int, L]] = []
        self._planned: dict[L, tuple[int, float]] = {}
        self._ties = count()

    def soon(self, looked: L, now: float) -> None:
        """Look for it the shortest interval from now."""
        self._plan(looked, now, self._first_s)

    def stop(self, looked: L) -> None:
        """Never look for it again."""
        self._planned.pop(looked, None)

    def due(self, now: float, most: int) -> list[L]:
        """Return up to ``most`` whose look is due, and plan the one after, twice as long from now."""
        found: list[L] = []
        while self.next() <= now and len(found) < most:
            found.append(heapq.heappop(self._heap)[2])
        for looked in found:
            self._plan(looked, now, min(self._planned[looked][1] * 2, self._max_s))
        return found

    def next(self) -> float:
        """When the next look is due; infinity where there is none."""
        while self._heap and self._planned.get(self._heap[0][2], (None,))[0] != self._heap[0][1]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def _plan(self, looked: L, now: float, seconds: float) -> None:
        tie = next(self._ties)
        self._planned[looked] = (tie, seconds)
        heapq.heappush(self._heap, (now + seconds, tie, looked))
