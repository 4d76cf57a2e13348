"""Partitions that librdkafka itself still looks for the beginning of: they are neither paused nor read from elsewhere.

It asks Kafka where a partition begins of which nothing is committed. An answer that finds the partition paused, resumed
or read from elsewhere meanwhile makes it ask again, half a second later, and go back to the beginning by itself, with
records that had been delivered. What it delivers first, a record or the end, tells that it has found its place; where
there was a rebalance meanwhile, for which it pauses partitions itself, it may ask once more after that.
Source: ``rd_kafka_toppar_handle_Offset`` and ``rd_kafka_toppar_pause_resume`` in librdkafka 2.16
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

SETTLE_MAX_S: Final = 10.0
"""After so long without anything Kafka is asked whether it answers; after as long again nothing is waited for."""

ONCE_MORE_S: Final = 1.0
"""Longer than the half second after which librdkafka asks once more."""


@dataclass(slots=True)
class _Place:
    until: float
    delivered: bool = False
    asked: bool = False
    disturbed: bool = False


class Settling:
    """Which partitions are still to be left alone, and until when."""

    def __init__(self) -> None:
        self._looking: dict[int, _Place] = {}
        self._settled: frozenset[int] = frozenset()

    def rebalanced(self) -> None:
        """Librdkafka has paused and resumed all partitions, those too that it still looks for the beginning of."""
        for place in self._looking.values():
            place.disturbed = place.disturbed or not place.delivered

    def assigned(self, numbers: Iterable[int]) -> None:
        """Leave these alone until something of them is delivered."""
        until = time.monotonic() + SETTLE_MAX_S
        self._looking.update({number: _Place(until) for number in numbers})
        self._settled = self._settled.difference(self._looking)

    def gone(self, numbers: Iterable[int]) -> None:
        """These are not ours any more."""
        gone = frozenset(numbers)
        for number in gone:
            self._looking.pop(number, None)
        self._settled -= gone

    def delivered(self, number: int) -> bool:
        """Note that a record of this partition has come, or its end; whether it is settled by now."""
        place = self._looking.get(number)
        if place is not None and not place.delivered:
            place.delivered = True
            place.until = time.monotonic() + (ONCE_MORE_S if place.disturbed else 0.0)
        return number in self.settled()

    def settled(self) -> frozenset[int]:
        """The partitions that may be paused, resumed and read from elsewhere."""
        if self._looking:
            found = [number for number in self._due() if self._looking[number].delivered or self._looking[number].asked]
            for number in found:
                del self._looking[number]
            self._settled = self._settled.union(found)
        return self._settled

    def overdue(self) -> frozenset[int]:
        """Those of which nothing has come for so long that Kafka is to be asked whether it answers."""
        return frozenset(self._due()).difference(self.settled())

    def answered(self, numbers: Iterable[int]) -> None:
        """Kafka answers: these are waited for once more."""
        for number in self.overdue().intersection(numbers):
            self._looking[number].asked = True
            self._looking[number].until = time.monotonic() + SETTLE_MAX_S

    def _due(self) -> list[int]:
        now = time.monotonic()
        return [number for number, place in self._looking.items() if now >= place.until]
