"""When to poll the cache for an update: about when it usually does, then at doubling intervals. Pure.

What was sent together is polled for together. Of many a sample is polled for first, and the rest only as far as the
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
"""How many polls follow the first one at even intervals, a quarter of the usual time each."""

STEP: Final = 32
"""Of twice as many that were sent together, or more, one in so many is polled for before all are."""

CHEAPER: Final = 4
"""How many times as often a sample is polled for, or what confirms many others: what has not been seen to arrive fills
the window."""


@dataclass(eq=False, slots=True)
class _Batch(Generic[L]):
    """Polled for together: ``seconds`` after the poll before, of which there were ``polls``, all of them in vain.

    ``sought``: before they are sent; ``often``: how many times as often as usual.
    """

    entries: dict[L, None]
    seconds: float
    polls: int = 0
    sought: bool = False
    often: int = 1


class _Sampled(NamedTuple, Generic[L]):
    """A batch in its order, and at which indices of it the sample is that has been handed out."""

    batch: _Batch[L]
    order: list[L]
    indices: range


class Polls(Generic[L]):
    """The polls to come, soonest first: ``first_s`` is the shortest time before one, ``max_s`` the longest.

    ``usual_s`` is how long it takes of late until one is found. Where that is long, because tasks queue, the first
    poll waits for half of it: most polls would be in vain.
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

    def soon(self, entries: Iterable[L], now: float, *, often: bool = False) -> None:
        """Begin to poll for these, in the order in which they were sent; ``often``: much depends on them."""
        batch = self._moved(entries, _Batch({}, 0.0))
        batch.often = CHEAPER if often or len(batch.entries) >= 2 * STEP else 1
        batch.seconds = min(max(self._first_s, self.usual_s / 2 / batch.often), self._max_s)
        self._plan(batch, now + batch.seconds)

    def at_once(self, entry: L) -> None:
        """Poll for it before everything else."""
        if self._sought is None or not self._sought.entries:
            # An empty one may still be planned, and be dropped as such.
            self._sought = _Batch({}, self._first_s, sought=True)
            self._plan(self._sought, -math.inf)
        self._moved([entry], self._sought)

    def stop(self, entry: L) -> None:
        """Never poll for it again."""
        batch = self._batch_of.pop(entry, None)
        if batch is not None:
            del batch.entries[entry]

    def due(self, now: float, most: int) -> list[L]:
        """Return up to ``most`` whose poll is due, and plan the one after."""
        entries: list[L] = []
        self._sampled.clear()
        while self.next() <= now and len(entries) < most:
            due, _, batch = heapq.heappop(self._heap)
            if batch is self._sought:
                self._sought = None
            room = most - len(entries)
            if len(batch.entries) >= 2 * STEP and batch.polls < EVEN * CHEAPER:
                order = list(batch.entries)
                indices = range(0, len(order), STEP)[:room]
                self._sampled.append(_Sampled(batch, order, indices))
                entries += [order[index] for index in indices]
            else:
                batch = self._first_of(batch, room, due)
                entries += batch.entries
            self._again(batch, now)
        return entries

    def polled(self, now: float) -> list[L]:
        """Note that it is known what has arrived of what was ``due``; what has, has been stopped.

        As far as a sample has arrived, all are polled for next. Returns those that are to be sent without another poll.
        """
        absent: list[L] = []
        for batch, order, indices in self._sampled:
            arrived = [index for index in indices if self._batch_of.get(order[index]) is not batch]
            if arrived:
                # Up to the next of the sample, which has not arrived.
                before = (entry for entry in order[: arrived[-1] + STEP] if self._batch_of.get(entry) is batch)
                self._plan(self._moved(before, _Batch({}, self.usual_s / 4, EVEN * CHEAPER)), now)
                batch.polls = 0
            elif batch.sought:
                absent += batch.entries
        self._sampled.clear()
        return absent

    def next(self) -> float:
        """When the next poll is due; infinity where there is none."""
        while self._heap and not self._heap[0][2].entries:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def _first_of(self, batch: _Batch[L], most: int, due: float) -> _Batch[L]:
        """The batch, or its first ``most``, and the rest remains due."""
        if len(batch.entries) <= most:
            return batch
        first = self._moved(list(islice(batch.entries, most)), replace(batch, entries={}))
        self._plan(batch, due)
        return first

    def _again(self, batch: _Batch[L], now: float) -> None:
        even_s = self.usual_s / 4 / batch.often
        is_even = batch.polls < EVEN * batch.often and even_s > self._first_s
        batch.seconds = min(even_s if is_even else max(self._first_s, batch.seconds * 2), self._max_s)
        batch.polls += 1
        self._plan(batch, now + batch.seconds)

    def _moved(self, entries: Iterable[L], batch: _Batch[L]) -> _Batch[L]:
        for entry in entries:
            self.stop(entry)
            self._batch_of[entry] = batch
            batch.entries[entry] = None
        return batch

    def _plan(self, batch: _Batch[L], due: float) -> None:
        if len(self._heap) > 1_000 + 2 * len(self._batch_of):
            self._heap = [planned for planned in self._heap if planned[2].entries]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (due, next(self._numbers), batch))
