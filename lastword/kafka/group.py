"""How far a consumer group has come in a topic, and who is in it. Looked at from outside: nobody joins."""

from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # are public, not marked

from lastword.kafka import coordinator
from lastword.kafka.client import CALL_TIMEOUT_S, NotAnsweredError
from lastword.kafka.connection_trouble import Ear
from lastword.kafka.identity import Identity, Topic, identity_and_commit
from lastword.kafka.refusal import Properties, is_refusal, refusal
from lastword.kafka.topic_ids import TopicIds
from lastword.process.startup import UnreachableError


@dataclass(frozen=True, slots=True)
class Progress:
    """One partition: it holds the offsets from ``begin`` to before ``end``; ``owner`` is the member that reads it.

    ``committed`` is None where the group has committed nothing, or only of a topic that was made anew since.
    ``withheld`` offsets follow behind the end: those from the first transaction on that is open, which Kafka hands out
    to nobody before it has ended.
    """

    begin: int
    end: int
    committed: int | None = None
    owner: str = ""
    withheld: int = 0

    @property
    def next(self) -> int:
        """The offset at which the group goes on; behind the end there is nothing to go on with."""
        return self.begin if self.committed is None or self.committed > self.end else self.committed

    @property
    def lag(self) -> int:
        """How many offsets lie between the committed one and the end."""
        return max(0, self.end - max(self.next, self.begin))


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group and what it reads; ``members`` is None where Kafka does not say."""

    name: str
    members: int | None
    progress: dict[int, Progress]

    def has_passed(self, partition: int, offset: int) -> bool:
        """Whether a record lies before the committed offset: it was confirmed, or is a dead letter."""
        return partition in self.progress and offset < self.progress[partition].next


def read_group(properties: Properties, topic: str, name: str) -> Group:
    """Look at a group; UnreachableError when Kafka does not answer, KafkaRefusedError without the permission."""
    ear = Ear()
    consumer = Consumer(
        {**properties, "group.id": name, "enable.auto.commit": False, "error_cb": ear.errors.append}, logger=ear.logger
    )
    admin = AdminClient(dict(properties), error_cb=ear.errors.append, logger=ear.logger)
    try:
        numbers = sorted(consumer.list_topics(topic, timeout=CALL_TIMEOUT_S).topics[topic].partitions)
        partitions = [TopicPartition(topic, number) for number in numbers]
        committed = _committed(consumer, partitions, _topic_id(properties, topic))
        last = _last(admin, partitions)
        # After the offsets: what is committed lies before the end, and so does all else without an open transaction.
        marks = {p.partition: watermarks(consumer, p) for p in partitions}
        members, owners = _members(admin, topic, name)
    except NotAnsweredError as error:
        raise UnreachableError(
            f"Kafka at {properties['bootstrap.servers']} does not tell what it has: {error}"
        ) from error
    except KafkaException as error:
        refused = ear.refused or (error.args[0] if is_refusal(error.args[0]) else None)
        if refused is not None:
            raise refusal(f"consumer group {name!r}", refused, properties) from error
        reason = ear.reason(error.args[0], properties)
        raise UnreachableError(
            f"consumer group {name!r} of Kafka at {properties['bootstrap.servers']} cannot be looked at: {reason}"
        ) from error
    finally:
        consumer.close()
    progress = {
        number: Progress(begin, end, committed[number], owners.get(number, ""), max(0, last[number] - end))
        for number, (begin, end) in marks.items()
    }
    return Group(name, members, progress)


def _topic_id(properties: Properties, topic: str) -> str:
    """The id of the topic that there is now, "" where Kafka tells none. NotAnsweredError."""
    ids = TopicIds(properties, topic)
    return ids.end(ids.begin(), CALL_TIMEOUT_S)


def _committed(consumer: Consumer, partitions: list[TopicPartition], topic_id: str) -> dict[int, int | None]:
    """What the consumer's group has committed of the topic with this id, by partition; None where it has not.

    KafkaException.
    """
    offsets = coordinator.committed(consumer, partitions, timeout_s=CALL_TIMEOUT_S)
    told = {partition.partition: identity_and_commit(partition.metadata)[0] for partition in offsets}
    of_now = {number: Identity.parse(identity).is_of(Topic(topic_id)) for number, identity in told.items()}
    return {
        partition.partition: partition.offset if partition.offset >= 0 and of_now[partition.partition] else None
        for partition in offsets
    }


def watermarks(consumer: Consumer, partition: TopicPartition, timeout_s: float = CALL_TIMEOUT_S) -> tuple[int, int]:
    """The first offset of a partition, and the one after its last. KafkaException."""
    offsets = consumer.get_watermark_offsets(partition, timeout=timeout_s)
    if offsets is None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - the library's own name for the code
    return offsets


def _last(admin: AdminClient, partitions: list[TopicPartition]) -> dict[int, int]:
    """The offset behind everything in each partition, what is not committed yet included. KafkaException."""
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    futures = admin.list_offsets(
        dict.fromkeys(partitions, latest),
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=CALL_TIMEOUT_S,
    )
    try:
        return {partition.partition: future.result(CALL_TIMEOUT_S + 1).offset for partition, future in futures.items()}
    except FutureTimeoutError:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None  # noqa: SLF001


def _members(admin: AdminClient, topic: str, name: str) -> tuple[int | None, dict[int, str]]:
    """How many members there are, and by partition the one that reads it."""

    def describe() -> Any:  # noqa: ANN401 - the library does not say
        future = admin.describe_consumer_groups([name], request_timeout=CALL_TIMEOUT_S)[name]
        return future.result(timeout=CALL_TIMEOUT_S + 1)

    try:
        description = coordinator.ask(describe)
    except KafkaException as error:
        # A group that has never been is an error to newer servers.
        return (0 if "not found" in error.args[0].str().lower() else None), {}
    except FutureTimeoutError:
        return None, {}
    owners = {
        assigned.partition: f"{member.client_id} at {member.host.removeprefix('/')}"
        for member in description.members
        for assigned in (member.assignment.topic_partitions if member.assignment else ())
        if assigned.topic == topic
    }
    return len(description.members), owners
