"""Real Kafka, ZooKeeper and Redis as child processes on loopback ports, without Docker: for tests, demo, benchmarks."""

from servers.addresses import Addresses, Reachable, ReachableRedis, running_servers
from servers.clustered import ClusteredServers
from servers.errors import ServerError
from servers.kafka import Kafka
from servers.kafka_cluster import KafkaCluster
from servers.kafka_security import KafkaSecurity
from servers.local import Servers
from servers.redis import Redis, Tls
from servers.redis_cluster import RedisCluster
from servers.redis_sentinel import RedisSentinels
from servers.zookeeper import ZooKeeper
from servers.zookeeper_ensemble import ZooKeeperEnsemble

__all__ = [
    "Addresses",
    "ClusteredServers",
    "Kafka",
    "KafkaCluster",
    "KafkaSecurity",
    "Reachable",
    "ReachableRedis",
    "Redis",
    "RedisCluster",
    "RedisSentinels",
    "ServerError",
    "Servers",
    "Tls",
    "ZooKeeper",
    "ZooKeeperEnsemble",
    "running_servers",
]
