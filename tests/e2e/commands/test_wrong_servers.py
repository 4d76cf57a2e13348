"""An address at which a server of another kind answers: the command ends in time, and says what might be wrong."""

import pytest

from servers import Reachable, Redis
from tests.commands import BRIDGE, run

SECONDS = {"LASTWORD_STARTUP_DEADLINE_S": "4", "LASTWORD_CREATE_TOPICS": "8"}


@pytest.mark.parametrize(
    ("setting", "form", "kind", "hint"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "{}", "Redis", "or what answers there is not Kafka"),
        (
            "KAFKA_BOOTSTRAP_SERVERS",
            "{}",
            "ZooKeeper",
            "LASTWORD_KAFKA_SECURITY_PROTOCOL (plaintext) what this port",
        ),
        ("REDIS_URL", "redis://{}/0", "Kafka", "Is it a Redis's port, with TLS"),
        ("REDIS_URL", "redis://{}/0", "ZooKeeper", "Is it a Redis's port, with TLS"),
        ("CELERY_BROKER_URL", "redis://{}/1", "Kafka", "is it a broker's port, with TLS"),
        ("CELERY_BROKER_URL", "amqp://{}//", "Kafka", "is it a broker's port, with TLS"),
        ("CELERY_BROKER_URL", "amqp://{}//", "Redis", "is it a broker's port, with TLS"),
    ],
)
def test_it_is_said_that_another_server_may_answer(
    given: dict[str, str],
    kafka_server: Reachable,
    own_redis: Redis,
    zookeeper_server: Reachable,
    setting: str,
    form: str,
    kind: str,
    hint: str,
) -> None:
    server = {"Kafka": kafka_server, "Redis": own_redis, "ZooKeeper": zookeeper_server}[kind]
    ended = run(BRIDGE, {**given, **SECONDS, setting: form.format(server.address)})
    assert ended.code == 3
    assert hint in ended.complaints[-1]
