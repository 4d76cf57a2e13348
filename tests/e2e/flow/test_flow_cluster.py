"""The whole flow with the cache in a Redis Cluster, one node of which falls silent in the middle."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.crc import key_slot

from lastword.publisher.publisher import Publisher
from servers import Reachable, Redis, RedisCluster, ZooKeeper
from servers.redis_cluster import SLOTS
from tests.flow import Flow
from tests.injected.constants import with_call_timeout
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker, empty_broker

PRODUCTS = [f"p{number}" for number in range(30)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path / "cluster") as cluster:
        yield cluster


def test_products_of_the_other_nodes_go_on_and_the_rest_follows(
    *,
    kafka_server: Reachable,
    redis_server: Redis,
    zookeeper_server: ZooKeeper,
    cluster: RedisCluster,
    tmp_path: Path,
    topic: str,
    group: str,
    zookeeper_root: str,
    key_prefix: str,
) -> None:
    empty_broker(redis_server)
    servers = (kafka_server, redis_server, zookeeper_server)
    flow = Flow(servers, tmp_path, topic=topic, group=group, root=zookeeper_root, prefix=key_prefix)
    flow.environment["REDIS_URL"] = f"redis+cluster://{cluster.addresses}"
    flow.environment |= with_call_timeout(flow.environment, 0.5)
    publisher = Publisher({"bootstrap.servers": kafka_server.address}, topic)

    def publish(number: int) -> None:
        for product in PRODUCTS:
            flow.publish_one(publisher, product, number)
        publisher.flush(60)

    def is_fresh(product: str) -> bool:
        slot = key_slot(f"{key_prefix}{product}".encode())
        at, sequence = flow.newest[product]
        with cluster.nodes[3 * slot // SLOTS].admin() as raw:
            return bool(raw.hget(f"{key_prefix}{product}", "version") == f"{at}-{sequence}".encode())

    silent = cluster.nodes[1]
    others = [p for p in PRODUCTS if 3 * key_slot(f"{key_prefix}{p}".encode()) // SLOTS != 1]
    assert 0 < len(others) < len(PRODUCTS)
    flow.cache = redis.RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port)  # type: ignore[assignment]
    with celery_worker(flow.environment, "-P", "threads", "-c", "8") as _, flow.bridge() as bridge:
        publish(1)
        flow.wait_until_all_is_committed()
        silent.pause()
        try:
            publish(2)
            wait_until(lambda: all(map(is_fresh, others)), what="the products of the other nodes")
            bridge.wait_for_log(f"cannot be asked about a part of what it holds: Redis at {silent.address}")
        finally:
            silent.resume()
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        # Each look misses a part; that is said when it begins, not at each.
        assert bridge.log.count("cannot be asked about a part") <= 3
    flow.close()
