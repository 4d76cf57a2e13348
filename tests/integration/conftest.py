"""What several tests of the adapters start from."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from lastword.cache.cache import Cache
from servers import Reachable, ReachableRedis, Redis
from tasks.lock.locks import Locks
from tests.kafka_helpers import Member, create_topic
from tests.lock_helpers import open_locks
from tests.task_helpers import Running, Site, TaskLog
from tests.terminal import Terminal


@pytest.fixture
def raw(redis_server: ReachableRedis) -> Iterator[redis.Redis]:
    """Redis without the project's cache in between."""
    with redis.Redis.from_url(redis_server.url()) as client:
        yield client


@pytest.fixture
def cache(redis_server: ReachableRedis, key_prefix: str) -> Iterator[Cache]:
    cache = Cache.connect(redis_server.url(), key_prefix=key_prefix)
    yield cache
    cache.close()


@pytest.fixture
def locks(zookeeper_server: Reachable, zookeeper_root: str) -> Iterator[Locks]:
    with open_locks(zookeeper_server.address, zookeeper_root) as locks:
        yield locks


@pytest.fixture(scope="module")
def cache_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis for the cache alone, which may fail without the Celery broker."""
    with Redis(tmp_path_factory.mktemp("cache")) as server:
        yield server


@pytest.fixture
def site(running: Running) -> Site:
    """What the worker works on that a module runs for its tests."""
    return running.site


@pytest.fixture
def log(running: Running) -> TaskLog:
    """What that worker says of its tasks."""
    return TaskLog(running.worker)


@pytest.fixture
def address(kafka_server: Reachable, topic: str) -> str:
    """Kafka's address; the topic is there, with one partition."""
    create_topic(kafka_server.address, topic)
    return kafka_server.address


@pytest.fixture
def member(address: str, topic: str, group: str) -> Iterator[Member]:
    with Member(address, topic, group) as member:
        yield member


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    terminals: list[Terminal] = []

    def open_terminal(**environment: str) -> Terminal:
        terminals.append(Terminal(tmp_path / "state", **environment))
        return terminals[-1]

    yield open_terminal
    for each in terminals:
        if each.up is not None:
            each.up.kill()
            each.up.wait(120)
