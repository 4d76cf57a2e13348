"""docker-compose.yml and Dockerfile: what they promise, and our services run as they say, from the wheel."""

import re
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flower.options import default_options

from bridge.settings import BridgeSettings
from servers import Kafka, Redis, ZooKeeper
from servers.ports import free_port
from tasks.environment import environment_names
from tasks.settings import TaskSettings
from tests.e2e.compose import OURS, Service, dockerfile, read_services, seconds, services
from tests.e2e.conftest import Install
from tests.e2e.flow import PARTITIONS, Flow
from tests.flower_helpers import http_get
from tests.worker_helpers import REPOSITORY

pytestmark = pytest.mark.timeout(300)  # a health check's patience is 30 s; the wheel is installed first

SERVICES = read_services()
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
    [("worker", {"zookeeper", "redis"}), ("bridge", {"kafka", "redis"}), ("flower", {"redis"})],
)
def test_a_service_waits_until_those_it_needs_are_healthy(name: str, needed: set[str]) -> None:
    waits = SERVICES[name]["depends_on"]
    assert {other for other in waits if waits[other] == {"condition": "service_healthy"}} == needed


@pytest.mark.parametrize("name", OURS)
def test_each_name_in_the_environment_is_a_setting(name: str) -> None:
    known = environment_names([BridgeSettings, TaskSettings]) | {"CELERY_BROKER_URL", "XDG_STATE_HOME"}
    known |= {f"FLOWER_{option.upper().replace('-', '_')}" for option in default_options.as_dict()}
    assert SERVICES[name]["environment"].keys() <= known


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
    kafka_server: Kafka,
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
        "LASTWORD_PARTITIONS": str(PARTITIONS),
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

    flow.publish(800, 150)
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
