"""A port that takes the connection and gives no session: what it is, as far as can be seen from outside, is said."""

import socket
import threading
from collections.abc import Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn

import pytest

from lastword.contract.errors import SessionLostError
from servers import Reachable, ReachableRedis, ZooKeeper
from servers.ports import free_port
from tests.commands import ONE_SECOND, WORKER, run
from tests.lock_helpers import V, open_locks
from tests.waiting import wait_until
from tests.worker_helpers import worker_env
from tests.zookeeper_clients import zookeeper_client

NOT_REACHED = ("no answer", "Connection refused")


class WithoutQuorum(ZooKeeper):
    """One of three, the others of which do not run."""

    def _prepare(self) -> Sequence[str | Path]:
        self._data.mkdir(exist_ok=True)
        (self._data / "myid").write_text("1")
        return super()._prepare()

    def _answers(self) -> bool:
        return "not currently serving" in self._ask("srvr")


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    """It takes one connection from an address."""
    with ZooKeeper(tmp_path_factory.mktemp("crowded"), settings={"maxClientCnxns": "1"}) as server:
        yield server


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    peers = {f"server.{number}": f"127.0.0.1:{free_port()}:{free_port()}" for number in (1, 2, 3)}
    settings = {"initLimit": "10", "syncLimit": "5", **peers}
    with WithoutQuorum(tmp_path_factory.mktemp("alone"), settings=settings) as server:
        yield server


def refusal(address: str, root: str) -> str:
    """What is said of the server, once it has taken a connection."""

    def attempt() -> str:
        with pytest.raises(SessionLostError) as raised:
            locks.acquire({"42": V})
        _, said, trouble = str(raised.value).partition(f"ZooKeeper at {address} is not connected after 1 s: ")
        return trouble.removeprefix(f"{address}: ") if said and not any(word in trouble for word in NOT_REACHED) else ""

    with open_locks(address, root, call_timeout_s=1.0) as locks:
        return wait_until(attempt, what="the reason why there is no session")


def test_more_connections_than_the_server_allows(crowded: ZooKeeper, zookeeper_root: str) -> None:
    with zookeeper_client(crowded.address):
        said = refusal(crowded.address, zookeeper_root)
    assert said.startswith("it closes the connection without a word: too many connections from this machine ")
    assert "maxClientCnxns" in said
    assert "quorum" not in said
    assert "TLS" not in said


def test_a_worker_says_so_too(crowded: ZooKeeper, redis_server: ReachableRedis, zookeeper_root: str) -> None:
    env = worker_env(redis_server, crowded, root=zookeeper_root, key_prefix="refused:")
    with zookeeper_client(crowded.address):
        ended = run(WORKER, env | ONE_SECOND)
    assert ended.code == 3
    assert "too many connections from this machine (its maxClientCnxns" in ended.complaints[-1]


@pytest.mark.parametrize("error", [BrokenPipeError, ConnectionResetError])
def test_a_connection_that_is_closed_before_it_is_looked_at(
    error: type[OSError], zookeeper_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object) -> NoReturn:
        raise error(0, "closed")

    monkeypatch.setattr(socket, "create_connection", closed)
    assert "it closes the connection without a word: too many" in refusal("127.0.0.1:1", zookeeper_root)


def test_a_server_without_a_quorum(alone: ZooKeeper, zookeeper_root: str) -> None:
    assert refusal(alone.address, zookeeper_root) == ("it is up and serves nobody: no quorum, or it is still starting")


def test_the_port_of_a_web_server_as_zookeeper_has_one_for_administrators(zookeeper_root: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as web:
        threading.Thread(target=web.serve_forever).start()
        try:
            said = refusal(f"127.0.0.1:{web.server_port}", zookeeper_root)
        finally:
            web.shutdown()
    assert said == "it answers as a web server does: ZOOKEEPER_HOSTS should name ZooKeeper's clientPort"


def test_the_port_of_another_kind_of_server(
    redis_server: ReachableRedis, kafka_server: Reachable, zookeeper_root: str
) -> None:
    redis = redis_server.url().removeprefix("redis://").partition("/")[0]
    said = refusal(redis, zookeeper_root)
    assert said.startswith("it takes the connection and says nothing: it hangs, or ZOOKEEPER_HOSTS should name")
    said = refusal(kafka_server.address, zookeeper_root)
    assert "ZOOKEEPER_HOSTS should name ZooKeeper's clientPort" in said
