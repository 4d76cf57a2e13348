"""Real servers for the tests, each started by the first test that asks for it, and fresh names.

One server runs to the end of the session; where there are several, or a heavy one, to the end of the module. All
processes of a session have one Kafka, but for the tests that break theirs.
"""

import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings

import celeryconfig  # noqa: F401 - names our transports to kombu before a test makes it remember its own
from servers import Addresses, Kafka, KafkaCluster, Reachable, ReachableRedis, Redis, ZooKeeper, ZooKeeperEnsemble
from servers.rabbitmq import RabbitMQ
from tests.celery_brokers import RabbitBroker, RedisBroker
from tests.external import OPTION, RedisAt, ServerAt, external_addresses
from tests.flow import Flow
from tests.programs import RABBITMQ
from tests.redis_forms import CORE_FORM, FORMS, RedisForm, fresh_prefix
from tests.schedule import ByServers
from tests.secured_kafka import SecuredKafka, new_security
from tests.shared_kafka import SharedKafka
from tests.worker_helpers import empty_broker

pytest_plugins = ["tests.left_out"]

# Beside a load anything may take long, drawing an example too.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

HERE = Path(__file__).parent
WHOLLY_CORE = (HERE / "unit", HERE / "property")

ADDRESSES = pytest.StashKey[Addresses | None]()
SHARED = pytest.StashKey[SharedKafka]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        OPTION,
        action="store_true",
        help="use the servers that KAFKA_BOOTSTRAP_SERVERS, ZOOKEEPER_HOSTS, REDIS_URL and CELERY_BROKER_URL name, "
        "except where a test stops, pauses or configures one. The broker's database must be empty, and is empty again "
        "in the end; topics, groups, znodes and keys whose names begin with test- stay behind",
    )


def pytest_configure(config: pytest.Config) -> None:
    # A shell without job control starts background jobs with SIGINT ignored; our children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[ADDRESSES] = external_addresses(config)
    config.stash[SHARED] = SharedKafka(getattr(config, "workerinput", {}).get("kafka"))


def pytest_unconfigure(config: pytest.Config) -> None:
    if SHARED in config.stash:
        config.stash[SHARED].close()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - xdist has no types
    """Before a process of the session is started: tell it where Kafka is."""
    if node.config.stash[ADDRESSES] is None:
        node.workerinput["kafka"] = node.config.stash[SHARED].address


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByServers:
    """Whatever ``--dist`` says: where several processes share the tests, those with the same servers stay together."""
    return ByServers(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that runs without a server is core: one of the tests of `make test`."""
    for item in items:
        without_server = "redis_form" not in getattr(item, "fixturenames", ())
        if without_server and any(item.path.is_relative_to(folder) for folder in WHOLLY_CORE):
            item.add_marker(pytest.mark.core)


@pytest.fixture(scope="session")
def addresses(pytestconfig: pytest.Config) -> Addresses | None:
    """Where the servers are that run already; None: there are none to use."""
    return pytestconfig.stash[ADDRESSES]


@pytest.fixture(scope="session")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis that a test may stop, pause and configure, and mends again."""
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(
    scope="session", params=[pytest.param(name, marks=pytest.mark.core if name == CORE_FORM else ()) for name in FORMS]
)
def redis_form(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisForm]:
    """One after the other, every Redis on offer and every form of connecting to one."""
    with FORMS[request.param](tmp_path_factory.mktemp("redis-form")) as form:
        yield form


@pytest.fixture(scope="session")
def own_zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    """A ZooKeeper that a test may stop and pause, and mends again."""
    with ZooKeeper(tmp_path_factory.mktemp("zookeeper")) as server:
        yield server


@pytest.fixture(scope="session")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A Kafka that a test may stop and pause, and mends again."""
    with Kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="module")
def running_zookeeper_ensemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperEnsemble]:
    """Three ZooKeepers for a module; a test asks for ``zookeeper_ensemble``."""
    with ZooKeeperEnsemble(tmp_path_factory.mktemp("zookeeper-ensemble")) as ensemble:
        yield ensemble


@pytest.fixture
def zookeeper_ensemble(running_zookeeper_ensemble: ZooKeeperEnsemble) -> Iterator[ZooKeeperEnsemble]:
    """Three ZooKeepers that a test may stop, kill and pause; all are mended before it and after it."""
    running_zookeeper_ensemble.mend()
    yield running_zookeeper_ensemble
    running_zookeeper_ensemble.mend()


@pytest.fixture(scope="module")
def running_kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Three Kafka nodes for a module; a test asks for ``kafka_cluster``."""
    with KafkaCluster(tmp_path_factory.mktemp("kafka-cluster")) as cluster:
        yield cluster


@pytest.fixture
def kafka_cluster(running_kafka_cluster: KafkaCluster) -> Iterator[KafkaCluster]:
    """Three Kafka nodes that a test may stop, kill and pause; before and after it all are mended and all in sync."""
    running_kafka_cluster.mend()
    yield running_kafka_cluster
    running_kafka_cluster.mend()


@pytest.fixture(scope="session")
def redis_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisBroker]:
    """A Redis for Celery alone: a test may break it, or the cache, and the other goes on; it mends it again."""
    with Redis(tmp_path_factory.mktemp("redis-broker")) as server:
        yield RedisBroker(server)


@pytest.fixture(scope="module")
def rabbit_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitBroker]:
    """A RabbitMQ that a test may stop, pause and configure, and mends again; its queue is empty, or is not there."""
    RABBITMQ.need()
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield RabbitBroker(server)


@pytest.fixture(scope="session")
def redis_server(request: pytest.FixtureRequest, addresses: Addresses | None) -> Iterator[ReachableRedis]:
    """A Redis that may be somebody else's; the broker's database is the tests' own."""
    if addresses is None:
        yield request.getfixturevalue("own_redis")
        return
    server = RedisAt(addresses)
    yield server
    empty_broker(server)


@pytest.fixture(scope="session")
def zookeeper_server(request: pytest.FixtureRequest, addresses: Addresses | None) -> Reachable:
    """A ZooKeeper that may be somebody else's."""
    return ServerAt(addresses.zookeeper) if addresses else cast("Reachable", request.getfixturevalue("own_zookeeper"))


@pytest.fixture(scope="session")
def kafka_server(pytestconfig: pytest.Config, addresses: Addresses | None) -> Iterator[Reachable]:
    """A Kafka that may be somebody else's, and is that of all tests."""
    shared = pytestconfig.stash[SHARED]
    yield ServerAt(addresses.kafka if addresses else shared.address)
    shared.close()


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
    return fresh_prefix()


@pytest.fixture(scope="module")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """Kafka with TLS, passwords and ACLs; user ``lastword`` may do nothing until a test allows it."""
    security = new_security(tmp_path_factory.mktemp("kafka-certificates"))
    with Kafka(tmp_path_factory.mktemp("secured-kafka"), security=security) as server:
        yield SecuredKafka(server, security)


@pytest.fixture
def flow_type() -> Callable[..., Flow]:
    """What makes the flow of a test."""
    return Flow


@pytest.fixture
def flow(
    flow_type: Callable[..., Flow],
    kafka_server: Reachable,
    redis_server: ReachableRedis,
    zookeeper_server: Reachable,
    tmp_path: Path,
    topic: str,
    group: str,
    zookeeper_root: str,
    key_prefix: str,
) -> Iterator[Flow]:
    empty_broker(redis_server)
    flow = flow_type(
        (kafka_server, redis_server, zookeeper_server),
        tmp_path,
        topic=topic,
        group=group,
        root=zookeeper_root,
        prefix=key_prefix,
    )
    yield flow
    flow.close()
