"""A topic that is written in transactions: what was aborted is no lag, and what is open is told."""

import json
from collections.abc import Iterator

import pytest
from confluent_kafka import IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # are public, not marked

from tests.flow import BEGIN_MS, Flow
from tests.inspect_helpers import inspect
from tests.pools import GROUP
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

MARKER = 1


@pytest.fixture
def transactional(flow: Flow) -> Iterator[Producer]:
    address = flow.environment["KAFKA_BOOTSTRAP_SERVERS"]
    producer = Producer({"bootstrap.servers": address, "transactional.id": flow.topic})
    producer.init_transactions(60)
    yield producer
    producer.flush(60)


def begin(producer: Producer, flow: Flow, *numbers: int) -> None:
    producer.begin_transaction()
    for number in numbers:
        record = {"product_id": f"p{number}", "updated_at": BEGIN_MS, "sequence": number, "data": {"n": number}}
        producer.produce(flow.topic, json.dumps(record).encode(), f"p{number}".encode(), partition=0)
    assert producer.flush(60) == 0


def end(flow: Flow) -> int:
    """The offset behind everything in the partition, as `kafka-consumer-groups.sh` has it."""
    admin = AdminClient({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]})
    partition = TopicPartition(flow.topic, 0)
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    found = admin.list_offsets({partition: latest}, isolation_level=IsolationLevel.READ_UNCOMMITTED)
    return int(found[partition].result(60).offset)


def lag(flow: Flow) -> int:
    return end(flow) - max(0, flow.committed()[0])


def visible(flow: Flow, number: int) -> bool:
    return flow.held([f"p{number}"]) == {f"p{number}": (BEGIN_MS * 1_000, number)}


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_aborted_records_at_the_end_are_no_lag_and_an_open_transaction_is_told(
    flow: Flow, transactional: Producer, protocol: str
) -> None:
    flow.by(protocol)
    with flow.bridge(), celery_worker(flow.environment, *GROUP):
        begin(transactional, flow, 1, 2)
        transactional.commit_transaction(60)
        begin(transactional, flow, *range(3, 14))
        transactional.abort_transaction(60)
        wait_until(lambda: end(flow) == 2 + MARKER + 11 + MARKER and lag(flow) == 0, what="a lag of 0")
        assert visible(flow, 2)
        assert not flow.held([f"p{number}" for number in range(3, 14)])

        begin(transactional, flow, 14, 15)
        ended = inspect(flow, "p2", "--all")
        assert "partition 0: committed 15 of 15, lag 0, read by " in ended.out
        assert "; 2 offsets more, from the first open transaction on" in ended.out
        transactional.commit_transaction(60)
        wait_until(lambda: visible(flow, 15) and lag(flow) == 0, what="a lag of 0 once more")
        assert "open transaction" not in inspect(flow, "p2", "--all").out


def test_what_was_aborted_behind_a_stuck_update_is_not_committed_before_it(flow: Flow, transactional: Producer) -> None:
    """No worker runs: nothing is confirmed, and the end of the partition does not let the commit pass it."""
    with flow.bridge() as bridge:
        begin(transactional, flow, 1)
        transactional.commit_transaction(60)
        begin(transactional, flow, 2)
        transactional.abort_transaction(60)
        bridge.wait_for_log("1 updates in flight")
        bridge.wait_for_log("nothing comes back")
        assert flow.committed()[0] < 0, "nothing"
        with celery_worker(flow.environment, *GROUP):
            wait_until(lambda: lag(flow) == 0, what="a lag of 0")
            assert visible(flow, 1)
