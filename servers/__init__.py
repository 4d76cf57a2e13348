"""Real Kafka, ZooKeeper and Redis as child processes on loopback ports, without Docker: for tests, demo, benchmarks."""

from lastword.process import interrupt

interrupt.stand_behind_import(__name__)

TYPE_CHECKING = False
if TYPE_CHECKING:
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

_HOMES = {
    "Addresses": "addresses",
    "ClusteredServers": "clustered",
    "Kafka": "kafka",
    "KafkaCluster": "kafka_cluster",
    "KafkaSecurity": "kafka_security",
    "Reachable": "addresses",
    "ReachableRedis": "addresses",
    "Redis": "redis",
    "RedisCluster": "redis_cluster",
    "RedisSentinels": "redis_sentinel",
    "ServerError": "errors",
    "Servers": "local",
    "Tls": "redis",
    "ZooKeeper": "zookeeper",
    "ZooKeeperEnsemble": "zookeeper_ensemble",
    "running_servers": "addresses",
}


def __getattr__(name: str) -> object:
    """Import what is asked for, and no more: Ctrl-C and the small commands need not wait for the rest."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"servers.{_HOMES[name]}"), name)
