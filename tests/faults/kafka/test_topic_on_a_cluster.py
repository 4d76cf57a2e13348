"""A topic on three Kafka nodes: made anew though one of them has not heard of it, and cut off by an unclean election.

A history is keyed by offsets, which mean two things here.
"""

from collections.abc import Callable, Sequence

import pytest

from bridge.delivery.rewind import MADE_ANEW
from servers import KafkaCluster, ServerError
from servers.kafka_cluster import KafkaNode
from tests.faults.figures import measured
from tests.faults.kafka.topics import MORE, OLD, Administrator, Topics
from tests.faults.load import publish
from tests.flow import PARTITIONS, Flow
from tests.kafka_helpers import create_topic
from tests.pools import GROUP
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker


@pytest.fixture
def kafka_server(kafka_cluster: KafkaCluster) -> KafkaCluster:
    """The flow's Kafka is the cluster."""
    return kafka_cluster


@pytest.fixture
def flow_type() -> Callable[..., Flow]:
    return Flow


def test_made_anew_while_a_node_is_away_that_knows_the_one_before(flow: Flow, kafka_cluster: KafkaCluster) -> None:
    topics = Topics(flow)
    behind = next(node for node in kafka_cluster.nodes if node is not kafka_cluster.controller)
    others = [node for node in kafka_cluster.nodes if node is not behind]
    administrator = Administrator(addresses(others))
    create_on(others, flow.topic)
    with celery_worker(flow.environment, *GROUP), flow.bridge() as bridge:
        publish(flow, *OLD, number=1)
        topics.wait_until_all_is_read()
        with measured(flow, "the topic made anew on three Kafka nodes", under="one of them killed meanwhile"):
            behind.kill()
            administrator.delete(flow.topic)
            create_on(others, flow.topic)
            behind.start()
            publish(flow, *MORE, number=2)
            topics.wait_until_all_is_read()
        bridge.wait_for_log(MADE_ANEW)
        assert bridge.exit_code is None


def test_records_that_an_unclean_election_loses_are_said_and_what_comes_in_their_place_is_read(
    flow: Flow, kafka_cluster: KafkaCluster
) -> None:
    """Where nobody who has all of it is left, Kafka may go on with a node that was away: offsets are given again."""
    topics = Topics(flow)
    first, second = kafka_cluster.nodes[:2]
    create_on([first, second], flow.topic, **{"unclean.leader.election.enable": "true", "min.insync.replicas": "1"})
    with celery_worker(flow.environment, *GROUP), flow.bridge() as bridge:
        publish(flow, *OLD, number=1)
        topics.wait_until_all_is_read()
        with measured(flow, "an unclean election: Kafka's last records are lost", under="the bridge runs"):
            second.kill()
            publish(flow, *MORE, number=2)
            topics.wait_until_all_is_read()
            first.kill()
            second.start()
            wait_until(lambda: leads(second, kafka_cluster, flow.topic), what="the one that was away to lead")
            publish(flow, *OLD, number=3)
            topics.wait_until_all_is_read()
        bridge.wait_for_log("Kafka has lost its last records")
        assert bridge.exit_code is None
        first.start()
        publish(flow, *MORE, number=4)
        topics.wait_until_all_is_read()


def leads(node: KafkaNode, cluster: KafkaCluster, topic: str) -> bool:
    try:
        return cluster.leader_of(topic) is node
    except ServerError:  # nobody does yet
        return False


def addresses(nodes: Sequence[KafkaNode]) -> str:
    return ",".join(node.address for node in nodes)


def create_on(nodes: Sequence[KafkaNode], topic: str, **config: str) -> None:
    create_topic(addresses(nodes), topic, PARTITIONS, config=config, nodes=[node.node_id for node in nodes])
