"""What the runs are loaded with: changes of products, published to a topic before the clock starts."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from examples.watch import Change, newest_of
from servers.kafka import silent

PARTITIONS = 8
BEGIN_MS = 1_763_800_000_000
FLUSH_S = 60
TEXT = "Glazed by hand, dishwasher-safe, made of the clay that is found behind the workshop. " * 2


@dataclass(frozen=True)
class Load:
    """Changes in the order in which they are published, one record each."""

    name: str
    changes: list[Change]

    @cached_property
    def newest(self) -> dict[str, Change]:
        """Each product's newest change."""
        return newest_of(self.changes)


def uniform(updates: int, products: int) -> Load:
    """Every product changes as often as every other."""
    chance = random.Random(1)
    return _load("uniform", updates, lambda: chance.randrange(products))


def hot(updates: int, products: int) -> Load:
    """Half of the changes are those of one product."""
    chance = random.Random(2)
    return _load("hot", updates, lambda: 0 if chance.random() < 0.5 else chance.randrange(1, products))


def _load(name: str, updates: int, product: Callable[[], int]) -> Load:
    changes = []
    for number in range(updates):
        chosen = product()
        version = ((BEGIN_MS + number) * 1_000, number)
        changes.append(Change(str(chosen), version, data_of(str(chosen), number), deleted=False))
    return Load(name, changes)


def data_of(product: str, number: int) -> dict[str, object]:
    """What the change with this number makes of a product."""
    return {"name": f"Espresso cups {product}", "price": "18.35", "stock": number % 100, "text": TEXT}


def record_of(product: str, number: int, data: object) -> bytes:
    """The record of the change with this number."""
    record = {"product_id": product, "updated_at": BEGIN_MS + number, "sequence": number, "data": data}
    return json.dumps(record).encode()


def create_topic(servers: str, topic: str, **config: str) -> None:
    """Make a topic."""
    admin = AdminClient({"bootstrap.servers": servers}, logger=silent)
    admin.create_topics([NewTopic(topic, PARTITIONS, config=config)])[topic].result(10)


def publish(servers: str, topic: str, load: Load) -> None:
    """Put the whole load on the topic; RuntimeError when Kafka does not take all of it."""
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "acks": "all",
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "queue.buffering.max.messages": len(load.changes) + 1,
        }
    )
    failures: list[str] = []
    for change in load.changes:
        producer.produce(
            topic,
            key=change.product.encode(),
            value=record_of(change.product, change.order[1], change.data),
            on_delivery=lambda error, _: failures.append(error.str()) if error else None,
        )
    left = producer.flush(FLUSH_S)
    if left or failures:
        raise RuntimeError(f"topic {topic}: {left + len(failures)} records were not published: {failures[:1]}")
