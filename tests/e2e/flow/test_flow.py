"""From Kafka to Redis through every process, and what is killed or wiped in the middle of it."""

import json
import re
import signal
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from lastword.kafka import coordinator
from lastword.kafka.headers import headers_of
from lastword.publisher.publisher import Publisher
from tests.flow import PARTITIONS, Flow
from tests.injected.constants import TIMEOUT_FLOOR_S, with_constants
from tests.pools import GROUP, POOLS_OF_WHICH_ONE_IS_CORE, THREADS, long_run
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

COUNT, PRODUCTS = 800, 150


@POOLS_OF_WHICH_ONE_IS_CORE
def test_every_product_ends_at_its_newest_and_every_offset_is_committed(flow: Flow, pool: tuple[str, ...]) -> None:
    with celery_worker(flow.environment, *pool), flow.bridge():
        flow.publish(COUNT, PRODUCTS)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    product = next(p for p, (_, sequence) in flow.newest.items() if sequence % 17)
    data = flow.cache.hget(f"{flow.prefix}{product}", "data")
    assert isinstance(data, bytes)
    assert json.loads(data) == {"number": flow.newest[product][1]}


@pytest.mark.core
def test_the_commit_carries_the_identity_of_the_data_set(flow: Flow) -> None:
    def metadata() -> dict[str, str | None]:
        asked = [TopicPartition(flow.topic, number) for number in range(PARTITIONS)]
        answers = coordinator.committed(flow.reader, asked, timeout_s=60)
        return {f"{flow.topic}:{a.partition}:{flow.group}": a.metadata for a in answers if a.offset > 0}

    def identities() -> dict[str, str]:
        markers: Any = flow.cache.hgetall(f"lastword:marker:{flow.prefix}")
        return {name.decode(): marker.decode().partition(" ")[2] for name, marker in markers.items()}

    with celery_worker(flow.environment, *THREADS), flow.bridge():
        publisher = Publisher({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]}, flow.topic)
        publisher.publish_record(None, b"a letter, before anything was looked for in the cache")
        publisher.close(60)
        wait_until(metadata, what="the letter's commit")
        assert metadata().items() <= identities().items()
        flow.publish(60, 30)
        flow.wait_until_all_is_committed()
    assert len(metadata()) == PARTITIONS
    assert metadata() == identities()


def test_a_bridge_that_ends_in_order_leaves_no_stamp(flow: Flow) -> None:
    def stamps() -> list[bytes]:
        return list(flow.cache.scan_iter("lastword:stamp:*"))

    before = stamps()
    with flow.bridge():
        wait_until(lambda: len(stamps()) > len(before), what="the bridge's stamp")
    wait_until(lambda: stamps() == before, what="the stamp gone")


@pytest.mark.core
def test_worker_killed_in_the_middle(flow: Flow) -> None:
    with flow.bridge():
        with celery_worker(flow.environment, *GROUP) as worker:
            flow.publish(*long_run(GROUP))
            flow.wait_until_visible(0.3)
            worker.kill()
        with celery_worker(flow.environment, *GROUP):
            flow.wait_until_fresh()
            flow.wait_until_all_is_committed()


@pytest.mark.core
def test_bridge_killed_in_the_middle(flow: Flow) -> None:
    with celery_worker(flow.environment, *GROUP):
        with flow.bridge() as bridge:
            flow.publish(*long_run(GROUP))
            flow.wait_until_visible(0.3)
            bridge.kill()
        with flow.bridge():
            flow.wait_until_fresh()
            flow.wait_until_all_is_committed()


@pytest.mark.core
def test_broker_wiped_in_the_middle(flow: Flow) -> None:
    with celery_worker(flow.environment, *GROUP), flow.bridge():
        flow.publish(*long_run(GROUP))
        flow.wait_until_visible(0.3)
        flow.broker.flushdb()
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


@pytest.mark.core
def test_broker_wiped_with_one_lone_update_in_flight(flow: Flow) -> None:
    with flow.bridge():
        flow.publish(1, 1)
        wait_until(lambda: flow.broker.llen("lastword") == 1, what="the task in the broker")
        flow.broker.flushdb()
        with celery_worker(flow.environment, *THREADS):
            flow.wait_until_fresh()
            flow.wait_until_all_is_committed()


def test_bridges_come_and_go(flow: Flow) -> None:
    with celery_worker(flow.environment, *GROUP), flow.bridge() as first:
        flow.publish(COUNT, PRODUCTS)
        with flow.bridge() as second:
            flow.publish(COUNT // 4, PRODUCTS, seed=8)
            assert first.stop() == 0
            with flow.bridge():
                assert second.stop() == 0
                flow.wait_until_fresh()
                flow.wait_until_all_is_committed()


@pytest.mark.core
def test_sigterm_drains_what_is_in_flight(flow: Flow) -> None:
    with celery_worker(flow.environment, *GROUP) as worker:
        # On a busy machine the default deadline passes, and what is presumed lost is in the queue twice.
        patient = with_constants(flow.environment, {TIMEOUT_FLOOR_S: 300})
        with flow.bridge(LASTWORD_SHUTDOWN_DEADLINE_S="600", **patient) as bridge:
            flow.publish(*long_run(GROUP))
            flow.wait_until_visible(0.1)
            bridge.send(signal.SIGTERM)
            wait_until(lambda: bridge.exit_code is not None, deadline_s=600, what="the bridge's end")
            assert bridge.exit_code == 0
            assert "Traceback" not in bridge.log
        assert flow.broker.llen("lastword") == 0
        tasks = set(re.findall(rf"{flow.topic}:(\d+):(\d+)\] received", worker.log))
    last = {int(number): max(int(at) for n, at in tasks if n == number) for number, _ in tasks}
    committed = flow.committed()
    assert last
    assert all(committed[number] > at for number, at in last.items()), "what was sent is committed"


@pytest.mark.core
def test_invalid_records_are_dead_lettered_and_the_rest_flows_on(flow: Flow) -> None:
    with celery_worker(flow.environment, *THREADS), flow.bridge():
        publisher = Publisher({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]}, flow.topic)
        for number in range(30):
            flow.publish_one(publisher, "p1", number)
            publisher.publish_record(b"p1", b'{"product_id": "p1", "updated_at": 1763800000, "data": 1}')
        publisher.publish_record(None, b"\xff\xfe no JSON")
        flow.publish_one(publisher, "p1", 31)
        publisher.close(60)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    letters = read_all(flow, f"{flow.topic}-dlt", 31)
    reasons = [headers["__lastword.errors.message"] for headers in letters]
    assert sum("milliseconds are wanted" in reason for reason in reasons) == 30
    assert {headers["__lastword.errors.stage"] for headers in letters} == {"decode"}
    assert all(headers["__lastword.errors.topic"] == flow.topic for headers in letters)


@pytest.mark.core
def test_a_permanent_failure_is_dead_lettered_with_its_reason(flow: Flow) -> None:
    flow.cache.rpush(f"{flow.prefix}p7", "not ours")
    with celery_worker(flow.environment, *THREADS), flow.bridge():
        publisher = Publisher({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]}, flow.topic)
        for number in range(40):
            product = f"p{number % 10}"
            record = {"product_id": product, "updated_at": 1_763_800_000_000, "sequence": number, "data": number}
            publisher.publish_record(product.encode(), json.dumps(record).encode())
        publisher.close(60)
        flow.wait_until_all_is_committed()
    letters = read_all(flow, f"{flow.topic}-dlt", 4)
    assert {headers["__lastword.errors.stage"] for headers in letters} == {"apply"}
    assert all(f"{flow.prefix}p7" in headers["__lastword.errors.message"] for headers in letters)
    assert {headers["lastword-version"] for headers in letters} == {
        f"1763800000000000-{number}" for number in (7, 17, 27, 37)
    }
    assert flow.cache.type(f"{flow.prefix}p7") == b"list"


def read_all(flow: Flow, topic: str, count: int) -> list[dict[str, str]]:
    """The headers of all records of a topic, as text."""
    reader = Consumer(
        {
            "bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": f"{topic}-reader",
            "enable.auto.commit": False,
        }
    )
    reader.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    found: list[dict[str, str]] = []

    def read() -> bool:
        message = reader.poll(0.1)
        if message is not None and message.error() is None:
            found.append({name: (value or b"").decode() for name, value in headers_of(message)})
        return len(found) >= count

    wait_until(read, what=f"{count} records in {topic}")
    assert reader.poll(0.5) is None, "more letters than there should be"
    reader.close()
    return found
