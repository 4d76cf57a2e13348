"""Which tests run one after the other in one process, when several processes share them: those with the same servers.

Fixtures of a session live as long as their process, so that each process would come to run every server there is, most
of them idle. Three idle Kafkas alone take a sixth of a core.
"""

import re
from typing import Final

from xdist.scheduler import LoadScopeScheduling

SINGLY: Final = ("tests/e2e/", "tests/faults/")
"""Here most tests start what they need and take long: each goes where there is room."""

TOGETHER: Final = {
    "RabbitMQ": re.compile(r"\[rabbit|_rabbitmq\.py"),
    "Kafka of their own": re.compile(
        r"test_(external_servers|kafka_faults|publisher_faults|records_back|reading|rebalance|servers|topics|two_flows)\.py"
    ),
    "Kafka cluster": re.compile(r"test_(kafka_cluster_faults|topic_on_a_cluster)\.py"),
    "ZooKeeper ensemble": re.compile(r"test_ensemble_faults\.py"),
    "Kafka with TLS": re.compile(r"_security\.py|test_records_refused\.py"),
    "wheel": re.compile(r"test_(wheel|compose)\.py"),
    "Redis in its forms": re.compile(r"every_redis/|property/test_cache\.py"),
    "inspect": re.compile(r"test_inspect\.py"),
    "page": re.compile(r"test_shop_page\.py"),
    "Debezium": re.compile(r"test_cdc\.py"),
    "Debezium on MariaDB": re.compile(r"test_cdc_mariadb\.py"),
    "connectors": re.compile(r"test_connectors\.py"),
    "Java": re.compile(r"test_java_client\.py"),
}
"""What shares a server that is heavy, or much that is made beforehand."""


def group_of(nodeid: str) -> str:
    """The tests that go together with this one, by a name: its file, where nothing else is said."""
    for name, pattern in TOGETHER.items():
        if pattern.search(nodeid):
            return name
    return nodeid if nodeid.startswith(SINGLY) else nodeid.partition("::")[0]


class ByServers(LoadScopeScheduling):  # type: ignore[misc] # it has no types
    """Hands out the groups, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
