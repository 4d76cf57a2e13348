"""What several tests of the whole flow start from."""

from collections.abc import Iterator

import pytest
import redis

from servers import Reachable, Redis

CACHE_DB, BROKER_DB = 2, 3  # apart from those of the tests that run around these


@pytest.fixture
def given(kafka_server: Reachable, zookeeper_server: Reachable, own_redis: Redis) -> Iterator[dict[str, str]]:
    """An environment that names servers which run already, with empty Redis databases."""
    yield {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_server.address,
        "ZOOKEEPER_HOSTS": zookeeper_server.address,
        "REDIS_URL": own_redis.url(CACHE_DB),
        "CELERY_BROKER_URL": own_redis.url(BROKER_DB),
    }
    for db in (CACHE_DB, BROKER_DB):
        with redis.Redis.from_url(own_redis.url(db)) as client:
            client.flushdb()
