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
        # The heap knows looks by their numbers, so that what is stopped leaves memory at once.
        self._heap: list[tuple[float, int]] = []
        self._numbers = count()
        self._looked: dict[int, L] = {}
        self._planned: dict[L, tuple[int, float]] = {}

    def soon(self, looked: L, now: float) -> None:
        """Look for it the shortest interval from now."""
        self._plan(looked, now, self._first_s)

    def at_once(self, looked: L) -> None:
        """Look for it before everything else."""
        self._plan(looked, -math.inf, self._first_s)

    def stop(self, looked: L) -> None:
        """Never look for it again."""
        planned = self._planned.pop(looked, None)
        if planned is not None:
            del self._looked[planned[0]]

    def due(self, now: float, most: int) -> list[L]:
        """Return up to ``most`` whose look is due, and plan the one after, twice as long from now."""
        found: list[L] = []
        while self.next() <= now and len(found) < most:
            found.append(self._looked.pop(heapq.heappop(self._heap)[1]))
        for looked in found:
            _, seconds = self._planned.pop(looked)
            self._plan(looked, now, min(seconds * 2, self._max_s))
        return found

    def next(self) -> float:
        """When the next look is due; infinity where there is none."""
        while self._heap and self._heap[0][1] not in self._looked:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def _plan(self, looked: L, now: float, seconds: float) -> None:
        self.stop(looked)
        number = next(self._numbers)
        self._planned[looked] = (number, seconds)
        self._looked[number] = looked
        if len(self._heap) > 1_000 + 2 * len(self._looked):
            self._heap = [entry for entry in self._heap if entry[1] in self._looked]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (now + seconds, number))
