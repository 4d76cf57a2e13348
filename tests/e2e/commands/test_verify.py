"""``lastword verify`` as a process, on real servers: it finds what is missing, mends it, and cries no wolf."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Producer

from lastword.publisher.publisher import Publisher
from tests.commands import BRIDGE, Ended, run
from tests.flow import BEGIN_MS, PARTITIONS, Flow
from tests.inspect_helpers import VERSION, create_topics, hold, publish
from tests.worker_helpers import celery_worker

THREADS = ("-P", "threads", "-c", "4")
PRODUCTS = 40


def verify(flow: Flow, *options: str, **settings: str) -> Ended:
    return run([*BRIDGE, "verify", *options], flow.environment | settings)


def told(flow: Flow, *options: str, **settings: str) -> dict[str, Any]:
    """What it prints as JSON, when it ended with the exit code that belongs to that."""
    ended = verify(flow, "--json", *options, **settings)
    found: dict[str, Any] = json.loads(ended.out)
    assert ended.code == (0 if found["good"] else 1), ended.err
    return found


def wipe(flow: Flow) -> None:
    """Take away all products: Redis restarted empty, but for what other tests have in it."""
    for product in flow.newest:
        flow.cache.delete(f"{flow.prefix}{product}")


@pytest.mark.core
def test_a_wiped_redis_is_found_and_mended(flow: Flow) -> None:
    with celery_worker(flow.environment, *THREADS):
        with flow.bridge():
            flow.publish(200, PRODUCTS)
            flow.wait_until_all_is_committed()
        before = told(flow)
        wipe(flow)

        seen = verify(flow)
        lost = told(flow)
        mended = told(flow, "--repair")
        after = told(flow, "--contents")

    products = len(flow.newest)
    assert (before["good"], before["products"], before["records"]) == (True, products, 210)
    assert seen.code == 1
    assert f"different: {products} products" in seen.out
    assert len([line for line in seen.out.splitlines() if line.endswith("\tcommitted, and not in Redis")]) == products
    assert {one["product"]: one["newest"] for one in lost["differences"]} == {
        product: f"{at}-{sequence}" for product, (at, sequence) in flow.newest.items()
    }
    assert {one["held"] for one in lost["differences"]} == {None}
    assert (mended["good"], mended["repaired"], mended["differences"]) == (True, products, [])
    assert (after["good"], after["differences"]) == (True, [])
    assert flow.is_fresh()


def test_a_repair_without_a_worker_says_so(flow: Flow) -> None:
    create_topics(flow)
    hold(flow, "42", 1)
    flow.cache.delete(f"{flow.prefix}42")

    ended = verify(flow, "--repair", "--deadline", "2")

    assert ended.code == 1
    assert "does a worker run?" in ended.out
    assert "different: 1 product" in ended.out


def test_an_older_version_is_found_and_a_newer_one_is_fine(flow: Flow) -> None:
    create_topics(flow)
    hold(flow, "older", 1)
    hold(flow, "newer", 1)
    flow.cache.hset(f"{flow.prefix}older", "version", f"{VERSION}-0")
    flow.cache.hset(f"{flow.prefix}newer", "version", f"{VERSION}-9")

    found = told(flow)

    (one,) = found["differences"]
    assert (one["product"], one["held"], one["newest"]) == ("older", f"{VERSION}-0", f"{VERSION}-1")


def test_what_is_in_flight_is_waited_for_and_is_no_difference(flow: Flow) -> None:
    create_topics(flow)
    hold(flow, "42", 1)
    publish(flow, "42", 2)

    alone = told(flow, "--wait", "1")
    with celery_worker(flow.environment, *THREADS), flow.bridge():
        served = told(flow, "--wait", "30")

    assert (alone["good"], [one["product"] for one in alone["in_flight"]], alone["bridges"]) == (True, ["42"], 0)
    assert (served["good"], served["in_flight"]) == (True, [])


def test_a_dead_letter_is_named_as_the_reason_and_is_not_sent_again(flow: Flow) -> None:
    key = f"{flow.prefix}42"
    flow.cache.rpush(key, "not ours")
    with celery_worker(flow.environment, *THREADS), flow.bridge():
        publish(flow, "42", 1)
        publish(flow, "43", 1, updated_at="yesterday")
        flow.wait_until_all_is_committed()
        flow.cache.delete(key)

        found = told(flow, "--repair")

    (one,) = found["differences"]
    assert one["why"].startswith("dead letter ")
    assert f"UnusableKeyError: key '{key}'" in one["why"]
    assert (found["repaired"], found["invalid"]) == (0, 1)


def test_another_content_is_found_when_it_is_asked_for(flow: Flow) -> None:
    create_topics(flow)
    hold(flow, "42", 1)
    hold(flow, "43", 1)
    flow.cache.hset(f"{flow.prefix}42", "data", "by hand")

    assert told(flow)["good"]
    (one,) = told(flow, "--contents")["differences"]
    assert (one["product"], one["held"]) == ("42", one["newest"])
    assert "another content" in one["why"]


@contextmanager
def traffic(flow: Flow) -> Iterator[None]:
    """Changes of a few products, without a pause, until the block is left."""
    stopping = threading.Event()

    def publish_on() -> None:
        publisher = Publisher({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]}, flow.topic)
        number = 1_000_000
        while not stopping.wait(0.005):
            number += 1
            flow.publish_one(publisher, f"p{number % PRODUCTS}", number)
        publisher.close(60)

    thread = threading.Thread(target=publish_on, name="traffic")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def test_beside_live_traffic_nothing_is_reported(flow: Flow) -> None:
    with celery_worker(flow.environment, *THREADS), flow.bridge():
        flow.publish(200, PRODUCTS)
        with traffic(flow):
            reports = [told(flow, "--contents", "--wait", wait_s) for wait_s in ("0", "0", "2", "2")]
        flow.wait_until_fresh()

    assert [(report["good"], report["differences"]) for report in reports] == [(True, [])] * 4
    assert reports[0]["records"] < reports[-1]["records"], "there was no traffic"


def test_a_long_topic_is_compared_in_bounded_memory(flow: Flow) -> None:
    """100,000 records of as many products: none is held, so each is in the list of what is in flight, too."""
    create_topics(flow)
    count = 100_000
    producer = Producer({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"], "linger.ms": 50})
    for number in range(count):
        record = f'{{"product_id": "product-{number}", "updated_at": {BEGIN_MS}, "sequence": {number}, "data": {{}}}}'
        producer.produce(flow.topic, key=f"product-{number}", value=record, partition=number % PARTITIONS)
        if number % 10_000 == 0:
            producer.flush(60)
    assert producer.flush(60) == 0
    # Not ru_maxrss, which a process inherits: here it would be what the tests themselves have taken.
    measured = "import re, sys; from pathlib import Path; from lastword.commands.cli import main\n"
    measured += "try: main(['verify', '--wait', '0'])\n"
    measured += (
        "finally: print(re.findall(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[0], file=sys.stderr)"
    )

    ended = run(["-c", measured], flow.environment)

    assert ended.code == 0
    assert f"{count} products in {count} records" in ended.out
    assert f"{count} products in flight" in ended.out
    assert int(ended.err.splitlines()[-1]) < 200 * 1024, "KiB"
