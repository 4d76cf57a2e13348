"""When to look whether the cache holds an update: about when it usually does, then at doubling intervals. Pure."""

import heapq
import math
from collections.abc import Hashable
from itertools import count
from typing import Final, Generic, NamedTuple, TypeVar

L = TypeVar("L", bound=Hashable)

EVEN: Final = 4
"""How many looks follow the first one at even intervals, a quarter of the usual time each."""


class _Planned(NamedTuple):
    """A look to come: its number, how long after the one before, and how many there were."""

    number: int
    seconds: float
    looks: int


class Looks(Generic[L]):
    """The looks to come, soonest first: ``first_s`` is the shortest time before one, ``max_s`` the longest.

    ``usual_s`` is how long it takes of late until one is found. Where that is long, because tasks queue, the first
    look waits for half of it: most looks would be in vain.
    """

    def __init__(self, first_s: float, max_s: float) -> None:
        self.usual_s = 0.0
        self._first_s = first_s
        self._max_s = max_s
        # The heap knows looks by their numbers, so that what is stopped leaves memory at once.
        self._heap: list[tuple[float, int]] = []
        self._numbers = count()
        self._looked: dict[int, L] = {}
        self._planned: dict[L, _Planned] = {}

    def soon(self, looked: L, now: float) -> None:
        """Begin to look for it."""
        self._plan(looked, now, min(max(self._first_s, self.usual_s / 2), self._max_s), 0)

    def at_once(self, looked: L) -> None:
        """Look for it before everything else."""
        self._plan(looked, -math.inf, self._first_s, 0)

    def stop(self, looked: L) -> None:
        """Never look for it again."""
        planned = self._planned.pop(looked, None)
        if planned is not None:
            del self._looked[planned.number]

    def due(self, now: float, most: int) -> list[L]:
        """Return up to ``most`` whose look is due, and plan the one after."""
        found: list[L] = []
        while self.next() <= now and len(found) < most:
            found.append(self._looked.pop(heapq.heappop(self._heap)[1]))
        even_s = self.usual_s / 4
        for looked in found:
            _, seconds, looks = self._planned.pop(looked)
            seconds = even_s if looks < EVEN and even_s > self._first_s else seconds * 2
            self._plan(looked, now, min(seconds, self._max_s), looks + 1)
        return found

    def next(self) -> float:
        """When the next look is due; infinity where there is none."""
        while self._heap and self._heap[0][1] not in self._looked:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def _plan(self, looked: L, now: float, seconds: float, looks: int) -> None:
        self.stop(looked)
        number = next(self._numbers)
        self._planned[looked] = _Planned(number, seconds, looks)
        self._looked[number] = looked
        if len(self._heap) > 1_000 + 2 * len(self._looked):
            self._heap = [entry for entry in self._heap if entry[1] in self._looked]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (now + seconds, number))
