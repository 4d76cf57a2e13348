"""What a relay has published, read without the project's own consumer."""

import json
from collections import defaultdict

from confluent_kafka import Message

from tests.history.kafka_log import ends_of
from tests.kafka_helpers import read

PARTITIONS = 3


def records(address: str, topic: str) -> list[Message]:
    """All records, each partition's in order."""
    count = sum(ends_of(address, topic).values())
    return read(address, topic, count, partitions=PARTITIONS)


def versions(address: str, topic: str) -> dict[str, list[int]]:
    """By product, the versions that its records tell of, in their order."""
    found: dict[str, list[int]] = defaultdict(list)
    for message in records(address, topic):
        told = json.loads(message.value() or b"")
        assert (message.key() or b"").decode() == str(told["product_id"])
        found[str(told["product_id"])].append(told["sequence"])
    return dict(found)


def without_repeats(numbers: list[int]) -> list[int]:
    """Each number where it came first."""
    return list(dict.fromkeys(numbers))
