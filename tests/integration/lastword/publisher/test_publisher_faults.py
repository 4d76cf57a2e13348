"""The publisher on its bad days: Kafka frozen, gone, killed and back, forbidding; and processes that fork or end."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lastword import BufferFullError, Change, DeliveryError, Publisher, PublishError
from servers import Kafka
from servers.ports import free_port
from tests.commands import REPOSITORY, clean_env
from tests.kafka_helpers import at_most, create_topic, read
from tests.secured_kafka import SecuredKafka
from tests.waiting import wait_until


@pytest.fixture
def kafka_server(own_kafka: Kafka) -> Iterator[Kafka]:
    """Our own, which is frozen and killed here; it runs again in the end."""
    yield own_kafka
    if not own_kafka.running:
        own_kafka.start()


class Failed:
    """Hears of every change that failed."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.reasons: list[str] = []
        self.threads: set[str] = set()

    def __call__(self, change: Change, reason: str) -> None:
        self.changes.append(change)
        self.reasons.append(reason)
        self.threads.add(threading.current_thread().name)


def change(number: int, entity_id: int = 42) -> Change:
    return Change(product_id=entity_id, updated_at=1_763_800_000_000, sequence=number, data=number)


def sequences(kafka: Kafka, topic: str, count: int) -> list[int]:
    return [json.loads(record.value() or b"")["sequence"] for record in read(kafka.address, topic, count)]


def publisher(address: str, topic: str, failed: Failed | None = None, **properties: str | float) -> Publisher:
    buffer_timeout_s = float(properties.pop("buffer_timeout_s", 10))
    given: dict[str, str | int | bool] = {name.replace("_", "."): str(value) for name, value in properties.items()}
    return Publisher(
        {"bootstrap.servers": address, **given}, topic, on_failed=failed, buffer_timeout_s=buffer_timeout_s
    )


@contextmanager
def paused(kafka: Kafka) -> Iterator[None]:
    kafka.pause()
    try:
        yield
    finally:
        kafka.resume()


# Failures are reported, with their change, without another call.


def test_a_change_that_a_frozen_kafka_does_not_take_is_reported_by_itself(kafka_server: Kafka, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    failed = Failed()
    with publisher(kafka_server.address, topic, failed, delivery_timeout_ms=500) as one, paused(kafka_server):
        one.publish(change(1))
        wait_until(lambda: failed.changes, what="the report")
    assert failed.changes == [change(1)]
    assert failed.threads == {"publisher"}
    assert "timed out" in failed.reasons[0]
    assert (one.delivered, one.failed, one.pending) == (0, 1, 0)


def test_the_reason_tells_what_is_wrong_with_the_connection(topic: str) -> None:
    failed = Failed()
    with publisher(f"127.0.0.1:{free_port()}", topic, failed, delivery_timeout_ms=300) as one:
        one.publish(change(1))
        wait_until(lambda: failed.changes, what="the report")
    assert "Connection refused" in failed.reasons[0]


def test_a_topic_that_is_not_there_is_reported(kafka_server: Kafka, topic: str) -> None:
    failed = Failed()
    properties = {"topic_metadata_propagation_max_ms": 100}
    with publisher(kafka_server.address, topic, failed, **properties) as one:
        one.publish(change(1))
        wait_until(lambda: failed.changes, what="the report")
    assert "Unknown topic" in failed.reasons[0]


def test_a_topic_that_may_not_be_written_is_reported_and_once_it_may_all_goes_on(
    secured_kafka: SecuredKafka, topic: str
) -> None:
    # An idempotent producer that may see the topic and write nowhere has failed for good: a new one must follow.
    secured_kafka.create_topic(topic)
    secured_kafka.allow("TOPIC", topic, "READ", user="other")
    failed = Failed()
    with Publisher(secured_kafka.properties("other"), topic, on_failed=failed) as one:
        one.publish(change(1))
        wait_until(lambda: failed.changes, what="the report")
        assert "authorization failed" in failed.reasons[0]
        secured_kafka.allow("TOPIC", topic, "WRITE", user="other")
        published = 1

        def goes_through() -> bool:
            nonlocal published
            try:
                one.publish(change(2))
            except PublishError as error:
                assert "authorization failed" in str(error)  # noqa: PT017 - until a new producer may be made
            else:
                published += 1
                wait_until(lambda: one.pending == 0, what="the report")
            return bool(one.delivered)

        wait_until(goes_through, what="a delivery")
    assert one.delivered + one.failed == published
    assert len(failed.changes) == one.failed


def test_without_on_failed_the_next_flush_raises_the_failures_once(kafka_server: Kafka, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    with publisher(kafka_server.address, topic, delivery_timeout_ms=500) as one:
        with paused(kafka_server):
            one.publish(change(2))
            with pytest.raises(DeliveryError, match=r"1 records were not delivered; product 42: .*timed out") as raised:
                one.flush()
        assert [failure.change for failure in raised.value.failures] == [change(2)]
        one.flush()


def test_a_callback_that_fails_does_not_stop_the_others(
    kafka_server: Kafka, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    create_topic(kafka_server.address, topic)
    heard = []

    def callback(failed: Change, _: str) -> None:
        heard.append(failed)
        raise ZeroDivisionError

    one = Publisher({"bootstrap.servers": kafka_server.address}, topic, on_failed=callback)
    with paused(kafka_server):
        for number in range(3):
            one.publish(change(number))
        one.close(0)
    assert heard == [change(number) for number in range(3)]
    assert caplog.text.count("a callback of the publisher failed") == 3


# Outages.


def test_flush_tells_what_is_still_under_way(kafka_server: Kafka, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    with publisher(kafka_server.address, topic) as one:
        one.publish(change(0))
        one.flush()
        with paused(kafka_server):
            for number in (1, 2, 3):
                one.publish(change(number))
            with pytest.raises(DeliveryError, match="3 are still on their way") as raised:
                one.flush(0.3)
            assert (raised.value.pending, raised.value.failures) == (3, [])
        one.flush()
    assert one.delivered == 4


def test_a_buffer_that_stays_full_is_an_error_and_what_was_taken_arrives(kafka_server: Kafka, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    with publisher(
        kafka_server.address, topic, queue_buffering_max_messages=10, buffer_timeout_s=0.3, linger_ms=0
    ) as one:
        with paused(kafka_server):
            for number in range(10):
                one.publish(change(number))
            with pytest.raises(BufferFullError, match=r"10 records wait for Kafka and the buffer is full, after 0.3 s"):
                one.publish(change(10))
        one.flush()
        one.publish(change(11))
    assert sequences(kafka_server, topic, 11) == [*range(10), 11]


def test_a_callback_may_publish_again_and_never_waits(kafka_server: Kafka, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    refused: list[str] = []

    def again(failed: Change, _: str) -> None:
        try:
            one.publish(failed)
        except PublishError as error:
            refused.append(str(error))

    one = Publisher(
        {"bootstrap.servers": kafka_server.address, "queue.buffering.max.messages": 5, "delivery.timeout.ms": 500},
        topic,
        on_failed=again,
        buffer_timeout_s=60,
    )
    with one:
        with paused(kafka_server):
            for number in range(5):
                one.publish(change(number))
            wait_until(lambda: one.failed >= 5, what="the reports")
        one.flush()
    assert one.delivered + len(refused) >= 5
    assert all("after 0 s still" in reason for reason in refused)


def test_closing_during_an_outage_ends_and_reports_everything(kafka_server: Kafka, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    one = publisher(kafka_server.address, topic)
    one.publish(change(0))
    one.flush()
    with paused(kafka_server):
        for number in range(1, 101):
            one.publish(change(number))
        with at_most(60, "closing"), pytest.raises(DeliveryError) as raised:
            one.close(0.3)
    assert [failure.change for failure in raised.value.failures] == [change(number) for number in range(1, 101)]
    assert all("was closed, before" in failure.reason for failure in raised.value.failures)
    assert (one.delivered, one.failed, one.pending) == (1, 100, 0)


def test_a_broker_killed_in_the_middle_costs_neither_a_record_nor_the_order_nor_a_repetition(
    kafka_server: Kafka, topic: str
) -> None:
    create_topic(kafka_server.address, topic)
    products, each = 5, 300
    with publisher(kafka_server.address, topic, linger_ms=0, reconnect_backoff_ms=100) as one:
        for number in range(each):
            for product in range(products):
                one.publish(change(number, product))
            if number == each // 3:
                kafka_server.kill()
            if number == each // 2:
                kafka_server.start()
        one.flush(60)
        assert (one.delivered, one.failed) == (products * each, 0)

    found: dict[bytes | None, list[int]] = {}
    for record in read(kafka_server.address, topic, products * each):
        found.setdefault(record.key(), []).append(json.loads(record.value() or b"")["sequence"])
    assert found == {str(product).encode(): list(range(each)) for product in range(products)}


# Processes.

FORK = """
import os, sys
from lastword import Change, Publisher

publisher = Publisher.from_environment()
def publish(number):
    publisher.publish(Change(product_id=1, updated_at=1_763_800_000_000, sequence=number, data=number))

publish(0)
publisher.flush()
child = os.fork()
publish(2 if child else 1)
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
publisher.flush()
print(publisher.delivered)
sys.exit(0)
"""

NO_CLOSE = """
from lastword import Change, Publisher

publisher = Publisher.from_environment()
publisher.publish(Change(product_id=1, updated_at=1_763_800_000_000, sequence=7, data=None))
"""


def script(source: str, kafka: Kafka, topic: str) -> str:
    """Run a service of a few lines, by settings in the environment; its REDIS_URL is none of our business."""
    env = {"KAFKA_BOOTSTRAP_SERVERS": kafka.address, "LASTWORD_TOPIC": topic, "REDIS_URL": "memory://"}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", source]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=clean_env(env), capture_output=True, text=True, timeout=40, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_after_a_fork_both_processes_publish(kafka_server: Kafka, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    printed = script(FORK, kafka_server, topic)
    assert sorted(sequences(kafka_server, topic, 3)) == [0, 1, 2]
    assert sorted(printed.split()) == ["1", "2"], "the child counts its own"


def test_a_process_that_ends_without_closing_delivers_what_it_has(kafka_server: Kafka, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    script(NO_CLOSE, kafka_server, topic)
    assert sequences(kafka_server, topic, 1) == [7]
