"""What becomes of a task in a real worker: seen in its log, its events, the cache and the recorded failures."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lastword.cache.cache import TaskFailure
from lastword.cache.failures import failure_key
from lastword.contract.record import Update
from lastword.contract.task import TASK_NAME
from servers import Reachable, ReachableRedis, Redis
from tests.faults.workers.poison import RAISES
from tests.injected.constants import LOCK_BUSY_MAX_S, RETRY_MAX_S, UNEXPECTED_RETRIES, with_constants
from tests.lock_helpers import acquire_when_possible
from tests.task_helpers import Running, Site, TaskLog, live, open_site, task_events
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

POOLS = {"group": (), "processes": ("-P", "processes", "-c", "2"), "threads": ("-P", "threads", "-c", "8")}


@pytest.fixture(scope="module", params=list(POOLS))
def running(
    request: pytest.FixtureRequest, cache_server: Redis, redis_server: ReachableRedis, zookeeper_server: Reachable
) -> Iterator[Running]:
    with open_site(cache_server, redis_server, zookeeper_server) as site:
        site.env.update(with_constants(site.env, {LOCK_BUSY_MAX_S: 2, UNEXPECTED_RETRIES: 2, RETRY_MAX_S: 2}))
        with celery_worker(site.env, *POOLS[request.param], "-I", "tests.faults.workers.poison") as worker:
            yield Running(site, worker)


@pytest.fixture(autouse=True)
def no_tracebacks(request: pytest.FixtureRequest, running: Running) -> Iterator[None]:
    """What was foreseen is told in one line."""
    before = running.worker.log.count("Traceback")
    yield
    if "nobody_foresaw" not in request.node.name:
        assert running.worker.log.count("Traceback") == before, running.worker.log_tail()


@contextmanager
def locked(site: Site, entity_id: str) -> Iterator[None]:
    """Hold the product's lock in another process's session."""
    with site.other_locks() as locks, acquire_when_possible(locks, entity_id):
        yield


@contextmanager
def failures_refused(site: Site) -> Iterator[None]:
    """Let the worker's Redis user write products and nothing else."""
    site.raw.acl_setuser("default", enabled=True, nopass=True, keys=[f"{site.key('')}*"], reset_keys=True)
    try:
        yield
    finally:
        site.raw.acl_setuser("default", enabled=True, nopass=True, keys=["*"], reset_keys=True)


def assert_recorded(site: Site, update: Update, task_id: str, nonce: str, error: str) -> TaskFailure:
    failure = site.cache.poll([], [task_id]).failures[task_id]
    assert (failure.version, failure.nonce, failure.error) == (update.version, nonce, error)
    assert 86_000 < site.raw.ttl(failure_key(task_id)) <= 86_400
    return failure


def test_every_outcome_is_the_tasks_result(site: Site, log: TaskLog) -> None:
    assert log.result(site.sender.send(live("a", 2))) == "applied"
    assert log.result(site.sender.send(live("a", 2))) == "duplicate"
    assert log.result(site.sender.send(live("a", 1))) == "stale"
    assert log.result(site.sender.send(live("a", 2, b"2"))) == "conflict"
    log.worker.wait_for_log(f"product 'a': version {live('a', 2).version} came with two contents")


# In the threads pool Celery 5.6 loses events: https://github.com/celery/celery/issues/10434
@pytest.mark.parametrize("running", ["group", "processes"], indirect=True)
def test_events_tell_outcomes_and_retries_but_no_data(running: Running, site: Site, log: TaskLog) -> None:
    update = live("shown", data=b'"a price nobody may know"')
    with task_events(site.app, running.worker) as events:
        with locked(site, "shown"):
            task_id = site.sender.send(update)
            wait_until(lambda: log.retries(task_id), what="a retry")
        assert log.result(task_id) == "applied"

        def mine(kind: str) -> list[dict[str, object]]:
            return [event for event in list(events) if event.get("uuid") == task_id and event["type"] == kind]

        [succeeded] = wait_until(lambda: mine("task-succeeded"), what="the event of the success")
    assert succeeded["result"] == "'applied'"
    assert "LockBusyError" in str(mine("task-retried")[0]["exception"])
    assert {event["args"] for event in mine("task-received")} == {f"('shown', {update.version})"}
    assert "nobody may know" not in str(events) + log.worker.log


def test_a_busy_lock_is_tried_again_after_whole_seconds(site: Site, log: TaskLog) -> None:
    update = live("busy")
    with locked(site, "busy"):
        task_id = site.sender.send(update)
        wait_until(lambda: log.retries(task_id), what="a retry")
        assert not site.holds(update)

    assert log.result(task_id) == "applied"
    assert site.holds(update)
    for retry in log.retries(task_id):
        assert re.match(r"Retry in [12]s: LockBusyError", retry)


def test_a_redis_that_is_down_for_a_while_costs_nothing(site: Site, log: TaskLog, cache_server: Redis) -> None:
    update = live("outage")
    cache_server.stop()
    try:
        task_id = site.sender.send(update)
        wait_until(lambda: log.retries(task_id), what="a retry")
    finally:
        cache_server.start()

    assert log.result(task_id) == "applied"
    assert site.holds(update)
    for retry in log.retries(task_id):
        assert re.match(r"Retry in [12]s: CacheUnavailableError", retry)


def test_a_task_whose_time_is_over_is_given_up_instead_of_retried(site: Site, log: TaskLog) -> None:
    update = live("late")
    with locked(site, "late"):
        task_id = site.sender.send(update, task_life_s=-1)
        given_up = log.failure(task_id)

    assert given_up.startswith("GivenUpError(")
    assert "'late'" in given_up
    assert not log.retries(task_id)
    assert not site.raw.exists(failure_key(task_id)), "the bridge sends it again"
    assert not site.holds(update)


def test_a_first_delivery_after_its_time_is_tried(site: Site, log: TaskLog) -> None:
    update = live("first")
    assert log.result(site.sender.send(update, task_life_s=-86_400)) == "applied"
    assert site.holds(update)


def test_a_permanent_failure_is_recorded_for_the_bridge(site: Site, log: TaskLog) -> None:
    update = live("not ours")
    site.raw.set(site.key("not ours"), "a string")

    task_id, nonce = site.sender.send_with_nonce(update)

    assert log.failure(task_id).startswith("UnusableKeyError(")
    failure = assert_recorded(site, update, task_id, nonce, "UnusableKeyError")
    assert site.key("not ours") in failure.message
    assert not log.retries(task_id)


def test_a_permanent_failure_that_cannot_be_recorded_is_tried_again(site: Site, log: TaskLog) -> None:
    update = live("not recorded")
    site.raw.set(site.key("not recorded"), "a string")
    with failures_refused(site):
        task_id, nonce = site.sender.send_with_nonce(update)
        [retry, *_] = wait_until(lambda: log.retries(task_id), what="a retry")
    assert re.match(r"Retry in [12]s: CacheUnavailableError", retry)

    assert log.failure(task_id).startswith("UnusableKeyError(")
    assert_recorded(site, update, task_id, nonce, "UnusableKeyError")


def test_an_error_that_nobody_foresaw_is_retried_and_then_recorded(site: Site, log: TaskLog) -> None:
    update = live(f"{RAISES}1")

    task_id, nonce = site.sender.send_with_nonce(update)

    assert log.failure(task_id).startswith("PermanentError('RuntimeError: nobody foresaw this')")
    assert [retry.partition(": RuntimeError")[0] for retry in log.retries(task_id)] == ["Retry in 1s", "Retry in 2s"]
    failure = assert_recorded(site, update, task_id, nonce, "RuntimeError")
    assert failure.message == "nobody foresaw this"
    said = re.findall(r"ERROR.*product 'raises-1', version .*\nTraceback", log.worker.log)
    assert len(said) == 3, "each time with a traceback, for it is a bug"


def test_an_error_that_nobody_foresaw_is_not_counted_anew_when_it_cannot_be_recorded(site: Site, log: TaskLog) -> None:
    update = live(f"{RAISES}unrecorded")
    with failures_refused(site):
        task_id, nonce = site.sender.send_with_nonce(update)
        wait_until(lambda: len(log.retries(task_id)) >= 3, what="two retries, and one to record the failure")
    assert log.failure(task_id).startswith("PermanentError('RuntimeError: nobody foresaw this')")

    causes = [re.sub(r".*s: (\w+)\(.*", r"\1", retry) for retry in log.retries(task_id)]
    assert causes[:3] == ["RuntimeError", "RuntimeError", "CacheUnavailableError"]
    assert {*causes[3:]} <= {"CacheUnavailableError"}
    assert_recorded(site, update, task_id, nonce, "RuntimeError")


@pytest.mark.parametrize("args", [[99, {"id": "a"}], [1, {"id": "a"}], [1, "not an object"]])
def test_arguments_of_another_release_fail_without_a_record(site: Site, log: TaskLog, args: list[object]) -> None:
    task_id = site.app.send_task(TASK_NAME, args=args, ignore_result=True).id

    assert log.failure(task_id).startswith("UnknownFormatError(")
    assert not log.retries(task_id)
    assert not site.raw.exists(failure_key(task_id))


def test_a_storm_of_updates_of_a_few_products_ends_at_the_newest(site: Site, log: TaskLog) -> None:
    products = [f"storm {number}" for number in range(5)]
    sequences = [7, 3, 9, 1, 8, 2, 6, 0, 5, 4] * 2

    task_ids = [site.sender.send(live(product, sequence)) for sequence in sequences for product in products]

    assert {log.result(task_id) for task_id in task_ids} <= {"applied", "stale", "duplicate"}
    assert site.cache.held(products) == {product: live(product, 9).version for product in products}
