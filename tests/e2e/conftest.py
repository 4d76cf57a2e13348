"""What several tests of the whole flow start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import Kafka, Redis, ZooKeeper
from tests.e2e.flow import Flow
from tests.worker_helpers import empty_broker


@pytest.fixture
def flow(
    kafka_server: Kafka,
    redis_server: Redis,
    zookeeper_server: ZooKeeper,
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
