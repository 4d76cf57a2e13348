"""Real servers for the tests, each started once per session by the first test that asks for it, and fresh names."""

import signal
import uuid
from collections.abc import Iterator

import pytest

from servers import Kafka, Redis, ZooKeeper
from tests.redis_forms import FORMS, RedisForm, fresh_prefix


def pytest_configure() -> None:
    # A shell without job control starts background jobs with SIGINT ignored; our children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session", params=FORMS)
def redis_form(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisForm]:
    """One after the other, every Redis on offer and every form of connecting to one."""
    with FORMS[request.param](tmp_path_factory.mktemp("redis-form")) as form:
        yield form


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
    return fresh_prefix()
