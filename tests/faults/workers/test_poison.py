"""Updates that kill or defeat every worker, records that are none: dead-lettered or paused, and nobody else waits."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from bridge.letters.dead_letters import PREFIX
from lastword.kafka.headers import headers_of
from tests.faults.workers.poison import KILLS, KILLS_LATE, RAISES
from tests.flow import BEGIN_MS, PARTITIONS, Flow
from tests.history.recorded_flow import RecordedFlow
from tests.injected.constants import (
    SILENCE_MAX_S,
    STARTED_MAX_S,
    TIMEOUT_FLOOR_S,
    TIMEOUT_MAX_S,
    UNEXPECTED_RETRIES,
    with_constants,
)
from tests.kafka_helpers import create_topic
from tests.pools import POOLS_OF_WHICH_ONE_IS_CORE, PREFORK, THREADS
from tests.waiting import DEADLINE_S, wait_until
from tests.worker_helpers import celery_worker

ANY_PARTITION = -1
POISONED = ("--include", "tests.faults.workers.poison")
QUICK = {TIMEOUT_FLOOR_S: 0.5, TIMEOUT_MAX_S: 4, SILENCE_MAX_S: 2, STARTED_MAX_S: 3}


class DeadLetter(NamedTuple):
    key: bytes | None
    value: bytes | None
    ours: dict[str, str]


@contextmanager
def kept_running(environment: dict[str, str], *args: str) -> Iterator[list[int]]:
    """A worker that is started again whenever it has ended; how each that ended did so."""
    ends: list[int] = []
    stopping = threading.Event()

    def keep() -> None:
        while not stopping.is_set():
            with celery_worker(environment, *args, wait_ready=False) as worker:
                wait_until(lambda: worker.exit_code is not None or stopping.is_set(), what="the end")
                if worker.exit_code is not None:
                    ends.append(worker.exit_code)

    thread = threading.Thread(target=keep, name="supervisor")
    thread.start()
    try:
        yield ends
    finally:
        stopping.set()
        thread.join()


def publish(flow: Flow, *products: str, partition: int = ANY_PARTITION, key: bytes | None = None) -> None:
    """Publish a change of each product that the cache is not expected to hold in the end."""
    producer = Producer({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]})
    for sequence, product in enumerate(products):
        record = {"product_id": product, "updated_at": BEGIN_MS, "sequence": sequence, "data": sequence}
        value = json.dumps(record).encode()
        producer.produce(flow.topic, key=key or product.encode(), value=value, partition=partition)
    assert producer.flush(60) == 0


def publish_poison(flow: RecordedFlow, product: str) -> None:
    """Publish a change that can only become a dead letter; that its offset is not committed sooner is checked."""
    producer = Producer({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]})
    value = json.dumps({"product_id": product, "updated_at": BEGIN_MS, "sequence": 0, "data": 0}).encode()
    noted = flow.note_hopeless(product, (BEGIN_MS * 1_000, 0))
    producer.produce(flow.topic, key=product.encode(), value=value, on_delivery=noted)
    assert producer.flush(60) == 0


def dead_letters(flow: Flow, *, count: int, deadline_s: float = DEADLINE_S) -> list[DeadLetter]:
    """All letters there are, once there are as many; AssertionError if there are more."""
    reader = Consumer(
        {
            "bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": f"{flow.topic}-letters",
            "enable.auto.commit": False,
        }
    )
    topic = f"{flow.topic}-dlt"
    numbers = reader.list_topics(topic, timeout=60).topics[topic].partitions
    reader.assign([TopicPartition(topic, number, 0) for number in numbers])
    found: list[Message] = []

    def read() -> bool:
        while (message := reader.poll(0.1)) is not None:
            assert message.error() is None, message.error()
            found.append(message)
        return len(found) >= count

    try:
        wait_until(read, deadline_s=deadline_s, what=f"{count} dead letters")
    finally:
        reader.close()
    assert len(found) == count
    return [DeadLetter(m.key(), m.value(), errors_of(m)) for m in found]


def errors_of(message: Message) -> dict[str, str]:
    found = headers_of(message)
    return {name.removeprefix(PREFIX): (value or b"").decode() for name, value in found if name.startswith(PREFIX)}


@POOLS_OF_WHICH_ONE_IS_CORE
def test_an_update_that_kills_its_worker_each_time_is_dead_lettered_and_the_rest_flows_on(
    flow: RecordedFlow, pool: Sequence[str]
) -> None:
    with (
        kept_running(flow.environment, *pool, *POISONED) as ends,
        flow.bridge(**with_constants(flow.environment, QUICK)),
    ):
        flow.publish(200, 40)
        began = time.monotonic()
        publish_poison(flow, f"{KILLS}1")
        flow.publish(200, 40, seed=8)

        dead_letters(flow, count=1)
        print(f"dead-lettered after {time.monotonic() - began:.1f} s; workers that ended: {ends}")
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        [letter] = dead_letters(flow, count=1)
    assert letter.key == f"{KILLS}1".encode()
    assert (letter.ours["stage"], letter.ours["class"]) == ("apply", "WorkerLost")
    assert letter.ours["message"].startswith("3 workers began this update, alone, and none of them came to an end")
    assert ends == [] if pool is PREFORK else set(ends) == {-9}


def test_three_killers_among_traffic_take_no_innocent_update_along(flow: RecordedFlow) -> None:
    killers = [f"{KILLS}{number}" for number in range(3)]
    with kept_running(flow.environment, *PREFORK, *POISONED), flow.bridge(**with_constants(flow.environment, QUICK)):
        for seed, killer in enumerate(killers):
            flow.publish(150, 60, seed=seed)
            publish_poison(flow, killer)
        found = dead_letters(flow, count=3)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        dead_letters(flow, count=3)
    assert {letter.key for letter in found} == {killer.encode() for killer in killers}
    assert {letter.ours["class"] for letter in found} == {"WorkerLost"}


def test_a_product_whose_task_always_raises_is_dead_lettered_after_its_retries(flow: RecordedFlow) -> None:
    environment = flow.environment | with_constants(flow.environment, {UNEXPECTED_RETRIES: 2})
    with celery_worker(environment, *THREADS, *POISONED) as worker, flow.bridge():
        flow.publish(100, 20)
        publish_poison(flow, f"{RAISES}1")
        [letter] = dead_letters(flow, count=1)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        assert worker.log.count("RuntimeError: nobody foresaw this") >= 3
    assert letter.key == f"{RAISES}1".encode()
    assert (letter.ours["class"], letter.ours["message"]) == ("RuntimeError", "nobody foresaw this")


def test_a_killer_whose_lock_outlives_it_each_time_is_dead_lettered_too(flow: RecordedFlow) -> None:
    with kept_running(flow.environment, *PREFORK, *POISONED), flow.bridge(**with_constants(flow.environment, QUICK)):
        publish_poison(flow, f"{KILLS_LATE}1")
        flow.publish(60, 10)
        began = time.monotonic()
        [letter] = dead_letters(flow, count=1)
        print(f"dead-lettered after {time.monotonic() - began:.1f} s")
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    assert letter.ours["class"] == "WorkerLost"


RUBBISH = 130
NUMBER = 1
AFTER = 5


@contextmanager
def rubbish_that_pauses_its_partition(flow: Flow) -> Iterator[None]:
    """One partition full of records whose keys do not agree, amid good ones; ended when that has been seen."""
    with flow.bridge(LASTWORD_SHUTDOWN_DEADLINE_S="600") as bridge:
        publish(flow, "before", partition=NUMBER)
        publish(flow, *(f"odd-{number}" for number in range(RUBBISH)), partition=NUMBER, key=b"another product")
        publish(flow, *(f"after-{number}" for number in range(AFTER)), partition=NUMBER)
        flow.publish(200, 40)
        bridge.wait_for_log("partition 1 is paused until this bridge is started again")
        others = [n for n in range(PARTITIONS) if n != NUMBER]
        ends = {n: flow.reader.get_watermark_offsets(TopicPartition(flow.topic, n), timeout=60)[1] for n in others}
        wait_until(lambda: all(flow.committed()[n] == ends[n] for n in others), what="the others flow")
        wait_until(lambda: flow.committed()[NUMBER] == 1, what="what came before is committed")
        assert bridge.stop() == 0, "it did not wait for what cannot be finished"
        assert "more than 100 records in a row, from offset 1 on" in bridge.log
    assert flow.committed()[NUMBER] == 1, "nothing of the run is committed"
    dead_letters(flow, count=0)
    yield


@pytest.mark.core
def test_a_partition_of_rubbish_pauses_the_others_flow_and_a_mended_format_loses_nothing(flow: Flow) -> None:
    with celery_worker(flow.environment, *THREADS), rubbish_that_pauses_its_partition(flow):
        with flow.bridge(LASTWORD_KEY_MUST_AGREE="false"):
            flow.wait_until_fresh()
            flow.wait_until_all_is_committed()
        products = ["before", *(f"odd-{n}" for n in range(RUBBISH)), *(f"after-{n}" for n in range(AFTER))]
        assert all(flow.cache.exists(f"{flow.prefix}{product}") for product in products)
        dead_letters(flow, count=0)


def test_rubbish_that_is_allowed_is_dead_lettered_to_the_last_record(flow: Flow) -> None:
    with celery_worker(flow.environment, *THREADS), rubbish_that_pauses_its_partition(flow):
        with flow.bridge(LASTWORD_UNDECODABLE_MAX="1000"):
            flow.wait_until_fresh()
            flow.wait_until_all_is_committed()
        found = dead_letters(flow, count=RUBBISH)
        assert sorted(int(letter.ours["offset"]) for letter in found) == list(range(1, RUBBISH + 1))
        assert flow.cache.exists(*(f"{flow.prefix}after-{n}" for n in range(AFTER))) == AFTER


def test_a_letter_too_large_for_its_topic_arrives_without_its_value(flow: Flow) -> None:
    address = flow.environment["KAFKA_BOOTSTRAP_SERVERS"]
    create_topic(address, f"{flow.topic}-dlt", config={"max.message.bytes": "4000"})
    with celery_worker(flow.environment, *THREADS), flow.bridge():
        flow.publish(50, 10)
        producer = Producer({"bootstrap.servers": address})
        producer.produce(flow.topic, key=b"42", value=b"x" * 20_000, headers=[("trace", b"1")])
        assert producer.flush(60) == 0
        [letter] = dead_letters(flow, count=1)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    assert (letter.key, letter.value, letter.ours["value-omitted"]) == (b"42", None, "20000")
