"""docker-compose.yml and Dockerfile: what they promise, and our services run as they say, from the wheel."""

import re
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flower.options import default_options

from lastword.settings.bridge import BridgeSettings
from lastword.settings.environment import environment_names
from lastword.settings.shared import TaskSettings
from servers import KafkaCluster, Reachable, Redis, ZooKeeper
from servers.ports import free_port
from tests.e2e.conftest import Install
from tests.e2e.newcomer.compose import OURS, Service, dockerfile, read_services, seconds, services
from tests.flow import PARTITIONS, Flow
from tests.flower_helpers import http_get
from tests.worker_helpers import REPOSITORY

SERVICES = read_services()
THREE = {server: [f"{server}-{number}" for number in (1, 2, 3)] for server in ("zookeeper", "kafka")}
OF_THE_CLUSTER = ["cluster-worker", "cluster-bridge"]
KAFKA_DRAIN_S = 10  # what leaving Kafka may take, beyond the bridge's own deadline

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())


@each_service
def test_every_service_is_pinned_watched_restarted_and_has_few_rights(service: dict[str, Any]) -> None:
    assert re.search(r":\d+\.\d+\.\d+$", service["image"])
    assert service["restart"] == "unless-stopped"
    assert service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"test", "interval", "timeout", "retries", "start_period"} <= service["healthcheck"].keys()
    assert service["stop_grace_period"]
    assert "privileged" not in service
    ours = service["image"].startswith("lastword:")  # its user is the image's
    assert ours or service["user"] not in {"root", "0"}


@each_service
def test_nothing_is_published_beyond_this_machine(service: dict[str, Any]) -> None:
    assert service.get("network_mode") is None
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("worker", {"zookeeper", "redis"}),
        ("bridge", {"kafka", "redis"}),
        ("flower", {"redis"}),
        ("cluster-worker", {*THREE["zookeeper"], "redis"}),
        ("cluster-bridge", {*THREE["kafka"], "redis"}),
        ("redis-replica", {"redis"}),
    ],
)
def test_a_service_waits_until_those_it_needs_are_healthy(name: str, needed: set[str]) -> None:
    waits = SERVICES[name]["depends_on"]
    assert {other for other in waits if waits[other] == {"condition": "service_healthy"}} == needed


@pytest.mark.parametrize("name", [*OURS, *OF_THE_CLUSTER])
def test_each_name_in_the_environment_is_a_setting(name: str) -> None:
    known = environment_names([BridgeSettings, TaskSettings]) | {"CELERY_BROKER_URL", "XDG_STATE_HOME"}
    known |= {f"FLOWER_{option.upper().replace('-', '_')}" for option in default_options.as_dict()}
    assert SERVICES[name]["environment"].keys() <= known


def test_without_the_profile_there_is_one_of_each_and_with_it_the_cluster() -> None:
    alone = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert alone == {"kafka", "zookeeper", "redis", *OURS}
    of_the_cluster = {*THREE["zookeeper"], *THREE["kafka"], "redis-replica", *OF_THE_CLUSTER}
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["cluster"]} == of_the_cluster
    published = [port.rpartition(":")[0] for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(set(published)) == len(published)


def test_the_clusters_services_have_its_addresses() -> None:
    for name in OF_THE_CLUSTER:
        given = SERVICES[name]["environment"]
        assert given["KAFKA_BOOTSTRAP_SERVERS"] == ",".join(f"{node}:9092" for node in THREE["kafka"])
        assert given["ZOOKEEPER_HOSTS"] == ",".join(f"{member}:2181" for member in THREE["zookeeper"])
        assert SERVICES[name]["command"] == SERVICES[name.removeprefix("cluster-")]["command"]
    assert "--replicaof redis 6379" in " ".join(SERVICES["redis-replica"]["command"])


def test_the_zookeepers_are_one_ensemble_each_with_an_id_and_data_of_its_own() -> None:
    members = [SERVICES[name] for name in THREE["zookeeper"]]
    assert [member["environment"]["ZOO_MY_ID"] for member in members] == ["1", "2", "3"]
    [servers] = {member["environment"]["ZOO_SERVERS"] for member in members}
    assert servers.split() == [f"server.{number}=zookeeper-{number}:2888:3888;2181" for number in (1, 2, 3)]
    assert len({volume for member in members for volume in member["volumes"]}) == 6


def test_the_kafka_nodes_are_one_cluster_with_the_settings_of_our_local_one(tmp_path: Path) -> None:
    nodes = [SERVICES[name]["environment"] for name in THREE["kafka"]]
    assert [node["KAFKA_NODE_ID"] for node in nodes] == ["1", "2", "3"]
    assert len({node["CLUSTER_ID"] for node in nodes}) == 1
    [voters] = {node["KAFKA_CONTROLLER_QUORUM_VOTERS"] for node in nodes}
    assert voters == ",".join(f"{number}@kafka-{number}:9093" for number in (1, 2, 3))
    assert len({SERVICES[name]["volumes"][0] for name in THREE["kafka"]}) == 3
    for name, node in zip(THREE["kafka"], nodes, strict=True):
        [port] = SERVICES[name]["ports"]
        outside = port.rpartition(":")[0]
        assert node["KAFKA_ADVERTISED_LISTENERS"] == f"NETWORK://{name}:9092,HOST://{outside}"
    for setting, value in KafkaCluster(tmp_path).nodes[0]._settings(0).items():
        if re.search(r"replication\.factor|min\.i", setting):
            assert {node[f"KAFKA_{setting.replace('.', '_').upper()}"] for node in nodes} == {str(value)}


def test_each_image_is_built_once() -> None:
    built = [service["image"] for service in SERVICES.values() if "build" in service]
    assert built == [SERVICES["worker"]["image"]]


def test_the_grace_period_outlasts_the_drain() -> None:
    drain_s = BridgeSettings.model_fields["shutdown_deadline_s"].default
    assert seconds(SERVICES["bridge"]["stop_grace_period"]) >= drain_s + KAFKA_DRAIN_S


def test_the_image_is_ours_at_this_version_and_not_roots() -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert {SERVICES[name]["image"] for name in OURS} == {f"lastword:{version}"}
    instructions = dockerfile()
    stage = max(at for at, (what, _) in enumerate(instructions) if what == "FROM")
    assert [words for what, words in instructions[stage:] if what == "USER"] == [["10001"]]
    assert all(re.match(r"python:3\.13\.\d+-slim-", words[0]) for what, words in instructions if what == "FROM")
    installs = [word for what, words in instructions if what == "RUN" for word in " ".join(words).split("&&")]
    for command in (command for command in installs if " pip install " in command):
        assert "--require-hashes" in command or "--no-deps /wheel/*.whl" in command


def test_what_the_image_is_built_from_is_there() -> None:
    sources = [words[:-1] for what, words in dockerfile() if what == "COPY" and not words[0].startswith("--from")]
    needed = {name for names in sources for name in names}
    ignored, *kept = (REPOSITORY / ".dockerignore").read_text().split()
    assert ignored == "*"
    assert {name.removeprefix("!") for name in kept if name.startswith("!")} == needed
    assert all((REPOSITORY / name).exists() for name in needed)


@pytest.mark.parametrize("file", ["requirements-runtime.lock", "requirements-build.lock"])
def test_the_image_holds_the_versions_that_are_tested(file: str) -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (REPOSITORY / name).read_text(), re.MULTILINE))

    assert pins(file)
    assert pins(file) <= pins("requirements.lock")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Redis]:
    """A Redis for the Celery broker alone, so that it can fail without the cache."""
    with Redis(tmp_path / "broker") as server:
        yield server


@pytest.fixture
def compose(
    install: Install,
    tmp_path: Path,
    flow: Flow,
    broker: Redis,
    kafka_server: Reachable,
    redis_server: Redis,
    zookeeper_server: ZooKeeper,
) -> Iterator[dict[str, Service]]:
    port = str(free_port())
    replaced = {
        "kafka:9092": kafka_server.address,
        "zookeeper:2181": zookeeper_server.address,
        "redis://redis:6379/1": broker.url(1),
        "redis:6379": redis_server.address,
        "0.0.0.0": "127.0.0.1",  # noqa: S104 - so that a test does not listen everywhere
        ":5555": f":{port}",
    }
    names = ("LASTWORD_TOPIC", "LASTWORD_CONSUMER_GROUP", "LASTWORD_ZOOKEEPER_ROOT", "LASTWORD_KEY_PREFIX")
    own = {name: flow.environment[name] for name in names} | {
        "FLOWER_PORT": port,
        "LASTWORD_CREATE_TOPICS": str(PARTITIONS),
        "LASTWORD_SESSION_TIMEOUT_S": "3",
        "LASTWORD_KAFKA_SESSION_TIMEOUT_MS": "6000",
    }
    with services(install("3.13"), tmp_path / "compose", replaced, own) as made:
        yield made


def test_a_change_travels_and_a_service_that_dies_loses_nothing(
    compose: dict[str, Service], flow: Flow, tmp_path: Path
) -> None:
    for service in compose.values():
        assert not service.is_healthy(), f"{service.name} does not run yet"
        service.start()
    for service in compose.values():
        service.wait_until_healthy()

    login = (tmp_path / "compose" / "flower" / "state" / "lastword" / "flower").read_text().strip()
    port = int(compose["flower"].added["FLOWER_PORT"])
    assert http_get(port, "/api/workers")[0] == 401
    assert http_get(port, "/api/workers", login)[0] == 200

    flow.publish(12_000, 8_000)
    flow.wait_until_visible(0.3)
    for name in ("worker", "bridge"):
        compose[name].die()
    for name in ("worker", "bridge"):
        compose[name].start()
    flow.wait_until_fresh()
    flow.wait_until_all_is_committed()
    for name in ("worker", "bridge"):
        compose[name].wait_until_healthy()
    compose["flower"].die()
    assert not compose["flower"].is_healthy()

    assert compose["bridge"].stop() == 0
    assert compose["worker"].stop() == 0


def test_a_service_that_hangs_or_has_lost_its_broker_is_not_healthy_until_it_goes_on(
    compose: dict[str, Service], broker: Redis
) -> None:
    for service in compose.values():
        service.start()
    for service in compose.values():
        service.wait_until_healthy()

    broker.stop()  # the worker's loop waits for it
    for name in ("bridge", "flower"):
        compose[name].freeze(signal.SIGSTOP)
    for service in compose.values():
        service.wait_until_unhealthy()

    broker.start()
    for name in ("bridge", "flower"):
        compose[name].freeze(signal.SIGCONT)
    for service in compose.values():
        service.wait_until_healthy()


def test_a_worker_that_is_stopped_in_the_middle_is_not_healthy(compose: dict[str, Service]) -> None:
    compose["worker"].start()
    compose["worker"].wait_until_healthy()
    compose["worker"].freeze(signal.SIGSTOP)
    compose["worker"].wait_until_unhealthy()
    compose["worker"].freeze(signal.SIGCONT)
    compose["worker"].wait_until_healthy()
