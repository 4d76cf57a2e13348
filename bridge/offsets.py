"""The group's offsets in Kafka: stored, read, set back. Nothing here waits for longer than a call may take."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from bridge.delivery.rewind import Standing
from lastword.kafka.client import CALL_TIMEOUT_S, NotAnsweredError
from lastword.kafka.group import watermarks
from lastword.kafka.identity import identity_and_commit

logger = logging.getLogger(__name__)

NOT_THERE: Final = frozenset({KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART})  # noqa: SLF001


def store(consumer: Consumer, at: TopicPartition) -> None:
    """Let librdkafka commit this offset: it does so within a second, and before the partition is given up.

    A call of its ``commit`` would be undone at a revocation: librdkafka then commits what was stored last.
    """
    try:
        consumer.store_offsets(offsets=[at])
    except KafkaException as error:
        # Its partition was taken away; whoever has it now reads from what was committed before.
        logger.info("offset %d of partition %d not stored: %s", at.offset, at.partition, error)


def standings(consumer: Consumer, asked: Sequence[TopicPartition]) -> dict[int, Standing | None]:
    """How far partitions are committed, and from where to where they can be read; NotAnsweredError.

    None of one that the topic does not have any more.
    """
    end = time.monotonic() + CALL_TIMEOUT_S
    try:
        committed = consumer.committed(list(asked), CALL_TIMEOUT_S)
        return {
            partition.partition: _standing(consumer, partition, max(0.1, end - time.monotonic()))
            for partition in committed
        }
    except KafkaException as error:
        raise NotAnsweredError(f"Kafka: {error.args[0].str()}") from error


def _standing(consumer: Consumer, partition: TopicPartition, timeout_s: float) -> Standing | None:
    if partition.error is not None:  # else it would look as if nothing were committed
        raise KafkaException(partition.error)
    try:
        marks = watermarks(consumer, partition, timeout_s)
    except KafkaException as error:
        if error.args[0].code() in NOT_THERE:
            return None
        raise
    identity, last_commit = identity_and_commit(partition.metadata)
    return Standing(partition.offset if partition.offset >= 0 else None, identity, *marks, last_commit)


def set_back(consumer: Consumer, at: TopicPartition) -> None:
    """Commit an offset that is lower than what was committed; NotAnsweredError.

    What was stored before would be committed once more: it is stored over first. An auto-commit never goes back.
    """
    failed: list[KafkaException] = []

    def commit() -> None:
        try:
            consumer.commit(offsets=[at], asynchronous=False)
        except KafkaException as error:
            failed.append(error)

    try:
        consumer.store_offsets(offsets=[at])
    except KafkaException as error:
        raise NotAnsweredError(f"partition {at.partition} cannot be set back: {error.args[0].str()}") from error
    # It has no deadline of its own: without its coordinator it tries again and again.
    committing = threading.Thread(target=commit, name="commit", daemon=True)
    committing.start()
    committing.join(CALL_TIMEOUT_S)
    if failed or committing.is_alive():
        reason = failed[0].args[0].str() if failed else "no answer"
        raise NotAnsweredError(f"offset {at.offset} of partition {at.partition} not committed: {reason}")
