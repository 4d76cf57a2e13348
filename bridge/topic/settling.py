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
        self._places: dict[int, _Place] = {}

    def rebalanced(self) -> None:
        """Librdkafka has paused and resumed all partitions, those too that it still looks for the beginning of."""
        for place in self._places.values():
            place.disturbed = place.disturbed or not place.delivered

    def assigned(self, numbers: Iterable[int]) -> None:
        """Leave these alone until something of them is delivered."""
        until = time.monotonic() + SETTLE_MAX_S
        self._places.update({number: _Place(until) for number in numbers})

    def gone(self, numbers: Iterable[int]) -> None:
        """These are not ours any more."""
        for number in numbers:
            self._places.pop(number, None)

    def delivered(self, number: int) -> bool:
        """Note that a record of this partition has come, or its end; whether it is settled by now."""
        place = self._places.get(number)
        now = time.monotonic()
        if place is not None and not place.delivered:
            place.delivered = True
            place.until = now + ONCE_MORE_S if place.disturbed else now
        return place is not None and now >= place.until

    def settled(self) -> frozenset[int]:
        """The partitions that may be paused, resumed and read from elsewhere."""
        now = time.monotonic()
        return frozenset(n for n, one in self._places.items() if now >= one.until and (one.delivered or one.asked))

    def overdue(self) -> frozenset[int]:
        """Those of which nothing has come for so long that Kafka is to be asked whether it answers."""
        now = time.monotonic()
        return frozenset(n for n, one in self._places.items() if now >= one.until and not (one.delivered or one.asked))

    def answered(self, numbers: Iterable[int]) -> None:
        """Kafka answers: these are waited for once more."""
        for number in self.overdue().intersection(numbers):
            self._places[number].asked = True
            self._places[number].until = time.monotonic() + SETTLE_MAX_S
