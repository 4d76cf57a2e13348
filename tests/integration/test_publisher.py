"""The publisher on a real Kafka: where records go, that each is accounted for, and that memory is bounded."""

import pytest
from confluent_kafka import Message

from bridge.publisher import Publisher, PublishError
from servers import Kafka, Reachable
from tests.kafka_helpers import create_topic, java_partition, murmur2, read

PARTITIONS = 7
KEYS = [
    b"",
    b"1",
    b"42",
    b"sku-1",
    b"a-longer-key-0123456789",
    "Größe-Ü".encode(),
    "🦆".encode(),
    b"\x00\xff\x80",
    b"x" * 512,
]
FLUSH_S = 20


def publisher(kafka: Reachable, topic: str, **properties: str | int) -> Publisher:
    given = {name.replace("_", "."): value for name, value in properties.items()}
    return Publisher({"bootstrap.servers": kafka.address, **given}, topic)


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)],
)
def test_the_murmur2_of_these_tests_is_kafkas(data: bytes, expected: int) -> None:
    # These pairs are in the tests of Apache Kafka's own Utils.murmur2.
    assert murmur2(data) == expected % 2**32


def test_a_key_goes_where_java_would_put_it(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic, PARTITIONS)
    keys = [*KEYS, *(f"product-{number}".encode() for number in range(60))]
    one = publisher(kafka_server, topic)
    found: dict[bytes, int | None] = {}

    def note(message: Message) -> None:
        found[message.key() or b""] = message.partition()

    for key in keys:
        one.publish(key, b"{}", on_delivered=note)
    assert one.flush(FLUSH_S) == 0

    assert found == {key: java_partition(key, PARTITIONS) for key in keys}
    assert len(set(found.values())) == PARTITIONS
    assert (one.delivered, one.failed) == (len(keys), [])


def test_keys_and_values_arrive_as_given_and_in_order(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    one = publisher(kafka_server, topic)
    given = [(b"k", f"{number}".encode()) for number in range(500)] + [(b"k", None), (None, b"\x00\xff")]

    for key, value in given:
        one.publish(key, value)
    assert one.flush(FLUSH_S) == 0

    assert [(m.key(), m.value()) for m in read(kafka_server.address, topic, len(given))] == given


def test_a_full_buffer_makes_publish_wait_and_loses_nothing(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    one = publisher(kafka_server, topic, queue_buffering_max_messages=10)
    waiting = []

    for number in range(1_000):
        one.publish(b"k", f"{number}".encode())
        waiting.append(len(one._producer))
    assert one.flush(FLUSH_S) == 0

    assert max(waiting) <= 10
    assert (one.delivered, one.failed) == (1_000, [])
    assert [int(m.value() or b"") for m in read(kafka_server.address, topic, 1_000)] == list(range(1_000))


def test_a_record_that_kafka_refuses_is_reported_and_the_others_arrive(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic, config={"max.message.bytes": "2000"})
    one = publisher(kafka_server, topic, linger_ms=0, compression_type="none", batch_num_messages=1)
    delivered: list[bytes | None] = []

    for value in (b"before", b"x" * 5_000, b"after"):
        one.publish(value[:6], value, on_delivered=lambda message: delivered.append(message.value()))
        assert one.flush(FLUSH_S) == 0

    assert delivered == [b"before", b"after"]
    assert one.delivered == 2
    assert len(one.failed) == 1
    assert "b'xxxxxx'" in one.failed[0]
    assert "too large" in one.failed[0]


def test_a_record_too_large_for_the_client_itself_is_an_error_at_once(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    one = publisher(kafka_server, topic, message_max_bytes=2_000)

    with pytest.raises(PublishError, match="too large"):
        one.publish(b"k", b"x" * 5_000)


def test_flush_tells_how_many_are_neither_delivered_nor_failed(own_kafka: Kafka, topic: str) -> None:
    create_topic(own_kafka.address, topic)
    one = publisher(own_kafka, topic)
    one.publish(b"k", b"first")
    assert one.flush(FLUSH_S) == 0

    own_kafka.pause()
    try:
        for _ in range(3):
            one.publish(b"k", b"later")
        assert one.flush(0.3) == 3
    finally:
        own_kafka.resume()
    assert one.flush(FLUSH_S) == 0
    assert one.delivered == 4
