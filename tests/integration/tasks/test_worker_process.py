"""The life of a worker's processes: their start, their ZooKeeper sessions, and what is left at their end."""

import re
import signal
import time
from collections.abc import Iterator

import pytest

from lastword.redis.client import CALL_TIMEOUT_S
from servers import Reachable, ReachableRedis, Redis, ZooKeeper
from tests.injected.constants import UNEXPECTED_RETRIES, with_call_timeout, with_constants
from tests.task_helpers import Site, TaskLog, live, open_site
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

POOLS = [
    pytest.param((), 1, id="group"),
    pytest.param(("-P", "processes", "-c", "2"), 2, id="processes"),
    pytest.param(("-P", "threads", "-c", "8"), 1, id="threads"),
]
TICK_S = 1.0  # of the ZooKeeper server
LONGEST_SESSION_S = 20 * TICK_S  # that the server grants
SLACK_S = 60.0  # for a machine that is busy


@pytest.fixture
def site(cache_server: Redis, redis_server: ReachableRedis, own_zookeeper: ZooKeeper) -> Iterator[Site]:
    with open_site(cache_server, redis_server, own_zookeeper) as site:
        site.env.update(
            with_call_timeout(site.env, CALL_TIMEOUT_S)
        )  # for that long a write that is withheld keeps its lock
        yield site


@pytest.mark.core
@pytest.mark.parametrize(("pool", "sessions"), POOLS)
def test_each_process_has_a_session_and_a_warm_shutdown_ends_them_at_once(
    site: Site, pool: tuple[str, ...], sessions: int
) -> None:
    updates = [live("a"), live("b")]
    with celery_worker(site.env, *pool) as worker:
        with site.writes_withheld():
            task_ids = site.sender.send_all(updates)
            wait_until(lambda: site.locks() == 2, what="both products locked")
            assert site.sessions() == sessions
            worker.send(signal.SIGTERM)
            worker.wait_for_log("Warm shutdown")
        wait_until(lambda: worker.exit_code is not None, what="the worker ends")
        # At once, where ZooKeeper would wait for the session timeout.
        assert (worker.exit_code, site.sessions(), site.locks()) == (0, 0, 0), worker.log_tail()
        assert all(site.holds(update) for update in updates), "a task that has begun is finished"
        assert [TaskLog(worker).result(task_id) for task_id in task_ids] == ["applied", "applied"]
        assert "Traceback" not in worker.log, worker.log_tail()


def test_tasks_that_a_stopped_group_worker_had_not_begun_are_its_successors(site: Site) -> None:
    updates = [live(f"stop {number}") for number in range(2_000)]
    with celery_worker(site.env) as worker:
        task_ids = site.sender.send_all(updates)
        wait_until(lambda: "succeeded" in worker.log, what="the first task")
        assert worker.stop() == 0
        assert (site.sessions(), site.locks()) == (0, 0)
        begun = set(re.findall(r"\[([^]]+)\] succeeded", worker.log))
    with celery_worker(site.env) as successor:
        log = TaskLog(successor)
        assert {log.result(task_id) for task_id in task_ids if task_id not in begun} <= {"applied"}
    assert all(site.holds(update) for update in updates)


@pytest.mark.parametrize(("pool", "sessions"), POOLS)
def test_a_killed_workers_locks_last_no_longer_than_its_sessions(
    site: Site, pool: tuple[str, ...], sessions: int
) -> None:
    update = live("a")
    site.env["LASTWORD_SESSION_TIMEOUT_S"] = f"{2 * TICK_S}"  # the least that the server grants
    with celery_worker(site.env, *pool) as worker, site.writes_withheld():
        site.sender.send(update)
        wait_until(lambda: site.is_locked("a"), what="the product locked")
        assert 1 <= site.sessions() <= sessions
        worker.kill()
        killed_at = time.monotonic()
        assert site.is_locked("a"), "nobody was left to release it"
        wait_until(lambda: not site.is_locked("a"), what="the lock gone")
        assert time.monotonic() - killed_at < 2 * TICK_S + 2 * TICK_S + SLACK_S
        assert site.sessions() == 0
    with celery_worker(site.env, *pool) as successor:
        assert TaskLog(successor).result(site.sender.send(update)) in {"applied", "duplicate"}
    assert site.holds(update)


def test_a_pool_process_that_is_replaced_ends_its_session(site: Site) -> None:
    site.env["LASTWORD_SESSION_TIMEOUT_S"] = f"{LONGEST_SESSION_S}"
    with celery_worker(site.env, "-P", "processes", "-c", "1", "--max-tasks-per-child", "1") as worker:
        task_ids = [site.sender.send(live(f"p{number}")) for number in range(3)]
        assert [TaskLog(worker).result(task_id) for task_id in task_ids] == ["applied"] * 3
        wait_until(lambda: site.sessions() == 0, deadline_s=0.8 * LONGEST_SESSION_S, what="no session left")


def test_a_retry_that_cannot_be_enqueued_is_given_up_and_the_worker_goes_on(
    cache_server: Redis, own_redis: Redis, zookeeper_server: Reachable
) -> None:
    update = live("a")
    broker_server, cache_server = cache_server, own_redis  # the broker is to be stopped, which others use
    with (
        open_site(cache_server, broker_server, zookeeper_server) as site,
        celery_worker(site.env, "-P", "threads", "-c", "2") as worker,
    ):
        log = TaskLog(worker)
        with site.writes_withheld():
            task_id = site.sender.send(update)
            wait_until(lambda: site.is_locked("a"), what="the product locked")
            broker_server.stop()
            site.raw.client_kill_filter(_type="normal", skipme=True)  # the write fails now
            given_up = log.failure(task_id)
        assert given_up.startswith("GivenUpError(")
        assert "its retry was not enqueued: " in given_up

        broker_server.start()
        assert log.result(site.sender.send(update)) in {"applied", "duplicate"}
        assert site.holds(update)


def exit_of(env: dict[str, str]) -> tuple[int, str]:
    """How a worker ends that is expected not to start, and the lines it said for people."""
    with celery_worker(env, wait_ready=False) as worker:
        wait_until(lambda: worker.exit_code is not None, what="the worker ends by itself")
        code, log = worker.exit_code, worker.log
    assert code is not None
    assert "Traceback" not in log, log
    return code, "\n".join(line for line in log.splitlines() if line.startswith("lastword: "))


@pytest.mark.parametrize(
    ("setting", "given", "told"),
    [
        ("LASTWORD_SESSION_TIMEOUT_S", "41", "less than or equal to 40"),
        ("LASTWORD_TTL_S", "60", "LASTWORD_REPLAY_HORIZON_S (604800 s)"),
        ("ZOOKEEPER_HOSTS", "here:there", "host:port"),
        ("CELERY_BROKER_URL", "carrier-pigeon://coop", "redis, rediss, sentinel and amqp"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(site: Site, setting: str, given: str, told: str) -> None:
    code, said = exit_of({**site.env, setting: given})

    assert code == 2
    assert given.partition(":")[0] in said
    assert told in said


@pytest.mark.parametrize(
    ("setting", "address", "what"),
    [
        ("REDIS_URL", "redis://:s3cret@127.0.0.1:1/0", "Redis"),
        ("ZOOKEEPER_HOSTS", "127.0.0.1:1", "ZooKeeper"),
        ("CELERY_BROKER_URL", "redis://:s3cret@127.0.0.1:1/1", "the Celery broker"),
    ],
)
def test_a_server_that_cannot_be_reached_is_waited_for_visibly_and_not_for_ever(
    site: Site, setting: str, address: str, what: str
) -> None:
    env = {**site.env, setting: address, "LASTWORD_STARTUP_DEADLINE_S": "0.5"} | with_call_timeout(site.env, 0.3)

    code, said = exit_of(env)

    assert code == 3
    assert f"waiting for {what} at " in said
    assert "127.0.0.1:1" in said
    assert "cannot be reached" in said.splitlines()[-1]
    assert "s3cret" not in said


def test_a_time_limit_is_no_evidence_against_the_update(site: Site, own_zookeeper: ZooKeeper) -> None:
    # One unexpected error would be recorded as permanent at once; the limit is raised while ZooKeeper does not answer.
    site.env.update(with_constants(site.env, {UNEXPECTED_RETRIES: 0}))
    with celery_worker(site.env, "-P", "processes", "-c", "1", "--soft-time-limit", "1") as worker:
        log = TaskLog(worker)
        assert log.result(site.sender.send(live("first"))) == "applied"
        own_zookeeper.pause()
        try:
            task_id = site.sender.send(live("a"))
            worker.wait_for_log("Soft time limit")
            wait_until(lambda: "again in" in worker.log or failed(site, task_id), what="a retry or a failure")
        finally:
            own_zookeeper.resume()
        assert log.result(task_id) == "applied"
        assert not failed(site, task_id)


def failed(site: Site, task_id: str) -> bool:
    return task_id in site.cache.poll([], [task_id]).failures
