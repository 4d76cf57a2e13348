"""The Kafka consumer: records in, offsets of what is held. Librdkafka's habits: here, membership.py and offsets.py."""

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from bridge import offsets
from bridge.delivery.rewind import Standing
from bridge.membership import Membership, OnRebalance, Rebalance
from bridge.partition import Partitions
from lastword.kafka.client import CALL_TIMEOUT_S, NotAnsweredError

logger = logging.getLogger(__name__)

GATHER_S: Final = 0.004
"""The shortest time between two calls that both have records: a turn of the loop costs as much as twenty records."""

END: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - the library's own name for the code


class Records:
    """Consumes one topic in a group, with cooperative rebalancing; not thread-safe.

    ``partitions``: what is known of those that are assigned. ``then`` is called at each rebalance: what is
    called for "assigned" makes them, before ``fetch`` returns anything of them; for "revoked" and "lost" it drops them.
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
        self._topic = topic
        self._group = group
        self._partitions = partitions
        self._membership = Membership(properties, topic=topic, group=group, partitions=partitions, then=then)
        self._paused: tuple[int, frozenset[int], frozenset[int]] | None = None
        self._gathered_at = 0.0

    @property
    def _consumer(self) -> Consumer:
        """The client of now."""
        return self._membership.consumer

    def fetch(self, most: int, wait_s: float) -> list[Message]:
        """Return up to ``most`` records, after at most ``wait_s`` without any. Rebalances happen in here.

        Raises:
            KafkaRefusedError: no permission, a wrong password, or an error that librdkafka calls fatal.
        """
        self._membership.keep()
        # poll() returns with the first record; consume() waits its whole time unless it gets all it was asked for.
        first = self._consumer.poll(wait_s)
        self._membership.begin_call()
        if first is None:
            messages: list[Message] = []
        else:
            messages = [first, *(self._gather(most - 1) if most > 1 else ())]
        records = self._sort(messages)
        self._membership.check()
        return records

    def _first(self, number: int) -> int:
        """The first offset that a partition had when a record of it came last."""
        return self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), cached=True)[0]

    def broken(self) -> dict[int, int]:
        """The partitions that librdkafka has begun anew, each once, with the offset at which they had nothing any more.

        Their records are left out until they are read from somewhere.
        """
        broken = {number: partition.sequel.take_broken() for number, partition in self._partitions.items()}
        return {number: wanted for number, wanted in broken.items() if wanted is not None}

    def _sort(self, messages: list[Message]) -> list[Message]:
        """The records among them that are still ours; notes the ends and the errors."""
        records = []
        for message in messages:
            error, number, offset = message.error(), message.partition(), message.offset() or 0
            if error is not None and error.code() != END:
                self._membership.note(error)
                continue
            if number is None or number in self._membership.gone or number not in self._partitions:
                continue
            partition = self._partitions[number]
            settled = partition.settling.delivered()
            if error is None:
                # Others are read again from where it is certain; and may come twice.
                if settled and partition.sequel.follows(offset, self._first):
                    records.append(message)
            elif settled and partition.sequel.ends(offset):
                partition.end = offset
        return records

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
        standings = offsets.standings(self._consumer, [TopicPartition(self._topic, number) for number in numbers])
        for number in standings:
            self._partitions[number].settling.answered()
        return {number: standing for number, standing in standings.items() if standing is not None}

    def excuse(self) -> None:
        """Expect no place in the group for now: there is no topic."""
        self._membership.brokers.excuse()

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
        return frozenset(number for number, partition in self._partitions.items() if partition.settling.settled)

    def overdue(self) -> frozenset[int]:
        """The partitions of which nothing has come for long: whether Kafka answers is to be asked."""
        return frozenset(number for number, partition in self._partitions.items() if partition.settling.overdue)

    def pause_only(self, numbers: frozenset[int], assigned: frozenset[int]) -> None:
        """Pause these of the assigned partitions and let the others flow; those that are not ``settled`` flow."""
        settled = self.settled()
        paused, resumed = numbers & settled, (assigned - numbers) & settled
        wanted = self._membership.rebalances, paused, resumed
        if wanted == self._paused:
            return
        # librdkafka remembers a pause; each assignment begins without one.
        try:
            self._consumer.pause([TopicPartition(self._topic, number) for number in sorted(paused)])
            self._consumer.resume([TopicPartition(self._topic, number) for number in sorted(resumed)])
        except KafkaException as error:
            logger.info("pause or resume came too late for a partition: %s", error)
            return
        self._paused = wanted

    def close(self) -> None:
        """Leave the group; what is assigned is revoked first. Without an answer from Kafka, return all the same."""
        self._membership.close()
