"""An address at which a server of another kind answers: the command ends in time, and says what might be wrong."""

import pytest

from servers import Reachable, ReachableRedis
from tests.commands import BRIDGE, run

SECONDS = {"LASTWORD_STARTUP_DEADLINE_S": "4", "LASTWORD_CREATE_TOPICS": "true"}


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
    kafka_server: Reachable,
    redis_server: ReachableRedis,
    zookeeper_server: Reachable,
    setting: str,
    form: str,
    kind: str,
    hint: str,
) -> None:
    right = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_server.address,
        "ZOOKEEPER_HOSTS": zookeeper_server.address,
        "REDIS_URL": redis_server.url(),
        "CELERY_BROKER_URL": redis_server.url(1),
    }
    wrong = {"Redis": redis_server.url().split("/")[2].split("@")[-1], "Kafka": kafka_server.address}.get(
        kind, zookeeper_server.address
    )
    ended = run(BRIDGE, {**right, **SECONDS, setting: form.format(wrong)})
    assert ended.code == 3
    assert hint in ended.complaints[-1]
