"""What several tests of the adapters start from."""

from collections.abc import Iterator

import pytest
import redis

from servers import Reachable, ReachableRedis
from tasks.cache import Cache
from tests.kafka_helpers import Member, create_topic


@pytest.fixture
def raw(redis_server: ReachableRedis) -> Iterator[redis.Redis]:
    """Redis without the project's cache in between."""
    with redis.Redis.from_url(redis_server.url()) as client:
        yield client


@pytest.fixture
def cache(redis_server: ReachableRedis, key_prefix: str) -> Iterator[Cache]:
    cache = Cache.connect(redis_server.url(), key_prefix=key_prefix)
    yield cache
    cache.close()


@pytest.fixture
def address(kafka_server: Reachable, topic: str) -> str:
    """Kafka's address; the topic is there, with one partition."""
    create_topic(kafka_server.address, topic)
    return kafka_server.address


@pytest.fixture
def member(address: str, topic: str, group: str) -> Iterator[Member]:
    with Member(address, topic, group) as member:
        yield member
