"""Real Kafka, ZooKeeper and Redis as child processes on loopback ports, without Docker: for tests, demo, benchmarks."""

from servers.addresses import Addresses, Reachable, ReachableRedis, running_servers
from servers.errors import ServerError
from servers.kafka import Kafka
from servers.kafka_security import KafkaSecurity
from servers.local import Servers
from servers.redis import Redis
from servers.zookeeper import ZooKeeper

__all__ = [
    "Addresses",
    "Kafka",
    "KafkaSecurity",
    "Reachable",
    "ReachableRedis",
    "Redis",
    "ServerError",
    "Servers",
    "ZooKeeper",
    "running_servers",
]
