"""Tasks that carry many updates, in a real worker of each pool: each update has an outcome of its own."""

import re
from collections.abc import Iterator

import pytest

from lastword.contract.task import BATCH_NAME
from servers import Reachable, ReachableRedis, Redis
from tests.injected.constants import UNEXPECTED_RETRIES, with_constants
from tests.lock_helpers import acquire_when_possible
from tests.pools import GROUP, PREFORK, THREADS
from tests.task_helpers import Running, Site, TaskLog, live, open_site, task_events
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker


@pytest.fixture(
    scope="module",
    params=[pytest.param(GROUP, id="group"), pytest.param(THREADS, id="threads"), pytest.param(PREFORK, id="prefork")],
)
def running(
    request: pytest.FixtureRequest, cache_server: Redis, redis_server: ReachableRedis, zookeeper_server: Reachable
) -> Iterator[Running]:
    with open_site(cache_server, redis_server, zookeeper_server) as site:
        site.env.update(with_constants(site.env, {UNEXPECTED_RETRIES: 0}))
        with celery_worker(site.env, *request.param, "-I", "tests.faults.workers.poison") as worker:
            yield Running(site, worker)


def test_each_update_has_its_own_outcome(site: Site, log: TaskLog) -> None:
    site.sender.send_together([live("newer", 5), live("same", 5), live("other data", 5, b"1")])
    wait_until(lambda: site.holds(live("other data", 5)), what="what is there before")
    site.raw.set(site.key("not ours"), "a string")
    new = [live(f"new {number}") for number in range(96)]

    batch, alone = site.sender.send_together(
        [live("newer", 4), live("same", 5), live("not ours"), live("other data", 5, b"2"), *new]
    )

    assert log.summary(batch) == "96 applied, 1 stale, 1 duplicate, 1 handed over, 1 conflict"
    assert log.failure(alone[2]).startswith("UnusableKeyError(")
    assert all(site.holds(update) for update in new)
    assert site.locks() == 0
    assert "version 1763800000000000-5 came with two contents" in log.worker.log


def test_a_busy_lock_holds_up_none_of_the_others(site: Site, log: TaskLog) -> None:
    with site.other_locks() as locks, acquire_when_possible(locks, "held"):
        batch, alone = site.sender.send_together([live("held"), *(live(f"free {number}") for number in range(50))])
        assert log.summary(batch) == "50 applied, 1 handed over"
        assert not site.holds(live("held"))
    assert log.result(alone[0]) == "applied"


def test_a_lock_that_is_soon_free_is_taken_by_the_same_task(site: Site, log: TaskLog) -> None:
    updates = [live("soon free"), live("beside it")]
    with site.other_locks() as locks, acquire_when_possible(locks, "soon free"):
        batch, _ = site.sender.send_together(updates)
        wait_until(lambda: site.holds(updates[1]), what="the other one of the two")
    assert log.summary(batch) == "2 applied"


def test_an_error_that_nobody_foresaw_is_that_of_one_update(site: Site, log: TaskLog) -> None:
    batch, alone = site.sender.send_together([live("raises-here"), *(live(f"good {number}") for number in range(9))])
    assert log.summary(batch) == "10 handed over"
    assert "nobody foresaw this" in log.failure(alone[0])
    assert {log.result(task_id) for task_id in alone[1:]} <= {"applied", "duplicate"}


def test_arguments_of_another_release_fail_as_one(site: Site, log: TaskLog) -> None:
    task_id = site.app.send_task(BATCH_NAME, args=[99, {"updates": []}], ignore_result=True).id
    said = rf"Task {BATCH_NAME}\[{task_id}\] raised expected: UnknownFormatError\("
    wait_until(lambda: re.search(said, log.worker.log), what="its failure")


def test_it_has_the_events_of_one_task_and_shows_no_data(running: Running, site: Site, log: TaskLog) -> None:
    with task_events(site.app, running.worker) as events:
        batch, _ = site.sender.send_together([live(f"seen {number}", data=b'"secret"') for number in range(20)])

        def kinds() -> list[str]:
            return [event["type"] for event in list(events) if event.get("uuid") == batch]

        wait_until(lambda: kinds() == ["task-received", "task-started", "task-succeeded"], what="its events")
    [received] = [event for event in events if event.get("uuid") == batch and event["type"] == "task-received"]
    assert (received["name"], received["args"]) == (BATCH_NAME, "(20 updates)")
    assert "secret" not in str(events)
    assert "secret" not in log.worker.log
