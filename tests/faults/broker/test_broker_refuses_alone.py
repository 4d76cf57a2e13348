"""One worker, and its broker Redis that refuses: at the start, for long, retries, answers to control commands."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis as Client

from servers import Redis, ZooKeeper
from servers.ports import free_port
from tests.faults.broker.broker_refusals import disconnect_all, permit
from tests.faults.logs import LOST, SERVES, Heard, no_traceback
from tests.flower_helpers import Flower, http_get, running_flower
from tests.lock_helpers import acquire_when_possible
from tests.pools import GROUP, POOLS_WHERE_A_SERVER_FAILS, PREFORK, SOLO, THREADS
from tests.task_helpers import Site, TaskLog, live, open_site
from tests.waiting import wait_until
from tests.worker_helpers import CeleryWorker, celery_worker

TRIES = 8


@pytest.fixture
def broker(own_redis: Redis) -> Redis:
    return own_redis


@pytest.fixture
def site(tmp_path: Path, broker: Redis, own_zookeeper: ZooKeeper) -> Iterator[Site]:
    with Redis(tmp_path / "cache") as cache, open_site(cache, broker, own_zookeeper) as site:
        yield site


@pytest.fixture
def raw(broker: Redis) -> Iterator[Client]:
    """The broker; in the end it serves everybody."""
    with Client.from_url(broker.url(1)) as raw:
        yield raw
        raw.replicaof("NO", "ONE")
        permit(raw, "+@all")


def answered(site: Site) -> bool:
    """Whether a worker answers a control command; over a connection of its own: a pool's may have been refused."""
    with site.app.connection_for_read() as connection:
        return bool(site.app.control.ping(timeout=2.0, connection=connection))


def refused(raw: Client, command: str) -> int:
    """How often the broker has refused a command."""
    return int(raw.info("commandstats").get(f"cmdstat_{command}", {}).get("rejected_calls", 0))


def test_a_worker_that_is_started_meanwhile_says_why_it_waits(site: Site, raw: Client) -> None:
    raw.replicaof("127.0.0.1", str(free_port()))
    with celery_worker(site.env, wait_ready=False) as worker:
        worker.wait_for_log("waiting for the Celery broker")
        worker.wait_for_log("ReadOnlyError")
        raw.replicaof("NO", "ONE")
        worker.wait_for_log(" ready.")
        no_traceback(worker)


def test_a_worker_that_is_started_meanwhile_gives_up_after_the_starts_deadline(site: Site, raw: Client) -> None:
    permit(raw, "-@write")
    with celery_worker(site.env | {"LASTWORD_STARTUP_DEADLINE_S": "1"}, wait_ready=False) as worker:
        wait_until(lambda: worker.exit_code is not None, what="the end of the worker")
        assert worker.exit_code == 3
        assert "NoPermissionError" in worker.log
        no_traceback(worker)


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param(GROUP, id="group"),
        pytest.param(THREADS, id="threads"),
        pytest.param(PREFORK, id="prefork"),
        pytest.param(SOLO, id="solo"),
    ],
)
def test_an_outage_that_lasts_is_said_once_and_the_worker_can_be_stopped(
    site: Site, raw: Client, pool: tuple[str, ...]
) -> None:
    with celery_worker(site.env, *pool, alone=False) as worker:
        heard = Heard(worker)
        before = refused(raw, "sadd")
        said, opened = len(worker.log.splitlines()), psutil.Process(worker.pid).num_fds()
        raw.replicaof("127.0.0.1", str(free_port()))
        wait_until(lambda: refused(raw, "sadd") >= before + TRIES, what="one try after the other")
        lines = worker.log.splitlines()[said:]
        assert len(lines) <= 4, f"not a line each second: {lines}"
        assert psutil.Process(worker.pid).num_fds() <= opened + TRIES, "no try leaves anything open"
        raw.replicaof("NO", "ONE")
        heard.again(worker, SERVES)
        task_id = site.sender.send(live("a"))
        wait_until(lambda: site.holds(live("a")), what=f"the update of {task_id}")
        wait_until(lambda: answered(site), what="an answer to a control command")

        raw.replicaof("127.0.0.1", str(free_port()))
        heard.again(worker, LOST)
        worker.send(signal.SIGTERM)
        wait_until(lambda: worker.exit_code is not None, what="the end of the worker")
        no_traceback(worker)


@POOLS_WHERE_A_SERVER_FAILS
def test_retries_that_the_broker_refuses_are_left_to_the_bridge(site: Site, raw: Client, pool: tuple[str, ...]) -> None:
    with celery_worker(site.env, *pool) as worker:
        with site.other_locks() as locks, acquire_when_possible(locks, "a"):
            site.sender.send(live("a"))
            wait_until(lambda: "again in" in worker.log, what="a first retry")
            permit(raw, "-lpush")
            worker.wait_for_log("its retry was not enqueued")
            permit(raw, "+lpush")
        assert TaskLog(worker).result(site.sender.send(live("b"))) == "applied"
        no_traceback(worker)


def test_what_a_control_command_is_answered_may_be_refused(site: Site, raw: Client) -> None:
    with celery_worker(site.env, alone=False) as worker:
        permit(raw, "-lpush")
        assert not answered(site)
        worker.wait_for_log("a control command stays without an answer: NoPermissionError")
        permit(raw, "+lpush")
        wait_until(lambda: answered(site), what="an answer")
        raw.publish("/1.celery.pidbox", "5")
        raw.publish("/1.celery.pidbox", "{}")
        worker.wait_for_log("what is no message of Celery's")
        wait_until(lambda: answered(site), what="an answer in spite of it")
        no_traceback(worker)


def test_flower_outlives_it_and_sees_the_workers_again(site: Site, raw: Client, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    env = site.env | {"FLOWER_UNAUTHENTICATED_API": "true"}
    with running_flower(env, tmp_path / "here") as flower, celery_worker(site.env, alone=False) as worker:
        flower.wait_until_up()
        wait_until(lambda: is_online(flower, worker), what="the worker in Flower")
        raw.replicaof("127.0.0.1", str(free_port()))
        disconnect_all(raw)
        before = refused(raw, "sadd")
        wait_until(lambda: refused(raw, "sadd") >= before + TRIES, what="tries of both")
        flower.wait_until_up()
        raw.replicaof("NO", "ONE")
        wait_until(lambda: is_online(flower, worker), what="the worker in Flower again")
        assert flower.child.exit_code is None


def is_online(flower: Flower, worker: CeleryWorker) -> bool:
    _, metrics = http_get(flower.port, "/metrics")
    return f'flower_worker_online{{worker="{worker.name}"}} 1.0' in metrics.decode()
