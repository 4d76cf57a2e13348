"""Records published by Kafka's own Java client: the flow takes them like any other."""

from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from lastword import Change, Publisher
from lastword.contract.record import KeyForm, Rules
from tests.flow import BEGIN_MS, PARTITIONS, Flow
from tests.java_programs import run_java
from tests.kafka_helpers import read
from tests.programs import JDK
from tests.worker_helpers import celery_worker

PRODUCTS = {
    KeyForm.TEXT: ["42", "sku-1", "Größe-Ü", "🦆", "a-longer-key-0123456789", "p1", "p2", "p3", "p4", "p5"],
    KeyForm.JSON: ["42", "sku-1", "Größe-Ü", "🦆", "p1", "p2", "p3"],
    KeyForm.INT64: ["42", "0", "-1", str(2**63 - 1), "7", "8", "9"],
}


@pytest.fixture(scope="module")
def _compiler() -> None:
    JDK.need()


def publish_by_java(flow: Flow, form: KeyForm, products: list[str], directory: Path) -> dict[str, int]:
    """Publish by the Java program; return to which partition each product went."""
    address = flow.environment["KAFKA_BOOTSTRAP_SERVERS"]
    said = run_java(
        "PublishRecords.java", "kafka", address, flow.topic, form, str(BEGIN_MS), *products, directory=directory
    )
    lines = [line.rsplit(" ", 1) for line in said.splitlines()]
    return {product: int(partition) for product, partition in lines}


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize("form", KeyForm)
def test_records_of_the_java_client_are_taken_like_any_other(flow: Flow, form: KeyForm, tmp_path: Path) -> None:
    products = PRODUCTS[form]
    *_, deleted = products
    with (
        celery_worker(flow.environment, "-P", "threads", "-c", "4"),
        flow.bridge(LASTWORD_KEY_FORM=str(form)),
    ):
        partitions = publish_by_java(flow, form, products, tmp_path)
        flow.newest = dict.fromkeys(products, (BEGIN_MS * 1_000, 1))
        flow.newest[deleted] = ((BEGIN_MS + 1) * 1_000, 2)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    assert {product: fields_of(flow, product) for product in products} == {
        **dict.fromkeys(products, (b'{"by": "Java"}', None)),
        deleted: (None, b"1"),
    }
    letters = [TopicPartition(f"{flow.topic}-dlt", number) for number in range(PARTITIONS)]
    assert {flow.reader.get_watermark_offsets(partition, timeout=60) for partition in letters} == {(0, 0)}

    assert set(partitions) == set(products)
    assert len(set(partitions.values())) > 1
    publish_ours(flow, form, products)
    address, count = flow.environment["KAFKA_BOOTSTRAP_SERVERS"], 2 * len(products) + 1
    by_key: dict[bytes | None, set[int | None]] = {}
    for record in read(address, flow.topic, count, partitions=PARTITIONS):
        by_key.setdefault(record.key(), set()).add(record.partition())
    assert len(by_key) == len(products)
    assert all(len(found) == 1 for found in by_key.values()), "Java's partition is ours"


def fields_of(flow: Flow, product: str) -> tuple[object, object]:
    data, deleted = flow.cache.hmget(f"{flow.prefix}{product}", "data", "deleted")
    return data, deleted


def publish_ours(flow: Flow, form: KeyForm, products: list[str]) -> None:
    address = flow.environment["KAFKA_BOOTSTRAP_SERVERS"]
    with Publisher({"bootstrap.servers": address}, flow.topic, rules=Rules(form)) as publisher:
        for product in products:
            publisher.publish(Change(product_id=product, updated_at=BEGIN_MS, sequence=3, data=1))
