"""What the tests of the Kafka adapters share: topics, records, and looks past the code under test."""

import ctypes
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, Message, Producer, TopicPartition, cimpl
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bridge.partition import Partition, Partitions
from bridge.records import Records
from lastword.kafka import coordinator
from tests.waiting import DEADLINE_S, wait_until

QUICK_GROUP: dict[str, str | int | bool] = {"heartbeat.interval.ms": 100, "session.timeout.ms": 6_000}
"""A member hears of a rebalance at its next heartbeat."""

PROTOCOLS: dict[str, dict[str, str | int | bool]] = {
    "classic": QUICK_GROUP,
    "consumer": {"group.protocol": "consumer"},  # Kafka says how quick: servers/kafka.py
}

Headers = list[tuple[str, str | bytes | None]]


def create_topic(
    address: str,
    topic: str,
    partitions: int = 1,
    *,
    config: dict[str, str] | None = None,
    nodes: Sequence[int] = (),
) -> None:
    """Make a topic; with ``nodes`` on these Kafka nodes, by their ids, the first of them the leader."""
    admin = AdminClient({"bootstrap.servers": address})
    placed: dict[str, Any] = {"replica_assignment": [list(nodes)] * partitions} if nodes else {}
    new = NewTopic(topic, num_partitions=partitions, config=config or {}, **placed)
    admin.create_topics([new])[topic].result(timeout=120)
    wait_until(lambda: topic in admin.list_topics(timeout=60).topics, what=f"topic {topic}")


RUN_ID = "run_id=8f1c0a5e7d, Größe"


@dataclass
class Given:
    """A record to produce."""

    key: bytes | None = None
    value: bytes | None = b"{}"
    headers: Headers = field(default_factory=list)
    partition: int = 0


def numbered(count: int, *, partition: int = 0) -> list[Given]:
    return [Given(value=f"{number}".encode(), partition=partition) for number in range(count)]


def values(messages: list[Message]) -> list[bytes | None]:
    return [message.value() for message in messages]


def produce(address: str, topic: str, records: Sequence[Given]) -> None:
    producer = Producer({"bootstrap.servers": address})
    for record in records:
        producer.produce(topic, key=record.key, value=record.value, headers=record.headers, partition=record.partition)
    assert producer.flush(60) == 0


def produce_with_header(address: str, topic: str, name: bytes, value: bytes) -> None:
    """Produce a record with a header whose name is any bytes: Kafka takes it, the Python client cannot write it.

    Source: https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka.h (``rd_kafka_producev``)
    """
    library = ctypes.CDLL(cimpl.__file__)
    library.rd_kafka_conf_new.restype = library.rd_kafka_new.restype = ctypes.c_void_p
    why = ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(library.rd_kafka_conf_new())
    assert library.rd_kafka_conf_set(conf, b"bootstrap.servers", address.encode(), why, len(why)) == 0, why.value
    producer = ctypes.c_void_p(library.rd_kafka_new(0, conf, why, len(why)))
    end, v_topic, v_value, v_flags, v_header, copy = 0, 1, 4, 7, 9, 2
    arguments = (
        *(v_topic, topic.encode()),
        *(v_value, value, ctypes.c_size_t(len(value))),
        *(v_flags, copy),
        *(v_header, name, b"h", ctypes.c_ssize_t(1)),
    )
    assert library.rd_kafka_producev(producer, *arguments, end) == 0
    assert library.rd_kafka_flush(producer, 10_000) == 0
    library.rd_kafka_destroy(producer)


def read(address: str, topic: str, count: int, *, partitions: int = 1) -> list[Message]:
    """The first ``count`` records of a topic, read without a group."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "none", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found: list[Message] = []

    def enough() -> bool:
        while (message := consumer.poll(0.1)) is not None:
            assert message.error() is None, message.error()
            found.append(message)
        return len(found) >= count

    try:
        wait_until(enough, what=f"{count} records in {topic}")
    finally:
        consumer.close()
    return found


def committed(address: str, group: str, topic: str, number: int = 0) -> tuple[int, str | None]:
    """A group's committed offset (negative: none) and its metadata."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": group})
    try:
        [found] = coordinator.committed(consumer, [TopicPartition(topic, number)], timeout_s=60)
    finally:
        consumer.close()
    return found.offset, found.metadata


class Member:
    """A member of a consumer group: Records, and the rebalances it was told of, in order."""

    def __init__(
        self, address: str, topic: str, group: str, protocol: str = "classic", /, **properties: str | float | bool
    ) -> None:
        self.rebalances: list[tuple[str, list[int]]] = []
        self.partitions: Partitions = {}
        self.on_revoked: Callable[[list[int]], None] = lambda _: None
        given: dict[str, str | int | bool] = {"bootstrap.servers": address, **PROTOCOLS[protocol]}
        given.update({name.replace("_", "."): value for name, value in properties.items()})  # type: ignore[misc]
        self.records = Records(
            given,
            topic=topic,
            group=group,
            partitions=self.partitions,
            then={"assigned": self._on_assigned, "revoked": self._on_revoked, "lost": self._on_lost},
        )
        self._open = True

    @property
    def assigned(self) -> set[int]:
        return set(self.partitions)

    def _on_assigned(self, numbers: list[int]) -> None:
        self.rebalances.append(("assigned", numbers))
        self.partitions.update({number: Partition(number) for number in numbers})

    def _on_revoked(self, numbers: list[int]) -> None:
        self.rebalances.append(("revoked", numbers))
        self.on_revoked(numbers)
        self._drop(numbers)

    def _on_lost(self, numbers: list[int]) -> None:
        self.rebalances.append(("lost", numbers))
        self._drop(numbers)

    def _drop(self, numbers: list[int]) -> None:
        for number in numbers:
            self.partitions.pop(number, None)

    def fetch_until(self, count: int, *, deadline_s: float = DEADLINE_S) -> list[Message]:
        found: list[Message] = []

        def enough() -> bool:
            found.extend(self.records.fetch(500, 0.1))
            return len(found) >= count

        wait_until(enough, deadline_s=deadline_s, what=f"{count} records")
        return found

    def join(self, partitions: int) -> None:
        """Poll until it has as many partitions; records that come meanwhile would be lost to the test: none may."""

        def joined() -> bool:
            assert not self.records.fetch(1, 0.05)
            return len(self.records.settled()) == len(self.partitions) == partitions

        wait_until(joined, what=f"{partitions} partitions assigned")

    def store(self, offset: int, metadata: str = "", *, number: int = 0) -> None:
        self.records.commit(number, offset, metadata)

    def close(self) -> None:
        if self._open:
            self._open = False
            self.records.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def at_most(seconds: float, what: str) -> Iterator[None]:
    begin = time.monotonic()
    yield
    took_s = time.monotonic() - begin
    assert took_s <= seconds, f"{what} took {took_s:.2f} s"
