"""``lastword inspect`` where somebody is missing: no worker, no bridge, no server, no data."""

import json

import pytest

from lastword.kafka.murmur2 import partition_of
from servers.ports import free_port
from tests.commands import BRIDGE, ONE_SECOND, PASSWORD, run
from tests.flow import BEGIN_MS, PARTITIONS, Flow
from tests.injected.constants import with_call_timeout
from tests.inspect_helpers import VERSION, create_topics, hold, inspect, publish, says, told
from tests.kafka_helpers import Given, produce
from tests.lock_helpers import V, direct_client, lock_count, open_locks
from tests.waiting import wait_until


@pytest.fixture
def idle(flow: Flow) -> Flow:
    """A flow whose topics are there, and nobody who works on them."""
    create_topics(flow)
    return flow


def test_without_a_worker_the_update_is_in_flight(flow: Flow) -> None:
    with flow.bridge():
        publish(flow, "42", 1)
        wait_until(lambda: flow.broker.llen("lastword"), what="the task in the broker")

        said = says(told(flow, "42"))

    assert said.startswith("in-flight: Redis holds nothing, and partition ")
    assert f"has version {VERSION}-1" in said
    assert "lag 1 record" in said
    assert "no worker answers; " in said
    assert "no bridge" not in said


def test_without_a_bridge_the_group_has_no_members(idle: Flow) -> None:
    hold(idle, "42", 1)
    publish(idle, "42", 2)

    said = says(told(idle, "42"))

    assert said.startswith(f"in-flight: Redis holds version {VERSION}-1, and partition ")
    assert f"no bridge is running in group '{idle.environment['LASTWORD_CONSUMER_GROUP']}'" in said


def test_what_redis_has_lost(idle: Flow) -> None:
    hold(idle, "42", 1)
    assert told(idle, "42")["verdict"]["code"] == "fresh"
    idle.cache.delete(f"{idle.prefix}42")

    said = says(told(idle, "42"))

    assert said.startswith("lost: Redis holds nothing, and partition ")
    assert "verify --repair" in said


def test_a_product_that_nobody_knows_is_looked_for_everywhere(idle: Flow) -> None:
    found = told(idle, "nobody")

    assert found["verdict"]["code"] == "unknown"
    assert sorted(found["topic"]["partitions"]) == [0, 1, 2, 3]


def test_an_id_that_the_output_cannot_encode_is_escaped(idle: Flow) -> None:
    ended = inspect(idle, "…", PYTHONIOENCODING="latin-1")

    assert ended.code == 1, ended.err
    assert "verdict: unknown" in ended.out
    assert r"product '\u2026' in Redis" in ended.out


def test_a_record_that_lies_where_its_key_does_not_belong_is_found(idle: Flow) -> None:
    elsewhere = (partition_of(b"42", PARTITIONS) + 1) % PARTITIONS
    record = {"product_id": "42", "updated_at": BEGIN_MS, "sequence": 1, "data": 1}
    given = Given(b"42", json.dumps(record).encode(), partition=elsewhere)
    produce(idle.environment["KAFKA_BOOTSTRAP_SERVERS"], idle.topic, [given])

    found = told(idle, "42")

    assert found["topic"]["newest"]["version"] == f"{VERSION}-1"
    assert found["topic"]["newest"]["partition"] == elsewhere


def test_servers_that_are_not_needed_may_be_down(idle: Flow) -> None:
    publish(idle, "42", 1)
    nobody = f"127.0.0.1:{free_port()}"
    settings = {
        "ZOOKEEPER_HOSTS": nobody,
        "CELERY_BROKER_URL": f"redis://:{PASSWORD}@{nobody}/1",
        **with_call_timeout(idle.environment, 1),
    }

    said = says(told(idle, "42", **settings))

    assert said.startswith("in-flight: ")
    assert f"its lock cannot be looked at: ZooKeeper at {nobody} is not connected after 1 s" in said
    assert f"the Celery broker cannot be asked: redis://:**@{nobody}/1: " in said


def test_it_leaves_nothing_behind(idle: Flow) -> None:
    address, root = idle.environment["ZOOKEEPER_HOSTS"], idle.environment["LASTWORD_ZOOKEEPER_ROOT"]
    keys = set(idle.broker.scan_iter())
    with direct_client(address) as zookeeper, open_locks(address, root) as locks:
        told(idle, "42")
        assert zookeeper.exists(root) is None, "it made the layout"
        locks.acquire({"43": V})
        told(idle, "43")
        assert lock_count(zookeeper, root) == 1
        assert len(zookeeper.get_children(f"{root}/guards")) == 1
    # kombu notes there when it last tidied up.
    assert set(idle.broker.scan_iter()) <= keys | {b"_kombu.binding_deadlines"}


@pytest.mark.parametrize("command", [["inspect", "42"], ["verify"]])
@pytest.mark.parametrize("setting", ["KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL"])
def test_a_server_that_is_needed_is_waited_for_and_not_for_ever(idle: Flow, command: list[str], setting: str) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    value = f"redis://:{PASSWORD}@{nobody}/0" if setting == "REDIS_URL" else nobody

    ended = run([*BRIDGE, *command], idle.environment | ONE_SECOND | {setting: value})

    assert ended.code == 3
    assert f" at {nobody} cannot be reached: " in ended.complaints[-1]


@pytest.mark.parametrize("command", [["inspect", "42"], ["verify"]])
def test_a_topic_that_is_not_there_is_said(idle: Flow, command: list[str]) -> None:
    ended = run([*BRIDGE, *command], idle.environment | {"LASTWORD_TOPIC": "nowhere"})
    assert ended.code == 3
    assert ended.complaints[-1].startswith("no topic 'nowhere' and 'nowhere-dlt' in Kafka at ")
