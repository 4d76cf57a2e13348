"""The publisher on a real Kafka: where changes go, that each is accounted for, and that memory is bounded."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import msgspec
import pytest
from confluent_kafka import Message

from lastword import Change, DeliveryError, InvalidUpdateError, Publisher, PublishError
from lastword.contract.record import KeyForm, Rules, decode
from lastword.contract.version import Version
from lastword.kafka.murmur2 import murmur2, partition_of
from servers import Reachable
from tests.kafka_helpers import create_topic, read
from tests.waiting import wait_until

pytestmark = pytest.mark.core

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
AT = datetime(2026, 11, 2, 10, 0, 0, 752_001, tzinfo=timezone(timedelta(hours=1)))


def publisher(kafka: Reachable, topic: str, **properties: str | int) -> Publisher:
    given = {name.replace("_", "."): value for name, value in properties.items()}
    return Publisher({"bootstrap.servers": kafka.address, **given}, topic)


def change(number: int, entity_id: str | int = 42) -> Change:
    return Change(product_id=entity_id, updated_at=AT, sequence=number, data={"number": number})


# What arrives.


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)],
)
def test_our_murmur2_is_kafkas(data: bytes, expected: int) -> None:
    # These pairs are in the tests of Apache Kafka's own Utils.murmur2.
    assert murmur2(data) == expected % 2**32


def test_a_key_goes_where_java_would_put_it(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic, PARTITIONS)
    keys = [*KEYS, *(f"product-{number}".encode() for number in range(60))]
    found: dict[bytes, int | None] = {}

    def note(message: Message) -> None:
        found[message.key() or b""] = message.partition()

    with publisher(kafka_server, topic) as one:
        for key in keys:
            one.publish_record(key, b"{}", on_delivered=note)

    assert found == {key: partition_of(key, PARTITIONS) for key in keys}
    assert len(set(found.values())) == PARTITIONS
    assert (one.delivered, one.failed) == (len(keys), 0)


def test_records_arrive_as_given_and_in_order(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    given = [(b"k", f"{number}".encode()) for number in range(500)] + [(b"k", None), (None, b"\x00\xff")]

    with publisher(kafka_server, topic) as one:
        for key, value in given:
            one.publish_record(key, value, [("h", b"1")])

    found = read(kafka_server.address, topic, len(given))
    assert [(m.key(), m.value()) for m in found] == given
    assert {repr(m.headers()) for m in found} == {repr([("h", b"1")])}


@pytest.mark.parametrize(("form", "key"), [("text", b"42"), ("json", b'"42"'), ("int64", b"\0\0\0\0\0\0\0\x2a")])
def test_a_change_arrives_as_the_contract_wants_it(kafka_server: Reachable, topic: str, form: str, key: bytes) -> None:
    create_topic(kafka_server.address, topic)
    rules = Rules(KeyForm(form))
    changes = [
        Change(product_id=42, updated_at=AT, sequence=7, data={"price": Decimal("8.90"), "sizes": [1, None]}),
        Change(product_id="42", updated_at="2026-11-02T10:00:00+01:00", data=None),
        Change(product_id=42, updated_at=1_763_800_000_000, data=msgspec.Raw(b' {"as":  "it is"} ')),
        Change(product_id=42, updated_at=AT.astimezone(UTC), sequence=8, deleted=True),
    ]
    with Publisher({"bootstrap.servers": kafka_server.address}, topic, rules=rules) as one:
        for given in changes:
            one.publish(given)

    records = read(kafka_server.address, topic, len(changes))
    assert {record.key() for record in records} == {key}
    first, second, third, fourth = (
        update
        for record in records
        for update in decode(
            key=record.key(), value=record.value(), headers=(), offset=5, timestamp_ms=None, rules=rules
        )
    )
    assert {update.entity_id for update in (first, second, third, fourth)} == {"42"}
    assert first.version == Version(1_793_610_000_752_001, 7)
    assert json.loads(first.data or b"") == {"price": "8.90", "sizes": [1, None]}
    assert (second.data, second.version.sequence) == (b"null", 5)
    assert (third.data or b"").strip() == b'{"as":  "it is"}'
    assert third.version.updated_at_us == 1_763_800_000_000_000
    assert (fourth.deleted, fourth.version) == (True, Version(first.version.updated_at_us, 8))


def test_an_offset_with_seconds_is_the_same_moment(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    odd = AT.astimezone(timezone(timedelta(minutes=53, seconds=28)))
    with publisher(kafka_server, topic) as one:
        one.publish(Change(product_id=1, updated_at=odd, data=1))
    [record] = read(kafka_server.address, topic, 1)
    assert json.loads(record.value() or b"")["updated_at"] == "2026-11-02T09:00:00.752001Z"


# What is refused at once.


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Change(product_id=1, updated_at=datetime(2026, 11, 2, 10), data=1), "has no offset from UTC"),  # noqa: DTZ001
        (Change(product_id=1, updated_at=AT), "data is missing and deleted is not true"),
        (Change(product_id="", updated_at=AT, data=1), "has 0 bytes"),
        (Change(product_id=1, updated_at=1_763_800_000, data=1), "milliseconds are wanted"),
        (Change(product_id=1, updated_at=AT, sequence=-1, data=1), "sequence -1 is out of range"),
        (Change(product_id=1, updated_at=AT, data=object()), "cannot be written as JSON"),
        (Change(product_id=1, updated_at=AT, data="\ud800"), "cannot be written as JSON"),
        (Change(product_id=1, updated_at=AT, data=msgspec.Raw(b"{not JSON")), "is not JSON"),
        (Change(product_id=1, updated_at=1.5e12, data=1), "does not keep the contract"),  # type: ignore[arg-type]
    ],
)
def test_a_change_that_the_bridge_would_not_understand_is_an_error_at_once(
    kafka_server: Reachable, wrong: Change, said: str
) -> None:
    with publisher(kafka_server, "never-used") as one, pytest.raises(InvalidUpdateError, match=said):
        one.publish(wrong)


def test_an_id_that_is_no_number_cannot_be_an_int64_key(kafka_server: Reachable) -> None:
    one = Publisher({"bootstrap.servers": kafka_server.address}, "never-used", rules=Rules(KeyForm.INT64))
    with one, pytest.raises(InvalidUpdateError, match="'sku-1' is no 64-bit integer"):
        one.publish(change(1, "sku-1"))


def test_a_record_too_large_for_the_client_itself_is_an_error_at_once(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    with publisher(kafka_server, topic, message_max_bytes=2_000) as one, pytest.raises(PublishError, match="too large"):
        one.publish(Change(product_id=1, updated_at=AT, data="x" * 5_000))


# Memory is bounded.


def test_a_full_buffer_makes_publish_wait_and_loses_nothing(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    waiting = []
    with publisher(kafka_server, topic, queue_buffering_max_messages=10, linger_ms=0) as one:
        for number in range(1_000):
            one.publish(change(number))
            waiting.append(one.pending)

    assert max(waiting) <= 10
    assert (one.delivered, one.failed) == (1_000, 0)
    found = [json.loads(m.value() or b"")["sequence"] for m in read(kafka_server.address, topic, 1_000)]
    assert found == list(range(1_000))


# Many threads.


def test_many_threads_publish_and_each_products_order_is_kept(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic, PARTITIONS)
    threads, each = 8, 200
    together = threading.Barrier(threads)

    def work(product: int) -> None:
        together.wait(120)
        for number in range(each):
            one.publish(change(number, product))

    with publisher(kafka_server, topic, queue_buffering_max_messages=50, linger_ms=0) as one:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
        one.flush()
        assert one.delivered == threads * each

    found: dict[bytes | None, list[int]] = {}
    for record in read(kafka_server.address, topic, threads * each, partitions=PARTITIONS):
        found.setdefault(record.key(), []).append(json.loads(record.value() or b"")["sequence"])
    assert found == {str(product).encode(): list(range(each)) for product in range(threads)}


# Closing.


def test_a_closed_publisher_publishes_nothing_and_may_be_closed_again(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    one = publisher(kafka_server, topic)
    one.publish(change(1))
    one.close()
    one.close()
    one.flush()

    with pytest.raises(PublishError, match="the publisher is closed"):
        one.publish(change(2))
    assert (one.delivered, one.failed, one.pending) == (1, 0, 0)


def test_closing_while_others_publish_loses_nothing_silently(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    failed: list[Change] = []
    one = Publisher(
        {"bootstrap.servers": kafka_server.address}, topic, on_failed=lambda change, _: failed.append(change)
    )
    accepted = [0] * 4
    begun = threading.Barrier(len(accepted) + 1)

    def work(number: int) -> None:
        begun.wait(120)
        while True:
            try:
                one.publish(change(accepted[number], number))
            except PublishError as error:
                assert str(error) == "the publisher is closed"  # noqa: PT017 - in a thread, in a loop
                return
            accepted[number] += 1

    with ThreadPoolExecutor(len(accepted)) as pool:
        working = [pool.submit(work, number) for number in range(len(accepted))]
        begun.wait(120)
        wait_until(lambda: all(accepted), what="a change of each thread")
        one.close()
        for future in working:
            future.result(120)

    assert one.delivered + one.failed == sum(accepted)
    assert len(failed) == one.failed
    assert one.pending == 0


def test_an_error_in_the_body_is_not_hidden_by_what_was_not_delivered(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic, config={"max.message.bytes": "2000"})
    one = publisher(kafka_server, topic, compression_type="none")
    one.publish(Change(product_id=1, updated_at=AT, data="x" * 5_000))
    with pytest.raises(ZeroDivisionError), one:
        raise ZeroDivisionError


def test_leaving_the_block_raises_what_was_not_delivered(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic, config={"max.message.bytes": "2000"})
    with pytest.raises(DeliveryError, match=r"product 1: .*too large"), publisher(kafka_server, topic) as one:
        one.publish(Change(product_id=1, updated_at=AT, data=[f"{number:x}" for number in range(5_000)]))
