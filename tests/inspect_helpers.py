"""What the tests of ``lastword inspect`` and ``verify`` share: changes of one product, and what the commands say."""

import json
from functools import partial
from typing import Any

from confluent_kafka import TopicPartition

from lastword.cache.cache import Cache, Write
from lastword.contract.record import Update
from lastword.contract.version import Version
from lastword.kafka import coordinator
from lastword.publisher.publisher import Publisher
from tests.commands import BRIDGE, Ended, run
from tests.flow import BEGIN_MS, PARTITIONS, Flow
from tests.kafka_helpers import create_topic

VERSION = BEGIN_MS * 1_000


def publish(flow: Flow, product: str, sequence: int, **fields: object) -> None:
    record = {"product_id": product, "updated_at": BEGIN_MS, "sequence": sequence, "data": {"n": sequence}, **fields}
    publisher = Publisher({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]}, flow.topic)
    publisher.publish_record(product.encode(), json.dumps(record).encode())
    publisher.close(60)


def inspect(flow: Flow, product: str, *options: str, **settings: str) -> Ended:
    return run([*BRIDGE, "inspect", product, *options], flow.environment | settings)


def told(flow: Flow, product: str, *options: str, **settings: str) -> dict[str, Any]:
    """What it prints as JSON, when it ended with the exit code that belongs to the verdict."""
    ended = inspect(flow, product, "--json", *options, **settings)
    found: dict[str, Any] = json.loads(ended.out)
    assert ended.code == (0 if found["verdict"]["fresh"] else 1), ended.err
    return found


def says(found: dict[str, Any]) -> str:
    return f"{found['verdict']['code']}: {' | '.join(found['verdict']['says'])}"


def hold(flow: Flow, product: str, sequence: int) -> None:
    """Publish a change, write it as a worker does, and commit it as a bridge does."""
    publish(flow, product, sequence)
    cache = Cache.connect(flow.environment["REDIS_URL"], key_prefix=flow.prefix)
    data = f'{{"n": {sequence}}}'.encode()
    cache.write([Write(Update(entity_id=product, version=Version(VERSION, sequence), data=data), "1")])
    cache.close()
    ends = [TopicPartition(flow.topic, number) for number in range(PARTITIONS)]
    for at in ends:
        at.offset = flow.reader.get_watermark_offsets(at, timeout=60)[1]
    coordinator.ask(partial(flow.reader.commit, offsets=ends, asynchronous=False))


def create_topics(flow: Flow) -> None:
    """Make the topics that a bridge would make."""
    for name in (flow.topic, f"{flow.topic}-dlt"):
        create_topic(flow.environment["KAFKA_BOOTSTRAP_SERVERS"], name, PARTITIONS)
