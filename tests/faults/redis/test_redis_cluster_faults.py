"""One of three shards of the cache's Redis Cluster down for long, while the others go on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.crc import key_slot

from lastword.publisher.publisher import Publisher
from servers import RedisCluster
from servers.redis_cluster import SLOTS
from tests.celery_brokers import RedisBroker
from tests.faults.dead_letters import count_letters
from tests.faults.figures import measured
from tests.flow import Flow
from tests.injected.constants import with_call_timeout
from tests.pools import THREADS
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

SHARD_DOWN_S = 40.0  # the others must flow all the while
PRODUCTS = [f"p{number}" for number in range(30)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path / "cluster") as cluster:
        yield cluster


@pytest.mark.parametrize("stock", ["false", "true"])
def test_one_shard_down_and_the_products_of_the_others_flow(
    cluster: RedisCluster, flow: Flow, redis_broker: RedisBroker, stock: str
) -> None:
    flow.environment["LASTWORD_STOCK"] = stock
    flow.environment["CELERY_BROKER_URL"] = redis_broker.url
    flow.environment["REDIS_URL"] = f"redis+cluster://{cluster.addresses}"
    flow.environment |= with_call_timeout(flow.environment, 0.5)
    flow.read_from(redis.RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port))
    down = cluster.nodes[1]
    others = [product for product in PRODUCTS if shard(flow, product) != 1]
    assert 5 < len(others) < 25
    publisher = Publisher({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]}, flow.topic)

    def publish(number: int) -> None:
        for product in PRODUCTS:
            flow.publish_one(publisher, product, number)
        publisher.flush(60)

    def others_are_fresh() -> bool:
        with cluster.nodes[0].admin() as first, cluster.nodes[2].admin() as third:
            held = [(third if shard(flow, p) else first).hget(f"{flow.prefix}{p}", "version") for p in others]
        return held == ["{}-{}".format(*flow.newest[product]).encode() for product in others]

    with celery_worker(flow.environment, *THREADS), flow.bridge() as bridge:
        publish(1)
        flow.wait_until_fresh()
        with measured(
            flow, "one of three shards of the Redis Cluster down", under="stock" if stock == "true" else "threads"
        ) as measurement:
            down.stop()
            rounds = 1
            while measurement.since_s < SHARD_DOWN_S:
                rounds += 1
                publish(rounds)
                wait_until(others_are_fresh, what="the products of the other shards, while one is down")
            assert rounds > 5
            assert not down.running
            assert f"Redis at {down.address}" in bridge.log
            down.start()
            measurement.over()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    publisher.close(60)
    assert count_letters(flow) == 0
    redis_broker.wipe()


def shard(flow: Flow, product: str) -> int:
    return 3 * key_slot(f"{flow.prefix}{product}".encode()) // SLOTS
