"""Real servers for the tests, each started once per session by the first test that asks for it, and fresh names."""

import signal
import uuid
from collections.abc import Iterator

import pytest

from servers import Kafka, Redis, ZooKeeper
from tests.secured_kafka import SecuredKafka, new_security


def pytest_configure() -> None:
    # A shell without job control starts background jobs with SIGINT ignored; our children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def zookeeper_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    with ZooKeeper(tmp_path_factory.mktemp("zookeeper")) as server:
        yield server


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with Kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture
def topic() -> str:
    """A topic name no other test uses; the topic itself does not exist yet."""
    return f"test-{uuid.uuid4()}"


@pytest.fixture
def group() -> str:
    """A consumer group no other test uses."""
    return f"test-{uuid.uuid4()}"


@pytest.fixture
def zookeeper_root() -> str:
    """A znode path no other test uses; the znode itself does not exist yet."""
    return f"/test-{uuid.uuid4()}"


@pytest.fixture
def key_prefix() -> str:
    """A prefix of Redis keys no other test uses."""
    return f"test-{uuid.uuid4()}:"


@pytest.fixture(scope="session")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """Kafka with TLS, passwords and ACLs; user ``lastword`` may do nothing until a test allows it."""
    security = new_security(tmp_path_factory.mktemp("kafka-certificates"))
    with Kafka(tmp_path_factory.mktemp("secured-kafka"), security=security) as server:
        yield SecuredKafka(server, security)
