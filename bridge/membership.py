"""The bridge's place in its consumer group: librdkafka's client, and another where that one is of no use any more."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from bridge.partition import Partitions
from lastword.kafka.client import CONSUMER_DEFAULTS, CONSUMER_GUARANTEES, BrokerList
from lastword.kafka.clock_watch import ClockWatch
from lastword.kafka.refusal import KafkaRefusedError, is_refusal, not_yet, refusal
from lastword.settings.group_protocol import fitting, join_max_s

logger = logging.getLogger(__name__)
# A fatal error of librdkafka's is told as a refusal, or waited out with another client.
logger.addFilter(lambda record: not record.getMessage().startswith("FATAL "))

LOGGED: Final = frozenset({KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._SSL})  # noqa: SLF001
"""Errors that librdkafka writes to our logger itself."""

CLOSE_TIMEOUT_S: Final = 10.0

JOIN_AGAIN_S: Final = 5.0
"""How long to wait before another try to join a group that did not take this consumer in."""

SAY_AGAIN_S: Final = 60.0
"""For so long the same complaint is not repeated."""

OnRebalance = Callable[[list[int]], None]
Rebalance = Literal["assigned", "revoked", "lost"]


class Membership:
    """One member of a group that reads one topic, with cooperative rebalancing; not thread-safe.

    ``consumer`` is the client of now, ``rebalances`` how often partitions came or went. ``gone``: those that were taken
    away since ``begin_call``; what was returned of them meanwhile is somebody else's by now.
    """

    def __init__(
        self,
        properties: Mapping[str, str | int | bool],
        *,
        topic: str,
        group: str,
        partitions: Partitions,
        then: Mapping[Rebalance, OnRebalance],
    ) -> None:
        self._properties = properties
        self._topic = topic
        self._group = group
        self._partitions = partitions
        self._then = then
        self._refused: KafkaError | None = None
        # One that is gone and came back in the same call would mix records of two assignments; that takes a round trip,
        # which consume() does not.
        self.gone: set[int] = set()
        self._mixed: set[int] = set()
        self.rebalances = 0
        self._join_at: float | None = None
        self._said: tuple[str, float] = ("", 0.0)
        self._open()
        self._clock_watch = ClockWatch(self._wake)

    def _open(self) -> None:
        brokers = self.brokers = BrokerList(join_max_s=join_max_s(self._properties))
        self.consumer = Consumer(
            {
                **fitting(CONSUMER_DEFAULTS, self._properties),
                **self._properties,
                **CONSUMER_GUARANTEES,
                **brokers.properties(),
                "group.id": self._group,
                "error_cb": self.note,
            },
            logger=logger,
        )
        # The client itself assigns and unassigns, in the way of the protocol in use: a callback must not, nor raise.
        self.consumer.subscribe(
            [self._topic],
            on_assign=lambda _, partitions: self._rebalanced(brokers, "assigned", partitions),
            on_revoke=lambda _, partitions: self._rebalanced(brokers, "revoked", partitions),
            on_lost=lambda _, partitions: self._rebalanced(brokers, "lost", partitions),
        )

    def _wake(self) -> None:
        """Ask something of librdkafka's main thread, which then looks at the clock anew, and reports to ``fetch``."""
        try:
            self.consumer.assignment()
        except (KafkaException, RuntimeError) as error:
            logger.info("%s", error)  # it is being closed

    def keep(self) -> None:
        """Take another client where this one has forgotten every broker, or finds no place in its group."""
        if self.brokers.forgotten or self.brokers.left_out or time.monotonic() >= (self._join_at or math.inf):
            self._open_another()

    def begin_call(self) -> None:
        """Count from here on what is taken away."""
        self.gone.clear()
        self._mixed.clear()

    def check(self) -> None:
        """End where Kafka refuses this member: KafkaRefusedError. A place that will be free is waited for."""
        if self._mixed:
            raise KafkaRefusedError(f"partitions {sorted(self._mixed)} came and went in one call; start again")
        if self._refused is None:
            return
        if not not_yet(self._refused):
            raise refusal(f"topic {self._topic!r} in group {self._group!r}", self._refused, self._properties)
        self._refused = None
        self._join_at = time.monotonic() + JOIN_AGAIN_S

    def _open_another(self) -> None:
        """Join the group anew, with a new client; the old one can neither read nor commit."""
        if self._join_at is None:
            why = "has forgotten every broker" if self.brokers.forgotten else "finds no place in its group"
            logger.warning("the client of Kafka %s: another takes its place", why)
        self._join_at = None
        old = self.consumer
        self._rebalanced(self.brokers, "lost", old.assignment())
        self._open()
        threading.Thread(target=_close, args=(old,), name="close", daemon=True).start()

    def close(self) -> None:
        """Leave the group; what is assigned is revoked first. Without an answer from Kafka, return all the same."""
        self._clock_watch.stop()
        # librdkafka would wait for an unreachable coordinator as long as the session lasts, 45 s, and for each commit.
        closing = threading.Thread(target=_close, args=(self.consumer,), name="close", daemon=True)
        closing.start()
        closing.join(CLOSE_TIMEOUT_S)
        if closing.is_alive():
            logger.warning("Kafka does not answer; the group notices when the session has timed out")

    def _rebalanced(self, brokers: BrokerList, what: Rebalance, partitions: list[TopicPartition]) -> None:
        if brokers is not self.brokers:
            return  # told by a client whose place another has taken
        numbers = sorted(partition.partition for partition in partitions)
        logger.info("partitions %s: %s", what, numbers)
        self.rebalances += 1
        for partition in self._partitions.values():
            partition.settling.rebalanced()
        if what == "assigned":
            self._mixed.update(self.gone.intersection(numbers))
            with suppress(KafkaException):  # else one that was paused when it left would deliver nothing
                self.consumer.resume(partitions)
        else:
            self.gone.update(numbers)
        try:
            self._then[what](numbers)
        except Exception:
            # The edge of the process: librdkafka calls, and an exception would escape from its poll().
            logger.exception("the rebalance went on in spite of an error")

    def note(self, error: KafkaError) -> None:
        """Take note of an error that librdkafka tells, by a call or instead of a record."""
        if is_refusal(error):
            self._refused = error
        if why := not_yet(error):
            self._say(f"group {self._group!r} does not take this bridge in: {why}. It waits")
        elif error.code() not in LOGGED and error is not self._refused:
            logger.warning("Kafka: %s", error.str())

    def _say(self, complaint: str) -> None:
        """Log a complaint, the same one not again and again."""
        now = time.monotonic()
        if complaint != self._said[0] or now >= self._said[1] + SAY_AGAIN_S:
            self._said = (complaint, now)
            logger.warning("%s", complaint)


def _close(consumer: Consumer) -> None:
    try:
        consumer.close()
    except KafkaException as error:
        logger.warning("the consumer did not leave its group: %s", error)
