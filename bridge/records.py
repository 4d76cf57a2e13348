"""The Kafka consumer: records in, partitions that come and go. Librdkafka's habits are in here and in offsets.py."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from bridge import offsets
from bridge.delivery.rewind import Standing
from bridge.partition import Partitions
from lastword.kafka.client import CALL_TIMEOUT_S, CONSUMER_DEFAULTS, CONSUMER_GUARANTEES, BrokerList, NotAnsweredError
from lastword.kafka.clock_watch import ClockWatch
from lastword.kafka.refusal import KafkaRefusedError, is_refusal, not_yet, refusal
from lastword.settings.group_protocol import fitting, join_max_s

logger = logging.getLogger(__name__)
# A fatal error of librdkafka's is told as a refusal, or waited out with another client.
logger.addFilter(lambda record: not record.getMessage().startswith("FATAL "))

LOGGED: Final = frozenset({KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._SSL})  # noqa: SLF001
"""Errors that librdkafka writes to our logger itself."""

CLOSE_TIMEOUT_S: Final = 10.0

GATHER_S: Final = 0.004
"""The shortest time between two calls that both have records: a turn of the loop costs as much as twenty records."""

JOIN_AGAIN_S: Final = 5.0
"""How long to wait before another try to join a group that did not take this consumer in."""

SAY_AGAIN_S: Final = 60.0
"""For so long the same complaint is not repeated."""

END: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - the library's own name for the code

OnRebalance = Callable[[list[int]], None]
Rebalance = Literal["assigned", "revoked", "lost"]


class Records:
    """Consumes one topic in a group, with cooperative rebalancing; not thread-safe.

    ``partitions``: what is known of those that are assigned. ``on_assigned`` makes them, before ``fetch`` returns
    anything of them; ``on_revoked`` and ``on_lost`` drop them.
    """

    def __init__(
        self,
        properties: Mapping[str, str | int | bool],
        *,
        topic: str,
        group: str,
        partitions: Partitions,
        on_assigned: OnRebalance,
        on_revoked: OnRebalance,
        on_lost: OnRebalance,
    ) -> None:
        self._properties = properties
        self._topic = topic
        self._group = group
        self._partitions = partitions
        self._then = {"assigned": on_assigned, "revoked": on_revoked, "lost": on_lost}
        self._refused: KafkaError | None = None
        self._paused: tuple[frozenset[int], frozenset[int]] | None = None
        # Partitions taken away while consume() ran: what was returned of them is somebody else's by now. One that also
        # came back meanwhile would mix records of two assignments; that takes a round trip, which consume() does not.
        self._gone: set[int] = set()
        self._mixed: set[int] = set()
        self._gathered_at = 0.0
        self._join_at: float | None = None
        self._said: tuple[str, float] = ("", 0.0)
        self._open()
        self._clock_watch = ClockWatch(self._wake)

    def _open(self) -> None:
        brokers = self._brokers = BrokerList(join_max_s=join_max_s(self._properties))
        self._consumer = Consumer(
            {
                **fitting(CONSUMER_DEFAULTS, self._properties),
                **self._properties,
                **CONSUMER_GUARANTEES,
                **brokers.properties(),
                "group.id": self._group,
                "error_cb": self._on_error,
            },
            logger=logger,
        )
        # The client itself assigns and unassigns, in the way of the protocol in use: a callback must not, nor raise.
        self._consumer.subscribe(
            [self._topic],
            on_assign=lambda _, partitions: self._rebalanced(brokers, "assigned", partitions),
            on_revoke=lambda _, partitions: self._rebalanced(brokers, "revoked", partitions),
            on_lost=lambda _, partitions: self._rebalanced(brokers, "lost", partitions),
        )

    def _wake(self) -> None:
        """Ask something of librdkafka's main thread, which then looks at the clock anew, and reports to ``fetch``."""
        try:
            self._consumer.assignment()
        except (KafkaException, RuntimeError) as error:
            logger.info("%s", error)  # it is being closed

    def _open_another(self) -> None:
        """Join the group anew, with a new client; the old one can neither read nor commit."""
        if self._join_at is None:
            why = "has forgotten every broker" if self._brokers.forgotten else "finds no place in its group"
            logger.warning("the client of Kafka %s: another takes its place", why)
        self._join_at = None
        old = self._consumer
        self._rebalanced(self._brokers, "lost", old.assignment())
        self._open()
        threading.Thread(target=_close, args=(old,), name="close", daemon=True).start()

    def fetch(self, most: int, wait_s: float) -> list[Message]:
        """Return up to ``most`` records, after at most ``wait_s`` without any. Rebalances happen in here.

        Raises:
            KafkaRefusedError: no permission, a wrong password, or an error that librdkafka calls fatal.
        """
        if self._brokers.forgotten or self._brokers.left_out or time.monotonic() >= (self._join_at or math.inf):
            self._open_another()
        # poll() returns with the first record; consume() waits its whole time unless it gets all it was asked for.
        first = self._consumer.poll(wait_s)
        self._gone.clear()
        self._mixed.clear()
        if first is None:
            messages: list[Message] = []
        else:
            messages = [first, *(self._gather(most - 1) if most > 1 else ())]
        records = self._sort(messages)
        if self._mixed:
            raise KafkaRefusedError(f"partitions {sorted(self._mixed)} came and went in one call; start again")
        if self._refused is not None:
            self._wait_or_end(self._refused)
        return records

    def _first(self, number: int) -> int:
        """The first offset that a partition had when a record of it came last."""
        return self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), cached=True)[0]

    def broken(self) -> dict[int, int]:
        """The partitions that librdkafka has begun anew, each once, with the offset at which they had nothing any more.

        Their records are left out until they are read from somewhere.
        """
        found = {number: partition.sequel.take_broken() for number, partition in self._partitions.items()}
        return {number: wanted for number, wanted in found.items() if wanted is not None}

    def _sort(self, messages: list[Message]) -> list[Message]:
        """The records among them that are still ours; notes the ends and the errors."""
        records = []
        for message in messages:
            error, number, offset = message.error(), message.partition(), message.offset() or 0
            if error is not None and error.code() != END:
                self._on_error(error)
                continue
            if number is None or number in self._gone or number not in self._partitions:
                continue
            partition = self._partitions[number]
            settled = partition.place.delivered()
            if error is None:
                # Others are read again from where it is certain; and may come twice.
                if settled and partition.sequel.follows(offset, self._first):
                    records.append(message)
            elif settled and partition.sequel.ends(offset):
                partition.end = offset
        return records

    def _wait_or_end(self, refused: KafkaError) -> None:
        """Wait for a place in the group that will be free; KafkaRefusedError for what does not pass by itself."""
        if not not_yet(refused):
            raise refusal(f"topic {self._topic!r} in group {self._group!r}", refused, self._properties)
        self._refused = None
        self._join_at = time.monotonic() + JOIN_AGAIN_S

    def _gather(self, most: int) -> list[Message]:
        """What comes with the first record; under load for a moment after the last call, so that each has several."""
        # Not consume()'s own wait, with which librdkafka hands over less, and later.
        time.sleep(max(0.0, self._gathered_at + GATHER_S - time.monotonic()))
        self._gathered_at = time.monotonic()
        return self._consumer.consume(most, 0)

    def commit(self, number: int, offset: int, metadata: str) -> None:
        """Let librdkafka commit this offset: it does so within a second, and before the partition is given up."""
        offsets.store(self._consumer, TopicPartition(self._topic, number, offset, metadata))

    def standing(self, numbers: Iterable[int]) -> dict[int, Standing]:
        """How far partitions are committed, and from where to where they can be read; NotAnsweredError.

        Without those that the topic does not have any more.
        """
        found = offsets.standings(self._consumer, [TopicPartition(self._topic, number) for number in numbers])
        for number in found:
            self._partitions[number].place.answered()
        return {number: standing for number, standing in found.items() if standing is not None}

    def excuse(self) -> None:
        """Expect no place in the group for now: there is no topic."""
        self._brokers.excuse()

    def refresh(self) -> None:
        """Have the consumer learn anew what topics and partitions there are, and the group who gets which."""
        try:
            # Of all topics: librdkafka looks at no other answer for what its group has subscribed to.
            self._consumer.list_topics(timeout=CALL_TIMEOUT_S)
        except KafkaException as error:
            raise NotAnsweredError(f"Kafka: {error.args[0].str()}") from error

    def go_back(self, number: int, offset: int, metadata: str) -> None:
        """Commit an offset that is lower than what was committed, and read from there; NotAnsweredError."""
        offsets.set_back(self._consumer, TopicPartition(self._topic, number, offset, metadata))
        self.read_from(number, offset)

    def read_from(self, number: int, offset: int) -> None:
        """Read a partition from this offset, whatever was fetched of it before; NotAnsweredError."""
        try:
            self._consumer.seek(TopicPartition(self._topic, number, offset))
        except KafkaException as error:
            raise NotAnsweredError(f"partition {number} cannot be read from {offset}: {error.args[0].str()}") from error
        self._partitions[number].sequel.begin(offset)

    def name(self, number: int) -> str:
        """What Redis calls a partition as this group reads it."""
        return f"{self._topic}:{number}:{self._group}"

    def settled(self) -> frozenset[int]:
        """The partitions in which librdkafka has found its place: no other is to be paused or read from elsewhere."""
        return frozenset(number for number, partition in self._partitions.items() if partition.place.settled)

    def overdue(self) -> frozenset[int]:
        """The partitions of which nothing has come for long: whether Kafka answers is to be asked."""
        return frozenset(number for number, partition in self._partitions.items() if partition.place.overdue)

    def pause_only(self, numbers: frozenset[int], assigned: frozenset[int]) -> None:
        """Pause these of the assigned partitions and let the others flow; those that are not ``settled`` flow."""
        settled = self.settled()
        paused, resumed = numbers & settled, (assigned - numbers) & settled
        if (paused, resumed) == self._paused:
            return
        # librdkafka remembers a pause; each assignment begins without one.
        try:
            self._consumer.pause([TopicPartition(self._topic, number) for number in sorted(paused)])
            self._consumer.resume([TopicPartition(self._topic, number) for number in sorted(resumed)])
        except KafkaException as error:
            logger.info("pause or resume came too late for a partition: %s", error)
            return
        self._paused = paused, resumed

    def close(self) -> None:
        """Leave the group; what is assigned is revoked first. Without an answer from Kafka, return all the same."""
        self._clock_watch.stop()
        # librdkafka would wait for an unreachable coordinator as long as the session lasts, 45 s, and for each commit.
        closing = threading.Thread(target=_close, args=(self._consumer,), name="close", daemon=True)
        closing.start()
        closing.join(CLOSE_TIMEOUT_S)
        if closing.is_alive():
            logger.warning("Kafka does not answer; the group notices when the session has timed out")

    def _rebalanced(self, brokers: BrokerList, what: Rebalance, partitions: list[TopicPartition]) -> None:
        if brokers is not self._brokers:
            return  # told by a client whose place another has taken
        numbers = sorted(partition.partition for partition in partitions)
        logger.info("partitions %s: %s", what, numbers)
        self._paused = None
        for partition in self._partitions.values():
            partition.place.rebalanced()
        if what == "assigned":
            self._mixed.update(self._gone.intersection(numbers))
            with suppress(KafkaException):  # else one that was paused when it left would deliver nothing
                self._consumer.resume(partitions)
        else:
            self._gone.update(numbers)
        try:
            self._then[what](numbers)
        except Exception:
            # The edge of the process: librdkafka calls, and an exception would escape from its poll().
            logger.exception("the rebalance went on in spite of an error")

    def _on_error(self, error: KafkaError) -> None:
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
