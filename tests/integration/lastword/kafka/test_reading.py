"""Reading a topic to its end on a real Kafka: every start, ends without a record, and an end that is found in time."""

import time
import uuid
from collections.abc import Iterator, Sequence

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from lastword.kafka.reading import Beginning, Newest, Offsets, Origin, Reading, Since, UnknownPartitionError
from lastword.kafka.refusal import Properties
from lastword.process.startup import UnreachableError
from servers import Kafka, Reachable
from tests.kafka_helpers import Member, at_most, committed, create_topic, numbered, produce
from tests.waiting import wait_until

pytestmark = pytest.mark.core


def read(
    kafka: Reachable, topic: str, start: Origin, *, group: str = "test-none", partitions: Sequence[int] | None = None
) -> list[tuple[int | None, bytes | None]]:
    properties = {"bootstrap.servers": kafka.address}
    with Reading(properties, topic, start, group=group, partitions=partitions, silence_s=20) as reading:
        found = [(message.partition(), message.value()) for message in reading]
        assert reading.done
        assert reading.passed == reading.total >= len(found)
    return sorted(found, key=lambda one: (one[0] or 0, int(one[1] or 0)))


def those(number: int, first: int, end: int) -> list[tuple[int, bytes]]:
    return [(number, f"{value}".encode()) for value in range(first, end)]


@pytest.fixture
def filled(kafka_server: Reachable, topic: str) -> str:
    """Partition 0 has ten records, 1 has three, 2 none."""
    create_topic(kafka_server.address, topic, 3)
    produce(kafka_server.address, topic, numbered(10) + numbered(3, partition=1))
    return topic


@pytest.fixture
def transactional(kafka_server: Reachable) -> Iterator[Producer]:
    producer = Producer({"bootstrap.servers": kafka_server.address, "transactional.id": f"test-{uuid.uuid4()}"})
    producer.init_transactions(30)
    yield producer
    producer.purge()


def test_every_start_reads_to_the_end(kafka_server: Reachable, filled: str) -> None:
    everything = those(0, 0, 10) + those(1, 0, 3)
    future = Since(int((time.time() + 3_600) * 1_000))

    assert read(kafka_server, filled, Beginning()) == everything
    assert read(kafka_server, filled, Since(0)) == everything
    assert read(kafka_server, filled, future) == []
    assert read(kafka_server, filled, Newest(4)) == those(0, 6, 10) + those(1, 0, 3)
    assert read(kafka_server, filled, Beginning(), partitions=[1, 2]) == those(1, 0, 3)
    assert read(kafka_server, filled, Offsets({0: (3, 5), 1: (1, None)})) == those(0, 3, 6) + those(1, 1, 3)
    assert read(kafka_server, filled, Offsets({0: (8, 99), 1: (50, None), 2: (0, None)})) == those(0, 8, 10)


def test_a_time_is_that_of_the_records(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic, config={"retention.ms": "-1"})  # those times are long ago
    producer = Producer({"bootstrap.servers": kafka_server.address})
    for number in range(4):
        producer.produce(topic, f"{number}".encode(), partition=0, timestamp=1_763_800_000_000 + number)
    assert producer.flush(60) == 0

    assert read(kafka_server, topic, Since(1_763_800_000_002)) == those(0, 2, 4)
    assert read(kafka_server, topic, Since(1_763_800_000_004)) == []


def test_what_the_group_has_committed_is_not_touched(kafka_server: Reachable, filled: str, group: str) -> None:
    with Member(kafka_server.address, filled, group) as member:
        member.fetch_until(13)
        member.store(7, "kept")

    assert read(kafka_server, filled, Beginning(), group=group) == those(0, 0, 10) + those(1, 0, 3)
    assert committed(kafka_server.address, group, filled) == (7, "kept")
    assert committed(kafka_server.address, group, filled, 1)[0] < 0


def test_a_member_of_the_group_keeps_its_partitions(kafka_server: Reachable, filled: str, group: str) -> None:
    with Member(kafka_server.address, filled, group) as member:
        member.fetch_until(13)
        told = list(member.rebalances)
        read(kafka_server, filled, Beginning(), group=group)
        produce(kafka_server.address, filled, numbered(1))
        member.fetch_until(1)
        assert member.rebalances == told


def test_an_end_without_a_record_is_recognized(kafka_server: Reachable, topic: str, transactional: Producer) -> None:
    create_topic(kafka_server.address, topic)
    for value, end in ((0, transactional.commit_transaction), (1, transactional.abort_transaction)):
        transactional.begin_transaction()
        transactional.produce(topic, f"{value}".encode(), partition=0)
        assert transactional.flush(60) == 0
        end(10)

    # Offsets 0 to 3: a record, its marker, an aborted record, its marker.
    assert read(kafka_server, topic, Beginning()) == those(0, 0, 1)
    assert read(kafka_server, topic, Offsets({0: (1, None)})) == []
    assert read(kafka_server, topic, Offsets({0: (2, 2)})) == []


def test_an_open_transaction_is_not_waited_for(kafka_server: Reachable, topic: str, transactional: Producer) -> None:
    create_topic(kafka_server.address, topic)
    produce(kafka_server.address, topic, numbered(3))
    transactional.begin_transaction()
    transactional.produce(topic, b"open", partition=0)
    assert transactional.flush(60) == 0
    produce(kafka_server.address, topic, numbered(2))

    assert read(kafka_server, topic, Beginning()) == those(0, 0, 3)
    transactional.abort_transaction(10)


def test_the_end_is_that_of_the_beginning(kafka_server: Reachable, filled: str) -> None:
    with Reading({"bootstrap.servers": kafka_server.address}, filled, Beginning(), group="test-none") as reading:
        produce(kafka_server.address, filled, numbered(50) + numbered(50, partition=2))
        assert reading.total == 13
        assert len(list(reading)) == 13


def test_records_that_were_deleted_are_passed_over(kafka_server: Reachable, filled: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka_server.address})
    admin.delete_records([TopicPartition(filled, 0, 6)])[TopicPartition(filled, 0, 6)].result(120)

    def gone() -> bool:
        return read(kafka_server, filled, Beginning(), partitions=[0]) == those(0, 6, 10)

    wait_until(gone, what="the records deleted")
    assert read(kafka_server, filled, Offsets({0: (2, 3)})) == []


def test_a_partition_that_there_is_not_is_named(kafka_server: Reachable, filled: str) -> None:
    with pytest.raises(UnknownPartitionError, match=r"has no partition 3; it has 3, from 0 to 2"):
        read(kafka_server, filled, Offsets({3: (0, None)}))


def test_a_topic_that_there_is_not_is_an_error(kafka_server: Reachable, topic: str) -> None:
    with pytest.raises(UnreachableError, match="Unknown topic"):
        read(kafka_server, topic, Beginning())


def test_a_silent_kafka_is_given_up(own_kafka: Kafka, topic: str) -> None:
    create_topic(own_kafka.address, topic)
    for _ in range(20):
        produce(own_kafka.address, topic, numbered(500))
    little_ahead = {"queued.min.messages": 1, "fetch.message.max.bytes": 1_000}
    properties: Properties = {"bootstrap.servers": own_kafka.address, **little_ahead}
    with Reading(properties, topic, Beginning(), group="g", silence_s=1) as reading:
        assert reading.fetch(1, 10)
        own_kafka.pause()
        try:
            with at_most(60, "giving up"), pytest.raises(UnreachableError, match=r"cannot be read: .*gave up after"):
                list(reading)
        finally:
            own_kafka.resume()
        assert 0 < reading.passed < reading.total


def test_a_kafka_that_is_not_there_is_an_error_in_time(topic: str) -> None:
    with at_most(60, "giving up"), pytest.raises(UnreachableError, match="cannot be read"):
        Reading({"bootstrap.servers": "127.0.0.1:1"}, topic, Beginning(), group="g")
