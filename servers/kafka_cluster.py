"""A Kafka cluster as child processes: every node is broker and controller in one."""

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata  # type: ignore[attr-defined]  # public, not marked

from servers.errors import ServerError
from servers.group import Group, await_state
from servers.identity import check_ids, kafka_id, refuse_other_voters, stored_in_kafka
from servers.kafka import DATA, Kafka, silent
from servers.ports import LOOPBACK, free_port
from servers.server import Server

REPLICAS = 3
IN_SYNC = 2
METADATA_TIMEOUT_S = 5.0
NO_ELECTION = (0, -1)


@dataclass(frozen=True)
class KafkaPorts:
    """Where a node listens: for clients and brokers, and for controllers."""

    client: int
    controller: int

    @classmethod
    def drawn(cls) -> Self:
        """Free ones."""
        return cls(free_port(), free_port())


class KafkaNode(Kafka):
    """One node of a cluster; it answers once the cluster has taken it in as a broker."""

    def __init__(self, directory: Path, node_id: int, cluster: Mapping[int, KafkaPorts], *, cluster_id: str) -> None:
        own = cluster[node_id]
        super().__init__(directory, port=own.client, controller_port=own.controller, name=f"kafka-{node_id}")
        self.node_id = node_id
        self._cluster = cluster
        self._cluster_id = cluster_id
        # Kafka keeps them in its log, where it would look for them for ever; here they can be read.
        self._known_voters = self.directory / "voters"
        self._voters = ",".join(f"{each}@{LOOPBACK}:{at.controller}" for each, at in cluster.items())

    @property
    def election(self) -> tuple[int, int]:
        """The latest election of a controller that it knows of: its epoch, and which node won; -1 while none has."""
        return read_election(self.directory)

    def check_data(self) -> None:
        """Raise IdentityError when the data is another node's or cluster's, or was begun with other ids or ports."""
        super().check_data()
        if stored_in_kafka(self._data) and self._known_voters.exists():
            refuse_other_voters(self.name, self._known_voters.read_text(encoding="utf-8"), self._voters)

    def _prepare(self) -> Sequence[str | Path]:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._known_voters.write_text(self._voters, encoding="utf-8")
        return super()._prepare()

    def _identity(self) -> dict[str, str]:
        return super()._identity() | {"cluster.id": self._cluster_id}

    def _format_arguments(self) -> list[str]:
        voters = (f"{each}@{LOOPBACK}:{at.controller}:{self._directory_id(each)}" for each, at in self._cluster.items())
        return [f"--initial-controllers={','.join(voters)}", f"--cluster-id={self._cluster_id}"]

    def _directory_id(self, node_id: int) -> str:
        # Always the same, so that the others know a node again though its directory was lost.
        return kafka_id(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._cluster_id} {node_id}"))

    def _settings(self, controller_port: int) -> dict[str, str | int | Path]:
        controllers = (f"{LOOPBACK}:{at.controller}" for at in self._cluster.values())
        return super()._settings(controller_port) | {
            "controller.quorum.bootstrap.servers": ",".join(controllers),
            "default.replication.factor": REPLICAS,
            "min.insync.replicas": IN_SYNC,
            "metadata.max.idle.interval.ms": 500,  # Kafka's default: by it the others see how far one has come
            "offsets.topic.replication.factor": REPLICAS,
            "transaction.state.log.replication.factor": REPLICAS,
            "transaction.state.log.min.isr": IN_SYNC,
            "share.coordinator.state.topic.replication.factor": REPLICAS,
            "share.coordinator.state.topic.min.isr": IN_SYNC,
        }


class KafkaCluster(Group):
    """Three Kafka nodes, of which one may be lost: every topic has three replicas, of which two must be in sync.

    ``ids``: the node id that each keeps for as long as its data. ``ports``: where each listens; None draws free ones.
    IdentityError when an id is given twice.
    """

    def __init__(
        self, directory: Path, *, ids: Sequence[int] = (1, 2, 3), ports: Sequence[KafkaPorts] | None = None
    ) -> None:
        check_ids("Kafka node id (broker.id)", ids)
        cluster = dict(zip(ids, ports or [KafkaPorts.drawn() for _ in ids], strict=True))
        directories = {each: directory / f"kafka-{each}" for each in ids}
        cluster_id = _cluster_id(each / DATA for each in directories.values())
        self.nodes = [KafkaNode(directories[each], each, cluster, cluster_id=cluster_id) for each in ids]

    def __iter__(self) -> Iterator[Server]:
        yield from self.nodes

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT,…`` of all nodes, as clients want it."""
        return ",".join(node.address for node in self.nodes)

    @property
    def controller(self) -> KafkaNode:
        """The node whose controller is the active one; ServerError while there is none."""
        _, winner = max((node.election for node in self.nodes if node.running), default=NO_ELECTION)
        return self._node(winner, "the active controller")

    def leader_of(self, topic: str, partition: int = 0) -> KafkaNode:
        """The node that leads a partition; ServerError while none does."""
        metadata = self._metadata(self.address)
        found = metadata.topics[topic].partitions.get(partition) if topic in metadata.topics else None
        return self._node(found.leader if found else -1, f"leader of {topic}[{partition}]")

    def join(self) -> None:
        """Return when every node knows all the others, and every replica is in sync."""
        await_state(self._is_whole, "the Kafka cluster, all its nodes in and all replicas in sync")

    def _is_whole(self) -> bool:
        try:
            seen = [self._metadata(node.address) for node in self.nodes]
        except KafkaException:
            return False
        partitions = [each for topic in seen[0].topics.values() for each in topic.partitions.values()]
        return all(len(one.brokers) == len(self.nodes) for one in seen) and all(
            len(each.isrs) == len(each.replicas) for each in partitions
        )

    def _metadata(self, address: str) -> ClusterMetadata:
        admin = AdminClient({"bootstrap.servers": address}, logger=silent)
        return admin.list_topics(timeout=METADATA_TIMEOUT_S)

    def _node(self, node_id: int, what: str) -> KafkaNode:
        for node in self.nodes:
            if node.node_id == node_id and node.running:
                return node
        raise ServerError(f"No Kafka node is {what} now: fewer than half of them run, or they have not voted yet")


def read_election(directory: Path) -> tuple[int, int]:
    """The latest election of a controller that the node of this directory knows of: epoch, and winner or -1.

    It is what Kafka itself keeps of it: clients are told some broker's id in place of the controller's.
    """
    try:
        state = json.loads((directory / DATA / "__cluster_metadata-0" / "quorum-state").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # no election yet, or the file is just being written
        return NO_ELECTION
    return int(state["leaderEpoch"]), int(state["leaderId"])


def _cluster_id(data: Iterable[Path]) -> str:
    """The id of the cluster that most of these nodes' data belongs to; a new one where there is no data yet."""
    found = Counter(stored["cluster.id"] for stored in map(stored_in_kafka, data) if "cluster.id" in stored)
    return found.most_common(1)[0][0] if found else kafka_id(uuid.uuid4())
