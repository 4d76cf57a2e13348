"""What several tests of the whole flow start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from servers import Reachable, ReachableRedis, Redis
from tests.e2e.flow import Flow
from tests.worker_helpers import empty_broker

CACHE_DB, BROKER_DB = 2, 3  # of the servers that a test has as given: apart from those of the other tests


@pytest.fixture
def flow(
    kafka_server: Reachable,
    redis_server: ReachableRedis,
    zookeeper_server: Reachable,
    tmp_path: Path,
    topic: str,
    group: str,
    zookeeper_root: str,
    key_prefix: str,
) -> Iterator[Flow]:
    empty_broker(redis_server)
    flow = Flow(
        (kafka_server, redis_server, zookeeper_server),
        tmp_path,
        topic=topic,
        group=group,
        root=zookeeper_root,
        prefix=key_prefix,
    )
    yield flow
    flow.close()


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
