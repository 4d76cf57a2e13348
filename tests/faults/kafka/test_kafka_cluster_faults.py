"""One of three Kafka nodes killed, and all restarted in turn, under load."""

from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient

from lastword.kafka.coordinator import ask
from servers import KafkaCluster
from servers.kafka_cluster import KafkaNode
from tests.faults.figures import measured
from tests.faults.load import Load
from tests.flow import Flow
from tests.pools import GROUP
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker


@pytest.fixture
def kafka_server(kafka_cluster: KafkaCluster) -> KafkaCluster:
    """The flow's Kafka is the cluster."""
    return kafka_cluster


def leader(cluster: KafkaCluster, flow: Flow) -> KafkaNode:
    return cluster.leader_of(flow.topic, 0)


def coordinator(cluster: KafkaCluster, flow: Flow) -> KafkaNode:
    """Whoever answers for the group; a new one first reads the group's past, and answers nothing meanwhile."""
    admin = AdminClient({"bootstrap.servers": cluster.address})

    def found() -> KafkaNode | None:
        group = ask(lambda: admin.describe_consumer_groups([flow.group])[flow.group].result(120))
        return next((node for node in cluster.nodes if node.node_id == group.coordinator.id), None)

    return wait_until(found, what="the group's coordinator")


def controller(cluster: KafkaCluster, flow: Flow) -> KafkaNode:
    del flow
    return cluster.controller


@pytest.mark.parametrize(
    ("role", "find"),
    [
        pytest.param("the leader of a partition", leader, id="leader"),
        pytest.param("the group's coordinator", coordinator, id="coordinator"),
        pytest.param("the active controller", controller, id="controller"),
    ],
)
def test_a_node_killed_under_load(
    flow: Flow, kafka_cluster: KafkaCluster, role: str, find: Callable[[KafkaCluster, Flow], KafkaNode]
) -> None:
    with celery_worker(flow.environment, *GROUP), flow.bridge() as bridge, Load(flow) as changes:
        changes.wait_until_flowing()
        node = find(kafka_cluster, flow)
        with measured(flow, "Kafka node of three killed (-9)", under=role) as measurement:
            node.kill()
            bridge.wait_for_log(f"127.0.0.1:{node.port}")
            changes.wait_until_flowing()
            measurement.taken_over()
            assert find(kafka_cluster, flow) is not node, "another has its role"
            changes.stop()
            flow.wait_until_fresh()
            assert not node.running
        flow.wait_until_all_is_committed()
        assert bridge.exit_code is None


def test_all_nodes_restarted_in_turn_under_load(flow: Flow, kafka_cluster: KafkaCluster) -> None:
    with celery_worker(flow.environment, *GROUP), flow.bridge() as bridge, Load(flow) as changes:
        changes.wait_until_flowing()
        with measured(flow, "Kafka, three nodes, all restarted in turn", under="group") as measurement:
            before = [node.pid for node in kafka_cluster.nodes]
            for node in kafka_cluster.nodes:
                node.restart()
                kafka_cluster.join()
                changes.wait_until_flowing()
            assert not set(before) & {node.pid for node in kafka_cluster.nodes}
            measurement.over()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        assert bridge.exit_code is None
