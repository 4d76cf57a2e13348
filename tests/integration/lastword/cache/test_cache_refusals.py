"""The cache behind a name or a proxy: what refuses is left, no replica is believed, and a changed secret is read."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lastword.cache.cache import Cache, Write
from lastword.cache.opening import open_cache
from lastword.cache.seal import Stamps
from lastword.contract.errors import CacheUnavailableError
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update
from lastword.contract.version import Version
from lastword.redis import server as redis_server
from lastword.settings.shared import TaskSettings, load
from servers import Redis, RedisCluster
from servers.redis import RedisReplica
from tests.blackhole import BlackHoleProxy
from tests.redis_forms import PROGRAMS, need
from tests.waiting import wait_until


def live(sequence: int, entity_id: str = "42") -> Write:
    return Write(Update(entity_id=entity_id, version=Version(1, sequence), data=b"1"), "00000001000000a9")


@pytest.fixture(params=PROGRAMS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Redis]:
    with Redis(tmp_path / "old", program=need(request.param)) as server:
        yield server


@pytest.fixture
def new(request: pytest.FixtureRequest, tmp_path: Path, old: Redis) -> Iterator[Redis]:
    options = {"replicaof": f"127.0.0.1 {old.port}", "repl-diskless-sync-delay": "0"}
    program = request.node.callspec.params["old"]
    with RedisReplica(tmp_path / "new", program=program, options=options) as server:
        yield server


@pytest.fixture
def relay(old: Redis) -> Iterator[BlackHoleProxy]:
    with BlackHoleProxy(old.address) as relay:
        yield relay


@pytest.fixture
def cache(relay: BlackHoleProxy) -> Iterator[Cache]:
    cache = Cache.connect(f"redis://{relay.address}", call_timeout_s=5)
    yield cache
    cache.close()


def fail_over(relay: BlackHoleProxy, old: Redis, new: Redis, *, writable: str = "no") -> None:
    """The name leads to the new primary; the old one, now a replica of nobody, keeps the connections that it has."""
    with old.admin() as demoted, new.admin() as promoted:
        wait_until(lambda: promoted.exists("product:42"), what="the copy")
        promoted.replicaof("NO", "ONE")
        relay.lead_to(new.address)
        demoted.hset("product:only here", "version", "1-9")
        demoted.config_set("replica-read-only", "no" if writable == "yes" else "yes")
        demoted.replicaof("127.0.0.1", 1)


def test_a_write_that_is_refused_is_the_last_to_the_old_primary(
    cache: Cache, relay: BlackHoleProxy, old: Redis, new: Redis
) -> None:
    assert cache.write([live(1)]) == [Outcome.APPLIED]
    fail_over(relay, old, new)

    [refused] = cache.write([live(2)])

    assert isinstance(refused, CacheUnavailableError)
    assert cache.write([live(2)]) == [Outcome.APPLIED]
    with new.admin() as raw:
        assert raw.hget("product:42", "version") == b"1-2"


def test_the_idle_connections_of_other_threads_are_left_too(
    cache: Cache, relay: BlackHoleProxy, old: Redis, new: Redis
) -> None:
    gate = threading.Barrier(8)

    def write(number: int) -> None:
        gate.wait(60)
        cache.write([live(n, f"p{number}") for n in range(300)])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache.write([live(1)])
    with old.admin() as raw:
        assert len(raw.client_list(_type="normal")) > 2, "several connections are idle"
        fail_over(relay, old, new)
        assert isinstance(cache.write([live(2)])[0], CacheUnavailableError)
        wait_until(lambda: len(raw.client_list(_type="normal")) == 1, what="no connection but our own")


@pytest.mark.parametrize("writable", ["no", "yes"])
def test_nothing_that_a_replica_answers_is_believed(
    cache: Cache, relay: BlackHoleProxy, old: Redis, new: Redis, *, writable: str
) -> None:
    """Neither that it holds a version, nor, where a replica may be written, that it has written one."""
    cache.write([live(1)])
    held_there = live(9, "only here").update
    fail_over(relay, old, new, writable=writable)

    [standing] = cache.holds([held_there])
    assert isinstance(standing, CacheUnavailableError)
    assert "it is a replica" in str(standing)
    assert cache.holds([held_there]) == [None], "the new primary does not hold it"

    asks: list[Callable[[Cache], object]] = [
        lambda stale: stale.held(["only here"]),
        lambda stale: stale.poll(["only here"], []),
        lambda stale: stale.poll(["only here"], [], seal=Stamps("product:").opening(["t:0"], anew=True)),
    ]
    for ask in asks:
        stale = Cache.connect(old.url())
        with pytest.raises(CacheUnavailableError):
            ask(stale)
        [answer] = stale.write([live(9, "only here")])
        assert isinstance(answer, CacheUnavailableError), "not even that a newer one, or this one, is held"
        stale.close()


def test_a_user_who_may_not_ask_for_the_role_is_served(old: Redis) -> None:
    with old.admin() as raw:
        raw.acl_setuser(
            "no-wait", enabled=True, passwords=["+s3cret"], keys=["*"], categories=["+@all"], commands=["-wait"]
        )
    cache = Cache.connect(f"redis://no-wait:s3cret@{old.address}")
    assert cache.write([live(1)]) == [Outcome.APPLIED]
    assert cache.held(["42"]) == {"42": Version(1, 1)}
    cache.close()


def test_a_name_that_leads_elsewhere_is_followed_though_nothing_refuses(
    cache: Cache, relay: BlackHoleProxy, new: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old server was left running, as a primary: nothing tells but that connections do not last for ever."""
    monkeypatch.setattr(redis_server, "LIFE_S", 0.5)
    cache.write([live(1)])
    with new.admin() as raw:
        wait_until(lambda: raw.exists("product:42"), what="the copy")
        raw.replicaof("NO", "ONE")
        relay.lead_to(new.address)

        def is_written() -> bool:
            cache.write([live(2)])
            return bool(raw.hget("product:42", "version") == b"1-2")

        wait_until(is_written, what="a write to the server to which the name leads")


def test_the_end_is_told_once(
    cache: Cache, relay: BlackHoleProxy, old: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    cache.write([live(1)])
    with old.admin() as raw:
        raw.replicaof("127.0.0.1", 1)
        for n in range(50):
            assert isinstance(cache.write([live(2)])[0], CacheUnavailableError)
            assert isinstance(cache.holds([live(n).update])[0], CacheUnavailableError)
        raw.replicaof("NO", "ONE")
    cache.write([live(3)])

    refused, served = caplog.messages
    assert f"Redis at {relay.address} does not serve us, READONLY: " in refused
    assert f"Redis at {relay.address} serves us again" in served


def test_a_changed_password_is_read_again_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "url"
    with Redis(tmp_path / "redis") as server, server.admin() as raw:
        raw.acl_setuser("flow", enabled=True, passwords=["+first"], keys=["*"], categories=["+@all"])
        file.write_text(f"redis://flow:first@{server.address}\n")
        monkeypatch.setenv("REDIS_URL_FILE", str(file))
        cache = open_cache(load(TaskSettings))
        assert cache.write([live(1)]) == [Outcome.APPLIED]
        raw.acl_setuser("flow", enabled=True, passwords=["-first", "+second"])
        raw.client_kill_filter(_type="normal", skipme=True)

        [refused] = cache.write([live(2)])
        assert "WRONGPASS" in caplog.text
        assert isinstance(refused, CacheUnavailableError)
        file.unlink()
        assert isinstance(cache.write([live(2)])[0], CacheUnavailableError)
        assert "cannot be read: No such file or directory" in caplog.text
        file.write_text(f"redis://flow:second@{server.address}\n")
        assert cache.write([live(2)]) == [Outcome.APPLIED]
        cache.close()
    assert "first@" not in caplog.text
    assert "second" not in caplog.text


def test_a_node_of_a_cluster_that_refuses_is_named_and_the_others_serve(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RedisCluster(tmp_path / "cluster") as cluster:
        cache = Cache.connect(f"redis+cluster://{cluster.addresses}", call_timeout_s=2)
        products = [f"p{n}" for n in range(60)]
        assert cache.write([live(1, product) for product in products]) == [Outcome.APPLIED] * 60
        node = cluster.nodes[1]
        with node.admin() as raw:
            raw.config_set("min-replicas-to-write", "1")
            answers = cache.write([live(2, product) for product in products])
            assert {type(answer) for answer in answers} == {CacheUnavailableError, Outcome}
            raw.config_set("min-replicas-to-write", "0")
        assert set(cache.write([live(3, product) for product in products])) == {Outcome.APPLIED}
        cache.close()
    refused, served = caplog.messages
    assert f"Redis at {node.address} does not serve us, NOREPLICAS: " in refused
    assert f"Redis at {node.address} serves us again" in served
