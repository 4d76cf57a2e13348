"""Asking Kafka about a consumer group: one broker, its coordinator, answers, and now and then there is none."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

AWAY: Final = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError._WAIT_COORD,  # noqa: SLF001 - the library's own name for the code
    }
)
"""Errors that go away by themselves: Kafka has just started, or the group has just got another coordinator."""

AWAY_MAX_S: Final = 15.0
"""For how long a coordinator may be away: a new one first reads the group's past."""

ASK_AGAIN_S: Final = 0.1

T = TypeVar("T")


def is_away(error: KafkaException) -> bool:
    """Whether no coordinator answers at the moment, and the question is to be asked again."""
    return error.args[0].code() in AWAY


def ask(question: Callable[[], T], *, away_max_s: float = AWAY_MAX_S) -> T:
    """Return the answer to a question about a group; it is asked again as long as the coordinator is away.

    Raises:
        KafkaException: the coordinator is still away after ``away_max_s``, or anything else is wrong.
    """
    end = time.monotonic() + away_max_s
    while True:
        try:
            return question()
        except KafkaException as error:
            if not is_away(error) or time.monotonic() >= end:
                raise
        time.sleep(ASK_AGAIN_S)


def committed(consumer: Consumer, partitions: list[TopicPartition], *, timeout_s: float) -> list[TopicPartition]:
    """What the consumer's group has committed, by partition; a negative offset where it has not. KafkaException."""

    def read() -> list[TopicPartition]:
        offsets = consumer.committed(partitions, timeout=timeout_s)
        for partition in offsets:
            if partition.error is not None:  # else it would look as if nothing were committed
                raise KafkaException(partition.error)
        return offsets

    return ask(read)
