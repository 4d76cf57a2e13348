"""Three ZooKeepers and three Kafka nodes: they form, bear the loss of one, take it in again, and keep their data."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]  # public, not marked
from confluent_kafka.cimpl import NewTopic

from servers import KafkaCluster, ServerError, ZooKeeperEnsemble
from servers.errors import IdentityError
from servers.server import Server
from tests.kafka_helpers import Given, produce, read, values
from tests.waiting import wait_until
from tests.zookeeper_clients import zookeeper_client


def wait_for_another(now: Callable[[], Server], old: Server) -> None:
    """Return when one leads, and it is not the old one."""

    def is_another() -> bool:
        try:
            return now() is not old
        except ServerError:  # nobody leads
            return False

    wait_until(is_another, what=f"another than {old.name}")


def create_replicated(cluster: KafkaCluster, topic: str) -> None:
    """A topic made as the bridge makes one: nobody says how many replicas."""

    def create() -> bool:
        # A client that was told of a controller which is gone asks it for a minute; the next one asks another.
        admin = AdminClient({"bootstrap.servers": cluster.address})
        try:
            admin.create_topics([NewTopic(topic, num_partitions=2)])[topic].result(120)
        except KafkaException as error:
            if error.args[0].code() not in {KafkaError._TIMED_OUT, KafkaError.TOPIC_ALREADY_EXISTS}:
                raise
        return topic in admin.list_topics(timeout=60).topics

    wait_until(create, deadline_s=400, what=f"topic {topic}")


def test_an_ensemble_has_one_leader_and_elects_another_when_that_is_killed(
    zookeeper_ensemble: ZooKeeperEnsemble, zookeeper_root: str
) -> None:
    leader = zookeeper_ensemble.leader
    assert len(zookeeper_ensemble.followers) == 2
    with zookeeper_client(zookeeper_ensemble.address) as client:
        client.create(zookeeper_root, b"1")
    leader.kill()
    with zookeeper_client(zookeeper_ensemble.address) as client:
        client.set(zookeeper_root, b"2")
    wait_for_another(lambda: zookeeper_ensemble.leader, leader)

    leader.start()
    assert leader in zookeeper_ensemble.followers
    with zookeeper_client(leader.address) as client:
        client.sync(zookeeper_root)
        assert client.get(zookeeper_root)[0] == b"2"


def test_an_ensemble_without_its_majority_has_no_leader_until_it_is_mended(
    zookeeper_ensemble: ZooKeeperEnsemble,
) -> None:
    leader = zookeeper_ensemble.leader
    for follower in zookeeper_ensemble.followers:
        follower.pause()
    wait_until(lambda: not leader.leads, what="a leader that has lost its followers to step down")
    with pytest.raises(ServerError, match="No ZooKeeper leads"):
        _ = zookeeper_ensemble.leader
    zookeeper_ensemble.mend()
    assert len(zookeeper_ensemble.followers) == 2


def test_an_ensemble_keeps_its_data_when_all_are_restarted(
    zookeeper_ensemble: ZooKeeperEnsemble, zookeeper_root: str
) -> None:
    with zookeeper_client(zookeeper_ensemble.address) as client:
        client.create(zookeeper_root, b"1")
    zookeeper_ensemble.stop()
    zookeeper_ensemble.start()
    with zookeeper_client(zookeeper_ensemble.address) as client:
        assert client.get(zookeeper_root)[0] == b"1"


def test_a_topic_has_three_replicas_and_wants_two_in_sync(kafka_cluster: KafkaCluster, topic: str) -> None:
    create_replicated(kafka_cluster, topic)
    produce(kafka_cluster.address, topic, [Given(value=b"1")])
    admin = AdminClient({"bootstrap.servers": kafka_cluster.address})
    for partition in admin.list_topics(topic, timeout=60).topics[topic].partitions.values():
        assert len(partition.replicas) == 3
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    assert admin.describe_configs([resource])[resource].result(120)["min.insync.replicas"].value == "2"


def test_a_cluster_bears_the_loss_of_a_partitions_leader_and_takes_it_in_again(
    kafka_cluster: KafkaCluster, topic: str
) -> None:
    create_replicated(kafka_cluster, topic)
    leader = kafka_cluster.leader_of(topic)
    produce(kafka_cluster.address, topic, [Given(value=b"1")])
    leader.kill()
    produce(kafka_cluster.address, topic, [Given(value=b"2")])
    assert kafka_cluster.leader_of(topic) is not leader
    leader.start()
    kafka_cluster.join()
    assert values(read(leader.address, topic, 2)) == [b"1", b"2"]


def test_a_cluster_elects_another_controller_when_the_active_one_is_killed(
    kafka_cluster: KafkaCluster, topic: str
) -> None:
    controller = kafka_cluster.controller
    controller.kill()
    wait_for_another(lambda: kafka_cluster.controller, controller)
    create_replicated(kafka_cluster, topic)
    controller.start()
    kafka_cluster.join()


def test_a_paused_controller_is_replaced(kafka_cluster: KafkaCluster) -> None:
    controller = kafka_cluster.controller
    controller.pause()
    wait_for_another(lambda: kafka_cluster.controller, controller)


def test_a_cluster_keeps_its_records_when_all_nodes_are_restarted(kafka_cluster: KafkaCluster, topic: str) -> None:
    create_replicated(kafka_cluster, topic)
    produce(kafka_cluster.address, topic, [Given(value=b"1")])
    kafka_cluster.stop()
    kafka_cluster.start()
    assert values(read(kafka_cluster.address, topic, 1)) == [b"1"]


def test_a_node_whose_directory_was_lost_is_filled_by_the_others(kafka_cluster: KafkaCluster, topic: str) -> None:
    create_replicated(kafka_cluster, topic)
    produce(kafka_cluster.address, topic, [Given(value=b"1")])
    node = kafka_cluster.leader_of(topic)
    node.kill()
    shutil.rmtree(node.directory)
    node.start()
    kafka_cluster.join()
    other = next(each for each in kafka_cluster.nodes if each is not node)
    other.kill()
    assert values(read(kafka_cluster.address, topic, 1)) == [b"1"]


def test_an_id_that_is_given_twice_is_named_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match=r"Two servers .* Kafka node id \(broker\.id\) 2; given: 1, 2, 2\. Each"):
        KafkaCluster(tmp_path, ids=(1, 2, 2))
    with pytest.raises(IdentityError, match=r"Two servers .* ZooKeeper id \(myid\) 1; given: 1, 1, 3\. Each"):
        ZooKeeperEnsemble(tmp_path, ids=(1, 1, 3))
    with pytest.raises(IdentityError, match=r"No server can have .* 256; .* from 0 to 255"):
        KafkaCluster(tmp_path, ids=(0, 1, 256))
    assert not list(tmp_path.iterdir())


def test_a_kafka_directory_of_another_node_or_cluster_is_refused(kafka_cluster: KafkaCluster, tmp_path: Path) -> None:
    first, second, _ = kafka_cluster.nodes
    shutil.copytree(first.directory / "data", tmp_path / "kafka-2" / "data")
    with pytest.raises(IdentityError, match=r"kafka-2 does not start: .* another node\. .*node\.id=1, .*node\.id=2\."):
        KafkaCluster(tmp_path)["kafka-2"].launch()

    meta = first.directory / "data" / "meta.properties"
    own = meta.read_text()
    first.stop()
    meta.write_text(own.replace(second._cluster_id, "another"))
    try:
        with pytest.raises(IdentityError, match=r"kafka-1 does not start: .* another cluster\. .*cluster\.id=another"):
            first.start()
    finally:
        meta.write_text(own)
    assert not first.running


def test_other_ports_or_ids_than_the_data_knows_are_refused(kafka_cluster: KafkaCluster, tmp_path: Path) -> None:
    shutil.copytree(kafka_cluster.nodes[0].directory, tmp_path / "kafka-1")
    with pytest.raises(
        IdentityError, match=r"kafka-1 does not start: its data knows .* 1@.*, and now they would be 1@"
    ):
        KafkaCluster(tmp_path)["kafka-1"].launch()


def test_a_zookeeper_directory_of_another_server_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "zookeeper-2" / "data"
    data.mkdir(parents=True)
    (data / "myid").write_text("1\n")
    ensemble = ZooKeeperEnsemble(tmp_path)
    with pytest.raises(IdentityError, match=rf"zookeeper-2 does not start: .*{data}/myid says 1, .*the id 2\. Put"):
        ensemble.start()
    assert not (tmp_path / "zookeeper-1").exists()


def test_a_name_nobody_has_is_answered_with_the_names_there_are(tmp_path: Path) -> None:
    ensemble = ZooKeeperEnsemble(tmp_path)
    assert ensemble["ZooKeeper-2"] is ensemble.members[1]
    with pytest.raises(ServerError, match=r"no server 'zk'; there are zookeeper-1, zookeeper-2, zookeeper-3"):
        _ = ensemble["zk"]
