"""Servers that run already: demo and tests use them, start none of their own, and say when they cannot."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
import redis
from confluent_kafka.admin import AdminClient

from servers import Kafka
from tests.commands import REPOSITORY, clean_env
from tests.lock_helpers import direct_client
from tests.waiting import wait_until

PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--external-servers"]
SUBSET = [
    "tests/integration/lastword/kafka/test_topics.py::test_missing_topics_are_made_and_existing_ones_left_alone",
    "tests/integration/tasks/lock/test_lock.py::test_a_chroot_must_exist",
    "tests/e2e/flow/test_flow.py::test_broker_wiped_with_one_lone_update_in_flight",
]


def keys(url: str) -> list[bytes]:
    with redis.Redis.from_url(url) as client:
        found = client.keys("*")
        assert isinstance(found, list)
        return found


@pytest.fixture
def given(given: dict[str, str], own_kafka: Kafka) -> dict[str, str]:
    """With a Kafka on which nobody else makes topics meanwhile."""
    return given | {"KAFKA_BOOTSTRAP_SERVERS": own_kafka.address}


def topics(env: Mapping[str, str]) -> set[str]:
    there = AdminClient({"bootstrap.servers": env["KAFKA_BOOTSTRAP_SERVERS"]}).list_topics(timeout=60).topics
    return set(there) - {"__consumer_offsets"}


def run_and_watch(arguments: list[str], env: Mapping[str, str], log: Path) -> tuple[int, str, set[str]]:
    """The exit code of a Python, what it said, and the names of all processes it has started."""
    started: set[str] = set()

    def ended() -> bool:
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                started.add(child.name())
            except psutil.NoSuchProcess:
                continue
        return process.poll() is not None

    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=REPOSITORY, env=clean_env(env), stdout=file, stderr=subprocess.STDOUT
        )
    try:
        wait_until(ended, what="the end of the command")
    finally:
        process.kill()
        process.wait()
    return process.returncode, log.read_text(encoding="utf-8"), started


def started_a_server(names: set[str]) -> bool:
    return any("java" in name or "valkey" in name or "redis" in name for name in names)


def test_the_demo_uses_them_under_names_of_its_own_and_leaves_nothing(given: dict[str, str], tmp_path: Path) -> None:
    before = topics(given)
    with direct_client(given["ZOOKEEPER_HOSTS"]) as zookeeper:
        znodes = set(zookeeper.get_children("/"))  # in whichever order: that of a set in the server
    code, said, started = run_and_watch(["-m", "examples.demo"], given, tmp_path / "said")
    assert code == 0, said
    assert "Servers that run already" in said
    assert "299 of 299" in said
    assert not started_a_server(started), started
    assert any("python" in name or "celery" in name for name in started), "the watch saw nothing"
    # What Celery notes of its own control and event queues is not the demo's, and stays.
    assert [key for key in keys(given["CELERY_BROKER_URL"]) if b"lastword" in key] == []
    assert keys(given["REDIS_URL"]) == []
    assert topics(given) <= before  # Kafka may still have been deleting one
    with direct_client(given["ZOOKEEPER_HOSTS"]) as zookeeper:
        assert set(zookeeper.get_children("/")) == znodes


def test_tests_use_them(given: dict[str, str], tmp_path: Path) -> None:
    before = topics(given)
    code, said, started = run_and_watch([*PYTEST, *SUBSET], given, tmp_path / "said")
    assert code == 0, said
    assert "3 passed" in said
    assert not started_a_server(started), started
    assert topics(given) > before
    assert keys(given["REDIS_URL"])
    assert keys(given["CELERY_BROKER_URL"]) == []


def test_a_test_that_stops_a_server_has_one_of_its_own(given: dict[str, str], tmp_path: Path) -> None:
    restart = "tests/integration/servers/test_servers.py::test_redis_restarts_on_its_port_with_its_data"
    code, said, started = run_and_watch([*PYTEST, restart], given, tmp_path / "said")
    assert code == 0, said
    assert started_a_server(started)


def test_tests_refuse_a_broker_whose_database_holds_something(given: dict[str, str], tmp_path: Path) -> None:
    with redis.Redis.from_url(given["CELERY_BROKER_URL"]) as broker:
        broker.set("somebody's", "1")
        code, said, _ = run_and_watch([*PYTEST, *SUBSET], given, tmp_path / "said")
        assert code == pytest.ExitCode.USAGE_ERROR
        assert "holds 1 keys" in said
        assert broker.get("somebody's") == b"1"


def test_tests_refuse_to_guess_the_servers(tmp_path: Path) -> None:
    code, said, _ = run_and_watch([*PYTEST, *SUBSET], {}, tmp_path / "said")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "KAFKA_BOOTSTRAP_SERVERS" in said


def test_the_demo_refuses_half_of_them(tmp_path: Path) -> None:
    given = {"REDIS_URL": "redis://:s3cret@127.0.0.1:1/0"}
    code, said, started = run_and_watch(["-m", "examples.demo"], given, tmp_path / "said")
    assert code == 1
    assert "KAFKA_BOOTSTRAP_SERVERS, ZOOKEEPER_HOSTS, CELERY_BROKER_URL" in said
    assert "s3cret" not in said
    assert not started_a_server(started)
