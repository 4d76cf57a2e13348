"""When to look whether the cache holds an update: about when it usually does, then at doubling intervals. Pure.

What was sent together is looked for together. Of many a sample is looked for first, and the rest only as far as the
sample has arrived: tasks are done about in the order in which they were sent. Where nothing has been sent yet, and of a
sample nothing is there, nothing is presumed to be.
"""

import heapq
import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Final, Generic, NamedTuple, TypeVar

L = TypeVar("L", bound=Hashable)

EVEN: Final = 4
"""How many looks follow the first one at even intervals, a quarter of the usual time each."""

STEP: Final = 32
"""Of twice as many that were sent together, or more, one in so many is looked for before all are."""

CHEAPER: Final = 4
"""How many times as often a sample is looked for, or what confirms many others: what has not been seen to arrive fills
the window."""


@dataclass(eq=False, slots=True)
class _Batch(Generic[L]):
    """Looked for together: ``seconds`` after the look before, of which there were ``looks``, all of them in vain.

    ``sought``: before they are sent; ``often``: how many times as often as usual.
    """

    looked: dict[L, None]
    seconds: float
    looks: int = 0
    sought: bool = False
    often: int = 1


class _Sampled(NamedTuple, Generic[L]):
    """A batch in its order, and at which places of it the sample is that has been handed out."""

    batch: _Batch[L]
    order: list[L]
    places: range


class Looks(Generic[L]):
    """The looks to come, soonest first: ``first_s`` is the shortest time before one, ``max_s`` the longest.

    ``usual_s`` is how long it takes of late until one is found. Where that is long, because tasks queue, the first
    look waits for half of it: most looks would be in vain.
    """

    def __init__(self, first_s: float, max_s: float) -> None:
        self.usual_s = 0.0
        self._first_s = first_s
        self._max_s = max_s
        self._numbers = count()
        self._heap: list[tuple[float, int, _Batch[L]]] = []
        self._batch_of: dict[L, _Batch[L]] = {}
        self._sought: _Batch[L] | None = None
        self._sampled: list[_Sampled[L]] = []

    def soon(self, looked: Iterable[L], now: float, *, often: bool = False) -> None:
        """Begin to look for these, in the order in which they were sent; ``often``: much depends on them."""
        batch = self._moved(looked, _Batch({}, 0.0))
        batch.often = CHEAPER if often or len(batch.looked) >= 2 * STEP else 1
        batch.seconds = min(max(self._first_s, self.usual_s / 2 / batch.often), self._max_s)
        self._plan(batch, now + batch.seconds)

    def at_once(self, looked: L) -> None:
        """Look for it before everything else."""
        if self._sought is None or not self._sought.looked:
            # An empty one may still be planned, and be dropped as such.
            self._sought = _Batch({}, self._first_s, sought=True)
            self._plan(self._sought, -math.inf)
        self._moved([looked], self._sought)

    def stop(self, looked: L) -> None:
        """Never look for it again."""
        batch = self._batch_of.pop(looked, None)
        if batch is not None:
            del batch.looked[looked]

    def due(self, now: float, most: int) -> list[L]:
        """Return up to ``most`` whose look is due, and plan the one after."""
        found: list[L] = []
        self._sampled.clear()
        while self.next() <= now and len(found) < most:
            due, _, batch = heapq.heappop(self._heap)
            if batch is self._sought:
                self._sought = None
            room = most - len(found)
            if len(batch.looked) >= 2 * STEP and batch.looks < EVEN * CHEAPER:
                order = list(batch.looked)
                places = range(0, len(order), STEP)[:room]
                self._sampled.append(_Sampled(batch, order, places))
                found += [order[place] for place in places]
            else:
                batch = self._first_of(batch, room, due)
                found += batch.looked
            self._again(batch, now)
        return found

    def looked_for(self, now: float) -> list[L]:
        """Note that it is known what has arrived of what was ``due``; what has, has been stopped.

        As far as a sample has arrived, all are looked for next. Returns those that are to be sent without another look.
        """
        absent: list[L] = []
        for batch, order, places in self._sampled:
            arrived = [place for place in places if self._batch_of.get(order[place]) is not batch]
            if arrived:
                # Up to the next of the sample, which has not arrived.
                before = (one for one in order[: arrived[-1] + STEP] if self._batch_of.get(one) is batch)
                self._plan(self._moved(before, _Batch({}, self.usual_s / 4, EVEN * CHEAPER)), now)
                batch.looks = 0
            elif batch.sought:
                absent += batch.looked
        self._sampled.clear()
        return absent

    def next(self) -> float:
        """When the next look is due; infinity where there is none."""
        while self._heap and not self._heap[0][2].looked:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def _first_of(self, batch: _Batch[L], most: int, due: float) -> _Batch[L]:
        """The batch, or its first ``most``, and the rest remains due."""
        if len(batch.looked) <= most:
            return batch
        first = self._moved(list(islice(batch.looked, most)), replace(batch, looked={}))
        self._plan(batch, due)
        return first

    def _again(self, batch: _Batch[L], now: float) -> None:
        even_s = self.usual_s / 4 / batch.often
        is_even = batch.looks < EVEN * batch.often and even_s > self._first_s
        batch.seconds = min(even_s if is_even else max(self._first_s, batch.seconds * 2), self._max_s)
        batch.looks += 1
        self._plan(batch, now + batch.seconds)

    def _moved(self, looked: Iterable[L], batch: _Batch[L]) -> _Batch[L]:
        for one in looked:
            self.stop(one)
            self._batch_of[one] = batch
            batch.looked[one] = None
        return batch

    def _plan(self, batch: _Batch[L], due: float) -> None:
        if len(self._heap) > 1_000 + 2 * len(self._batch_of):
            self._heap = [planned for planned in self._heap if planned[2].looked]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (due, next(self._numbers), batch))
