"""Products whose task always fails, beside good traffic."""

import json

from confluent_kafka import Producer

from tests.faults.load import Load
from tests.faults.workers.poison import RAISES
from tests.flow import BEGIN_MS
from tests.history.kafka_log import read_letters
from tests.history.recorded_flow import RecordedFlow
from tests.pools import POOLS_WHERE_A_SERVER_FAILS
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

WRONG, RAISING = "wrong-type", f"{RAISES}always"


@POOLS_WHERE_A_SERVER_FAILS
def test_a_product_whose_task_always_fails_is_dead_lettered_beside_good_traffic(
    flow: RecordedFlow, pool: tuple[str, ...]
) -> None:
    flow.cache.rpush(f"{flow.prefix}{WRONG}", "not ours")
    with (
        celery_worker(flow.environment, *pool, "-I", "tests.faults.workers.poison") as worker,
        flow.bridge(),
        Load(flow) as changes,
    ):
        changes.wait_until_flowing()
        publish_hopeless(flow)
        kafka = flow.environment["KAFKA_BOOTSTRAP_SERVERS"]
        wait_until(lambda: len(read_letters(kafka, f"{flow.topic}-dlt")) == 6, what="six dead letters")
        changes.wait_until_flowing()
        changes.stop()
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        reasons = sorted(letter.reason for letter in read_letters(kafka, f"{flow.topic}-dlt"))
        assert all(f"{flow.prefix}{WRONG}" in reason for reason in reasons[:3])
        assert reasons[3:] == ["nobody foresaw this"] * 3
        assert worker.log.count("Retry in") >= 3 * 5, "the error that nobody foresaw was tried again"
    assert flow.cache.type(f"{flow.prefix}{WRONG}") == b"list"


def publish_hopeless(flow: RecordedFlow) -> None:
    """Three changes of each; the cache will never hold one of them."""
    producer = Producer({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]})
    for number in range(6):
        product = (WRONG, RAISING)[number % 2]
        record = {"product_id": product, "updated_at": BEGIN_MS, "sequence": number, "data": number}
        noted = flow.note_hopeless(product, (BEGIN_MS * 1_000, number))
        producer.produce(flow.topic, key=product.encode(), value=json.dumps(record).encode(), on_delivery=noted)
    assert producer.flush(60) == 0
