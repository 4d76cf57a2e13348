"""A replica without the last writes takes over, by Sentinels and in a Cluster; and `WAIT`, which prevents that."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from servers import Redis, RedisCluster, RedisSentinels
from servers.ports import free_port
from servers.redis_cluster import BUS
from servers.redis_sentinel import SERVICE
from tests.faults.figures import measured
from tests.faults.losses import COUNT, PRODUCTS, publish_and_confirm, wait_until_all_is_back
from tests.flow import Flow
from tests.injected.constants import with_call_timeout
from tests.pools import THREADS
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

UNDER = {True: "a bridge running", False: "a bridge started after"}


@pytest.fixture
def sentinels(tmp_path: Path, flow: Flow) -> Iterator[RedisSentinels]:
    """The flow's cache behind Sentinels."""
    with RedisSentinels(tmp_path / "sentinels") as sentinels:
        for sentinel in sentinels.sentinels:
            with sentinel.client() as raw:
                # A replica that was cut off for more than ten times as long would not be made the primary.
                raw.sentinel_set(SERVICE, "down-after-milliseconds", 3_000)
        flow.environment["REDIS_URL"] = f"redis+sentinel://{sentinels.addresses}/{SERVICE}"
        flow.environment |= with_call_timeout(flow.environment, 1)
        flow.read_from(redis.Redis(port=sentinels.primary.port))
        yield sentinels


def cut_off(primary: Redis, replica: Redis) -> None:
    """End the replication, once the replica has everything so far; a paused one would catch up from its buffers."""

    def state(server: Redis) -> dict[str, object]:
        with server.admin(decode_responses=True) as raw:
            return dict(raw.info("replication"))

    def is_behind() -> bool:
        return state(primary)["master_repl_offset"] != state(replica)["slave_repl_offset"]

    wait_until(lambda: not is_behind(), what="the replica is not behind")
    with replica.admin() as raw:
        raw.config_set("masteruser", "nobody")
        raw.config_set("masterauth", "wrong")
    with primary.admin() as raw:
        raw.client_kill_filter(_type="replica")
    wait_until(lambda: state(replica)["master_link_status"] == "down", what="the end of the replication")


@pytest.mark.parametrize("running", [True, False], ids=["bridge running", "no bridge"])
def test_failed_over_with_writes_lost(flow: Flow, sentinels: RedisSentinels, *, running: bool) -> None:
    with ExitStack() as stack:
        stack.enter_context(celery_worker(flow.environment, *THREADS))
        bridge = stack.enter_context(flow.bridge())
        publish_and_confirm(flow)
        cut_off(sentinels.primary, sentinels.replica)
        old = dict(flow.newest)
        publish_and_confirm(flow, seed=8)
        if not running:
            bridge.stop()
        with measured(flow, "Redis failed over by Sentinels, writes lost", under=UNDER[running]):
            flow.harvest()
            sentinels.primary.kill()
            fail_over(flow, sentinels)
            held = flow.held()
            assert held != flow.newest, "nothing was lost"
            if not running:
                assert held == old
                bridge = stack.enter_context(flow.bridge())
            bridge.wait_for_log("has lost what was written after that")
            wait_until_all_is_back(flow)


def fail_over(flow: Flow, sentinels: RedisSentinels) -> None:
    """Return when the replica is the primary, which the flow then reads."""
    flow.read_from(redis.Redis(port=sentinels.replica.port))
    wait_until(lambda: is_primary(sentinels.replica), what="the failover")


def is_primary(server: Redis) -> bool:
    try:
        with server.admin(decode_responses=True) as raw:
            return bool(raw.info("replication")["role"] == "master")
    except redis.RedisError:  # Sentinels end the connections of a server whose role they change
        return False


@pytest.mark.parametrize("stock", ["false", "true"])
def test_a_failover_that_loses_nothing_costs_nothing(flow: Flow, sentinels: RedisSentinels, stock: str) -> None:
    flow.environment["LASTWORD_STOCK"] = stock
    with celery_worker(flow.environment, *THREADS), flow.bridge() as bridge:
        publish_and_confirm(flow)
        flow.harvest()
        with sentinels.sentinels[0].client() as sentinel:
            sentinel.execute_command("SENTINEL FAILOVER", SERVICE)
        fail_over(flow, sentinels)
        # Until it is told so, the old primary goes on taking writes, which would be lost.
        wait_until(lambda: not is_primary(sentinels.primary), what="the old primary is a replica")
        flow.publish(COUNT // 4, PRODUCTS, seed=8)
        wait_until_all_is_back(flow)
    assert "goes back" not in bridge.log


def test_with_wait_nothing_is_committed_that_no_replica_has(flow: Flow, sentinels: RedisSentinels) -> None:
    with celery_worker(flow.environment, *THREADS), flow.bridge(LASTWORD_WAIT_REPLICAS="1") as bridge:
        publish_and_confirm(flow)
        sentinels.replica.pause()
        flow.publish(COUNT // 4, PRODUCTS, seed=8)
        wait_until(lambda: flow.held() == flow.newest, what="all written, on the primary alone")
        bridge.wait_for_log("0 replicas have what was written")
        before = flow.committed()
        bridge.wait_for_log("LASTWORD_WAIT_REPLICAS wants 1")
        assert flow.committed() == before
        sentinels.replica.resume()
        flow.wait_until_all_is_committed()


@pytest.fixture
def redis_cluster(tmp_path: Path, flow: Flow) -> Iterator[RedisCluster]:
    """The flow's cache in a Cluster."""
    with RedisCluster(tmp_path / "cluster") as redis_cluster:
        flow.environment["REDIS_URL"] = f"redis+cluster://{redis_cluster.addresses}"
        flow.environment |= with_call_timeout(flow.environment, 1)
        flow.read_from(redis.RedisCluster(host="127.0.0.1", port=redis_cluster.nodes[0].port))
        yield redis_cluster


@pytest.fixture
def replica(tmp_path: Path, redis_cluster: RedisCluster) -> Iterator[Redis]:
    """A replica of the Cluster's second node."""
    options = {
        "cluster-enabled": "yes",
        "cluster-node-timeout": "1000",
        "cluster-require-full-coverage": "no",
        "cluster-replica-validity-factor": "0",  # it may take over however long it was cut off
    }
    primary = redis_cluster.nodes[1]
    with (
        Redis(tmp_path / "replica", port=free_port(with_second=BUS), options=options) as replica,
        replica.admin() as raw,
    ):
        with primary.admin() as of:
            node = of.execute_command("CLUSTER MYID").decode()
        raw.execute_command("CLUSTER MEET", "127.0.0.1", primary.port)
        wait_until(lambda: node in str(raw.execute_command("CLUSTER NODES")), what="they have met")
        wait_until(lambda: replicate(raw, node), what="it may replicate")
        wait_until(lambda: raw.info("replication").get("master_link_status") == "up", what="the copy")
        yield replica


def replicate(raw: redis.Redis, node: str) -> bool:
    try:
        answer: object = raw.execute_command("CLUSTER REPLICATE", node)  # type: ignore[no-untyped-call]
        return bool(answer)
    except redis.ResponseError:  # it does not know the node's slots yet
        return False


@pytest.mark.parametrize("running", [True, False], ids=["bridge running", "no bridge"])
def test_a_replica_without_the_last_writes_takes_over_in_a_cluster(
    flow: Flow, redis_cluster: RedisCluster, replica: Redis, *, running: bool
) -> None:
    primary = redis_cluster.nodes[1]
    with ExitStack() as stack:
        stack.enter_context(celery_worker(flow.environment, *THREADS))
        bridge = stack.enter_context(flow.bridge())
        publish_and_confirm(flow)
        cut_off(primary, replica)
        publish_and_confirm(flow, seed=8)
        if not running:
            bridge.stop()
        with measured(flow, "Redis Cluster: a replica without the last writes takes over", under=UNDER[running]):
            flow.harvest()
            primary.kill()
            wait_until(lambda: is_primary(replica), what="the failover")
            assert flow.held() != flow.newest, "nothing was lost"
            if not running:
                bridge = stack.enter_context(flow.bridge())
            bridge.wait_for_log("has lost what was written after that")
            wait_until_all_is_back(flow)
        assert "Redis was emptied" not in bridge.log


@pytest.mark.parametrize("running", [True, False], ids=["bridge running", "no bridge"])
def test_a_node_of_a_cluster_comes_back_empty(flow: Flow, redis_cluster: RedisCluster, *, running: bool) -> None:
    with ExitStack() as stack:
        stack.enter_context(celery_worker(flow.environment, *THREADS))
        bridge = stack.enter_context(flow.bridge())
        publish_and_confirm(flow)
        if not running:
            bridge.stop()
        node = redis_cluster.nodes[2]
        with measured(flow, "Redis Cluster: a node comes back empty", under=UNDER[running]):
            flow.harvest()
            node.kill()
            for file in node.directory.rglob("*.rdb"):
                file.unlink()
            node.start()
            with node.admin() as raw:
                assert not re.search(r"keys=[1-9]", str(raw.execute_command("INFO", "keyspace"))), "it has lost nothing"
            if not running:
                bridge = stack.enter_context(flow.bridge())
            bridge.wait_for_log("Redis was emptied")
            wait_until_all_is_back(flow)
