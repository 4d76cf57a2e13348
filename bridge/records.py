"""The Kafka consumer: records in, offsets out. All of librdkafka's habits that matter here are in this file."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from operator import methodcaller
from typing import Final, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from bridge.refusal import KafkaRefusedError, is_refusal, refusal
from bridge.window import CommitPoint
from tasks.contract import InvalidUpdateError

logger = logging.getLogger(__name__)

CONSUMER_DEFAULTS: Final[dict[str, str | int | bool]] = {
    "partition.assignment.strategy": "cooperative-sticky",
    "auto.commit.interval.ms": 1_000,
    "queued.min.messages": 2_000,
    "queued.max.messages.kbytes": 8_192,
    "allow.auto.create.topics": False,
    # librdkafka's own default makes it try, and complain, twenty times a second while no broker is there.
    "reconnect.backoff.ms": 1_000,
}

CONSUMER_GUARANTEES: Final[dict[str, str | int | bool]] = {
    # Only what is stored is ever committed, and only what is confirmed is stored.
    "enable.auto.offset.store": False,
    "enable.auto.commit": True,
    # librdkafka's own default, "largest", skips what a group without offsets has not read.
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
}

LOGGED: Final = frozenset({KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._SSL})  # noqa: SLF001
"""Errors that librdkafka writes to our logger itself."""

CLOSE_TIMEOUT_S: Final = 10.0

# For a header name that is not UTF-8 the binding returns a list with a hole, and an exception set. A plain call, once
# the interpreter has specialized it (PEP 659), does not notice and walks into the hole; a methodcaller's is checked.
read_headers: Final = methodcaller("headers")

RECORD_BYTES: Final = 1_024
"""About what a record in hand takes up beside its contents."""

Partitions = Callable[[list[int]], None]


class Records:
    """Consumes one topic in a group, with cooperative rebalancing; not thread-safe."""

    def __init__(
        self,
        properties: Mapping[str, str | int | bool],
        *,
        topic: str,
        group: str,
        on_assigned: Partitions,
        on_revoked: Partitions,
        on_lost: Partitions,
    ) -> None:
        self._properties = properties
        self._topic = topic
        self._group = group
        self._refused: KafkaError | None = None
        self._paused: frozenset[int] | None = None
        # Partitions taken away while consume() ran: what was returned of them is somebody else's by now. One that also
        # came back meanwhile would mix records of two assignments; that takes a round trip, which consume() does not.
        self._gone: set[int] = set()
        self._mixed: set[int] = set()
        self._consumer = Consumer(
            {**CONSUMER_DEFAULTS, **properties, **CONSUMER_GUARANTEES, "group.id": group, "error_cb": self._on_error},
            logger=logger,
        )
        # The client itself assigns and unassigns, in the way of the protocol in use: a callback must not, nor raise.
        self._consumer.subscribe(
            [topic],
            on_assign=lambda _, partitions: self._rebalanced("assigned", partitions, on_assigned),
            on_revoke=lambda _, partitions: self._rebalanced("revoked", partitions, on_revoked),
            on_lost=lambda _, partitions: self._rebalanced("lost", partitions, on_lost),
        )

    def fetch(self, most: int, wait_s: float) -> list[Message]:
        """Return up to ``most`` records, after at most ``wait_s`` without any. Rebalances happen in here.

        Raises:
            KafkaRefusedError: no permission, a wrong password, or an error that librdkafka calls fatal.
        """
        # poll() returns with the first record; consume() waits its whole time unless it gets all it was asked for.
        first = self._consumer.poll(wait_s)
        self._gone.clear()
        self._mixed.clear()
        if first is None:
            messages: list[Message] = []
        else:
            messages = [first, *(self._consumer.consume(most - 1, 0) if most > 1 else ())]
        records = []
        for message in messages:
            error = message.error()
            if error is not None:
                self._on_error(error)
            elif message.partition() not in self._gone:
                records.append(message)
        if self._mixed:
            raise KafkaRefusedError(f"partitions {sorted(self._mixed)} came and went in one call; start again")
        if self._refused is not None:
            raise refusal(f"topic {self._topic!r} in group {self._group!r}", self._refused, self._properties)
        return records

    def store(self, points: Iterable[CommitPoint], metadata: str) -> None:
        """Hand over what may be committed: librdkafka commits it within a second, and before a partition is given up.

        A commit of our own would be undone at a revocation: librdkafka then commits what was stored last.
        """
        for point in points:
            try:
                self._consumer.store_offsets(offsets=[self._at(point, metadata)])
            except KafkaException as error:
                # Its partition was taken away; whoever has it now reads from what was committed before.
                logger.info("offset %d of partition %d not stored: %s", point.offset, point.partition, error)

    def pause_only(self, numbers: frozenset[int], assigned: frozenset[int]) -> None:
        """Pause these of the assigned partitions and let the others flow."""
        if numbers == self._paused:
            return
        # A pause outlives a reassignment of the partition: both are said explicitly after each one.
        try:
            self._consumer.pause([TopicPartition(self._topic, number) for number in sorted(numbers)])
            self._consumer.resume([TopicPartition(self._topic, number) for number in sorted(assigned - numbers)])
        except KafkaException as error:
            logger.info("pause or resume came too late for a partition: %s", error)
            return
        self._paused = numbers

    def close(self) -> None:
        """Leave the group; what is assigned is revoked first. Without an answer from Kafka, return all the same."""
        # librdkafka would wait for an unreachable coordinator as long as the session lasts, 45 s, and for each commit.
        closing = threading.Thread(target=self._close, name="close", daemon=True)
        closing.start()
        closing.join(CLOSE_TIMEOUT_S)
        if closing.is_alive():
            logger.warning("Kafka does not answer; the group notices when the session has timed out")

    def _close(self) -> None:
        try:
            self._consumer.close()
        except KafkaException as error:
            logger.warning("the consumer did not leave its group: %s", error)

    def _at(self, point: CommitPoint, metadata: str) -> TopicPartition:
        return TopicPartition(self._topic, point.partition, point.offset, metadata)

    def _rebalanced(self, what: str, partitions: list[TopicPartition], then: Partitions) -> None:
        numbers = sorted(partition.partition for partition in partitions)
        logger.info("partitions %s: %s", what, numbers)
        self._paused = None
        if what == "assigned":
            self._mixed.update(self._gone.intersection(numbers))
        else:
            self._gone.update(numbers)
        try:
            then(numbers)
        except Exception:
            # The edge of the process: librdkafka calls, and an exception would escape from its poll().
            logger.exception("the rebalance went on in spite of an error")

    def _on_error(self, error: KafkaError) -> None:
        if is_refusal(error):
            self._refused = error
        elif error.code() not in LOGGED:
            logger.warning("Kafka: %s", error.str())


def size_of(message: Message) -> int:
    """Return about how many bytes a record takes up in memory; ``len`` of a message is that of its value alone."""
    try:
        headers = headers_of(message)
    except InvalidUpdateError:
        headers = []
    return RECORD_BYTES + len(message) + len(message.key() or b"") + sum(len(n) + len(v or b"") for n, v in headers)


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """Return a record's headers in their order, as bytes.

    Raises:
        InvalidUpdateError: the name of one is not UTF-8, as only clients in other languages write it; from then on the
            record has no headers.
    """
    try:
        pairs = cast("list[tuple[str, str | bytes | None]]", read_headers(message) or [])
    except (SystemError, UnicodeDecodeError) as error:
        # The binding keeps the list, with a hole where the name should be: a second look would be a segmentation fault.
        message.set_headers([])
        raise InvalidUpdateError("the name of a header is not UTF-8: the headers cannot be read") from error
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs]
