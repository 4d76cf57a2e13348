"""Marked updates in a real worker: whatever end they come to, their mark is gone; without a mark they are not run."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from bridge.enqueue.own_messages import OwnMessages
from bridge.enqueue.task_message import TaskMessage
from lastword.cache.failures import failure_key
from lastword.cache.started import started_key
from lastword.contract.record import Update
from lastword.contract.task import Arguments, Send
from lastword.contract.task_id import record_id
from lastword.redis.client import CALL_TIMEOUT_S
from servers import ReachableRedis, Redis, ZooKeeper
from tests.faults.workers.poison import RAISES
from tests.injected.constants import UNEXPECTED_RETRIES, with_call_timeout, with_constants
from tests.lock_helpers import acquire_when_possible
from tests.task_helpers import MARKED, Running, Site, TaskLog, live, open_site
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

POOLS = {
    "group": (),
    "processes": ("-P", "processes", "-c", "1", "--soft-time-limit", "3"),
    "threads": ("-P", "threads", "-c", "8"),
}


@pytest.fixture(scope="module", params=list(POOLS))
def running(
    request: pytest.FixtureRequest, cache_server: Redis, redis_server: ReachableRedis, own_zookeeper: ZooKeeper
) -> Iterator[Running]:
    with open_site(cache_server, redis_server, own_zookeeper) as site:
        site.env.update(with_constants(site.env, {UNEXPECTED_RETRIES: 0}))
        site.env.update(with_call_timeout(site.env, CALL_TIMEOUT_S))
        with celery_worker(site.env, *POOLS[request.param], "-I", "tests.faults.workers.poison") as worker:
            yield Running(site, worker)


def send(site: Site, update: Update) -> str:
    """Send the update marked, with its mark and another send's already there, as if two processes had been killed."""
    return site.sender.send_marked(update, before=lambda task_id: leave_marks(site, task_id))


def leave_marks(site: Site, task_id: str) -> None:
    site.raw.hset(started_key(task_id), mapping={MARKED: "killed", "other": "killed"})


def wait_until_mark_is_gone(site: Site, task_id: str) -> None:
    key = started_key(record_id(task_id))

    def marks() -> dict[bytes, bytes]:
        return site.raw.hgetall(key)  # type: ignore[return-value]  # redis-py's types: maybe awaitable

    wait_until(lambda: MARKED.encode() not in marks(), what="the mark gone")
    assert marks() == {b"other": b"killed"}
    assert 86_000 < int(site.raw.ttl(key)) <= 86_400, "it was set, and would not have stayed for ever"


@contextmanager
def marks_refused(site: Site) -> Iterator[None]:
    """Let the worker's Redis user write products and failures, but no marks."""
    keys = [f"{site.key('')}*", "lastword:failed:*"]
    site.raw.acl_setuser("default", enabled=True, nopass=True, keys=keys, reset_keys=True)
    try:
        yield
    finally:
        site.raw.acl_setuser("default", enabled=True, nopass=True, keys=["*"], reset_keys=True)


def test_an_update_that_is_applied_leaves_no_mark(site: Site, log: TaskLog) -> None:
    update = live("a")
    task_id = send(site, update)
    assert log.result(task_id) == "applied"
    wait_until_mark_is_gone(site, task_id)


def test_a_repetition_of_an_older_bridge_has_the_first_tasks_id(site: Site, log: TaskLog) -> None:
    update = live("of an older bridge")
    first = record_id(send(site, update))
    with site.app.connection_for_write() as connection, connection.channel() as channel:
        arguments = Arguments(update=update, nonce=MARKED, first_sent=0.0, not_after=time.time() + 600, marked=True)
        OwnMessages(site.app, timeout_s=5).publish(channel, [TaskMessage.of(Send(first, arguments))])
    assert log.result(first) == "duplicate"
    wait_until_mark_is_gone(site, first)


def test_an_update_that_has_to_be_retried_leaves_no_mark_meanwhile(site: Site, log: TaskLog) -> None:
    update = live("busy")
    with site.other_locks() as locks, acquire_when_possible(locks, "busy"):
        task_id = send(site, update)
        retries = wait_until(lambda: log.retries(task_id), what="a retry")
        wait_until_mark_is_gone(site, task_id)
    assert "LockBusyError" in retries[0]
    assert log.result(task_id) == "applied"
    wait_until_mark_is_gone(site, task_id)


def test_a_permanent_failure_leaves_no_mark(site: Site, log: TaskLog) -> None:
    site.raw.set(site.key("not ours"), "a string")
    task_id = send(site, live("not ours"))
    assert log.failure(task_id).startswith("UnusableKeyError(")
    wait_until_mark_is_gone(site, task_id)
    assert site.raw.exists(failure_key(record_id(task_id)))


def test_an_error_that_nobody_foresaw_leaves_no_mark(site: Site, log: TaskLog) -> None:
    task_id = send(site, live(f"{RAISES}1"))
    assert log.failure(task_id).startswith("PermanentError('RuntimeError: nobody foresaw this')")
    wait_until_mark_is_gone(site, task_id)


@pytest.mark.parametrize("running", ["processes"], indirect=True)
def test_a_soft_time_limit_leaves_no_mark(site: Site, log: TaskLog, own_zookeeper: ZooKeeper) -> None:
    assert log.result(site.sender.send(live("first"))) in {"applied", "duplicate"}
    own_zookeeper.pause()  # the session is connected, as far as the worker knows
    try:
        task_id = send(site, live("limit"))
        log.worker.wait_for_log("Soft time limit")
        wait_until_mark_is_gone(site, task_id)
    finally:
        own_zookeeper.resume()
    assert log.result(task_id) == "applied"


def test_what_cannot_be_marked_is_not_run_until_it_can(site: Site, log: TaskLog) -> None:
    update = live("unmarked")
    with ExitStack() as stack:

        def refuse_marks(task_id: str) -> None:
            leave_marks(site, task_id)
            stack.enter_context(marks_refused(site))

        task_id = site.sender.send_marked(update, before=refuse_marks)
        [retry, *_] = wait_until(lambda: log.retries(task_id), what="a retry")
        assert not site.holds(update)
    assert re.match(r"Retry in 1s: CacheUnavailableError\(.*the keys <key prefix>\* and lastword:\*", retry)
    assert log.result(task_id) == "applied"
    wait_until_mark_is_gone(site, task_id)
