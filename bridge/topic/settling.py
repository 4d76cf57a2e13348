"""A partition that librdkafka itself still looks for the beginning of is neither paused nor read from elsewhere.

It asks Kafka where a partition begins of which nothing is committed. An answer that finds the partition paused, resumed
or read from elsewhere meanwhile makes it ask again, half a second later, and go back to the beginning by itself, with
records that had been delivered. What it delivers first, a record or the end, tells that it has found its place; where
there was a rebalance meanwhile, for which it pauses partitions itself, it may ask once more after that.
Source: ``rd_kafka_toppar_handle_Offset`` and ``rd_kafka_toppar_pause_resume`` in librdkafka 2.16
"""

import time
from typing import Final

SETTLE_MAX_S: Final = 10.0
"""After so long without anything Kafka is asked whether it answers; after as long again nothing is waited for."""

ONCE_MORE_S: Final = 1.0
"""Longer than the half second after which librdkafka asks once more."""


class Settling:
    """Whether a partition that was assigned just now is still to be left alone."""

    def __init__(self) -> None:
        self._until = time.monotonic() + SETTLE_MAX_S
        self._delivered = False
        self._asked = False
        self._disturbed = False
        self._settled = False

    def rebalanced(self) -> None:
        """Librdkafka has paused and resumed all partitions, those too that it still looks for the beginning of."""
        self._disturbed = self._disturbed or not self._delivered

    def delivered(self) -> bool:
        """Note that a record of this partition has come, or its end; whether it is settled by now."""
        if not self._delivered:
            self._delivered = True
            self._until = time.monotonic() + (ONCE_MORE_S if self._disturbed else 0.0)
        return self.settled

    @property
    def settled(self) -> bool:
        """Whether it may be paused, resumed and read from elsewhere."""
        if not self._settled:
            self._settled = (self._delivered or self._asked) and time.monotonic() >= self._until
        return self._settled

    @property
    def overdue(self) -> bool:
        """Whether nothing has come for so long that Kafka is to be asked whether it answers."""
        return not self.settled and time.monotonic() >= self._until

    def answered(self) -> None:
        """Kafka answers: it is waited for once more."""
        if self.overdue:
            self._asked = True
            self._until = time.monotonic() + SETTLE_MAX_S
