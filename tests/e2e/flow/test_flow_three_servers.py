"""The whole flow on three ZooKeepers and three Kafka nodes, with topics that the bridge creates."""

import pytest
from confluent_kafka.admin import AdminClient

from servers import KafkaCluster, Reachable, ReachableRedis, Redis, ZooKeeperEnsemble
from tests.flow import PARTITIONS, Flow
from tests.worker_helpers import celery_worker


@pytest.fixture
def kafka_server(kafka_cluster: KafkaCluster) -> Reachable:
    return kafka_cluster


@pytest.fixture
def redis_server(own_redis: Redis) -> ReachableRedis:
    return own_redis


@pytest.fixture
def zookeeper_server(zookeeper_ensemble: ZooKeeperEnsemble) -> Reachable:
    return zookeeper_ensemble


def test_every_product_gets_its_newest_and_the_topics_have_the_clusters_replicas(
    flow: Flow, kafka_cluster: KafkaCluster
) -> None:
    with celery_worker(flow.environment), flow.bridge() as bridge:
        flow.publish(1_000, 200)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        assert bridge.stop() == 0
    topics = AdminClient({"bootstrap.servers": kafka_cluster.address}).list_topics(timeout=60).topics
    for name in (flow.topic, f"{flow.topic}-dlt"):
        assert [len(partition.replicas) for partition in topics[name].partitions.values()] == [3] * PARTITIONS
