"""Partitions that librdkafka itself still looks for the beginning of: they are neither paused nor read from elsewhere.

It asks Kafka where a partition begins of which nothing is committed. An answer that finds the partition paused, resumed
or read from elsewhere meanwhile makes it ask again, half a second later, and go back to the beginning by itself, with
records that had been delivered. What it delivers first, a record or the end, tells that it has found its place.
Source: ``rd_kafka_toppar_handle_Offset`` in librdkafka 2.16
"""

import math
import time
from collections.abc import Iterable
from typing import Final

SETTLE_MAX_S: Final = 10.0
"""A partition whose leader does not answer is asked about all the same: that it cannot be read is to be told."""


class Settling:
    """Which partitions are still to be left alone, and until when."""

    def __init__(self) -> None:
        self._until: dict[int, float] = {}

    def assigned(self, numbers: Iterable[int]) -> None:
        """Leave these alone until something of them is delivered."""
        self._until.update(dict.fromkeys(numbers, time.monotonic() + SETTLE_MAX_S))

    def gone(self, numbers: Iterable[int]) -> None:
        """These are not ours any more."""
        for number in numbers:
            self._until.pop(number, None)

    def delivered(self, number: int) -> None:
        """A record of this partition has come, or its end."""
        if number in self._until:
            self._until[number] = -math.inf

    def settled(self) -> frozenset[int]:
        """The partitions that may be paused, resumed and read from elsewhere."""
        now = time.monotonic()
        return frozenset(number for number, until in self._until.items() if now >= until)
