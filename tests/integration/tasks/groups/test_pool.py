"""The group pool in a real worker: many tasks share round trips, and each has an end of its own."""

import re
import time
from collections.abc import Iterator

import pytest
import redis

from lastword.contract.task import TASK_NAME
from servers import Reachable, ReachableRedis, Redis
from tasks.broker.events import EVERY_S
from tests.injected.constants import LOCK_BUSY_MAX_S, RETRY_MAX_S, with_constants
from tests.lock_helpers import acquire_when_possible
from tests.task_helpers import Running, Site, TaskLog, live, open_site, task_events
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

pytestmark = pytest.mark.core

MANY = 2_000


@pytest.fixture(scope="module")
def running(cache_server: Redis, redis_server: ReachableRedis, zookeeper_server: Reachable) -> Iterator[Running]:
    with open_site(cache_server, redis_server, zookeeper_server) as site:
        site.env.update(with_constants(site.env, {LOCK_BUSY_MAX_S: 2, RETRY_MAX_S: 2}))
        with celery_worker(site.env) as worker:
            yield Running(site, worker)


def multis(site: Site) -> int:
    """How many times locks were asked for: each multi sets the guard's data once."""
    guards = f"{site.root}/guards"
    return sum(site.zookeeper.get(f"{guards}/{name}")[1].version for name in site.zookeeper.get_children(guards))


def all_applied(log: TaskLog, task_ids: list[str]) -> None:
    def ended() -> bool:
        text = log.worker.log
        return all(f"Task {TASK_NAME}[{task_id}] succeeded" in text for task_id in task_ids)

    wait_until(ended, what=f"{len(task_ids)} tasks succeed")


def test_it_is_the_pool_that_a_worker_has_when_it_is_told_of_none(log: TaskLog) -> None:
    assert re.search(r"concurrency: 1 \(pool\)", log.worker.log), log.worker.log


def test_many_updates_share_the_round_trips_to_zookeeper_and_redis(site: Site, log: TaskLog) -> None:
    products = [f"many {number}" for number in range(MANY)]
    before = multis(site)
    reads = site.raw.info("stats")["total_reads_processed"]

    all_applied(log, site.sender.send_all([live(product) for product in products]))

    assert len(site.cache.held(products)) == MANY
    assert site.locks() == 0
    # 50 locks at most go into one multi; groups that arrive by and by are smaller.
    assert MANY / 50 <= multis(site) - before < MANY / 10
    assert site.raw.info("stats")["total_reads_processed"] - reads < MANY / 4


def test_the_updates_of_one_product_in_a_group_end_at_the_newest(site: Site, log: TaskLog) -> None:
    updates = [live("hot", sequence) for sequence in [3, 9, 1, 7, 9, 8]]

    results = [log.result(task_id) for task_id in site.sender.send_all(updates)]

    assert site.holds(live("hot", 9))
    assert results[1] in {"applied", "duplicate"}
    assert {results[2], results[3], results[5]} <= {"applied", "stale"}


def test_a_busy_lock_holds_up_nobody_else(site: Site, log: TaskLog) -> None:
    with site.other_locks() as locks, acquire_when_possible(locks, "held"):
        busy, *others = site.sender.send_all([live("held"), *(live(f"free {number}") for number in range(200))])
        all_applied(log, others)
        assert not site.holds(live("held"))
    assert log.result(busy) == "applied"


def test_a_lock_that_is_soon_free_is_taken_without_a_retry(site: Site, log: TaskLog) -> None:
    update = live("soon free")
    with site.other_locks() as locks, acquire_when_possible(locks, "soon free"):
        task_id = site.sender.send(update)
        # It is certain to have met the busy lock when one that was sent after it has ended.
        log.result(site.sender.send(live("after it")))
    assert log.result(task_id) == "applied"
    assert not log.retries(task_id)


def test_an_update_that_fails_for_good_takes_no_other_one_of_its_group_with_it(site: Site, log: TaskLog) -> None:
    site.raw.set(site.key("not ours"), "a string")
    ours = [live(f"ours {number}") for number in range(20)]

    bad, *good = site.sender.send_all([live("not ours"), *ours])

    assert log.failure(bad).startswith("UnusableKeyError(")
    assert {log.result(task_id) for task_id in good} == {"applied"}


def test_arguments_of_another_release_fail_alone(site: Site, log: TaskLog) -> None:
    unknown = site.app.send_task(TASK_NAME, args=[99, {"id": "a"}], ignore_result=True).id
    task_ids = site.sender.send_all([live(f"known {number}") for number in range(20)])
    assert log.failure(unknown).startswith("UnknownFormatError(")
    assert {log.result(task_id) for task_id in task_ids} == {"applied"}


def test_each_task_has_its_own_events_in_their_order(running: Running, site: Site, log: TaskLog) -> None:
    with task_events(site.app, running.worker) as events:
        task_ids = site.sender.send_all([live(f"seen {number}") for number in range(100)])
        all_applied(log, task_ids)

        def kinds(task_id: str) -> list[str]:
            return [event["type"] for event in list(events) if event.get("uuid") == task_id]

        expected = ["task-received", "task-started", "task-succeeded"]
        for task_id in task_ids:
            wait_until(lambda task_id=task_id: kinds(task_id) == expected, what=f"the events of {task_id}")  # type: ignore[misc]


def test_events_of_tasks_that_come_one_by_one_share_messages(
    running: Running, site: Site, log: TaskLog, redis_server: ReachableRedis
) -> None:
    def published() -> int:
        told: dict[str, dict[str, int]] = broker.info("commandstats")
        return told.get("cmdstat_publish", {}).get("calls", 0)

    with redis.Redis.from_url(redis_server.url()) as broker, task_events(site.app, running.worker) as events:
        before, began = published(), time.monotonic()
        task_ids = []
        for number in range(100):
            task_ids.append(site.sender.send(live(f"alone {number}")))
            log.result(task_ids[-1])
        ended = {"task-succeeded", "task-received"}
        wait_until(
            lambda: sum(e["type"] in ended and e["uuid"] in task_ids for e in list(events)) == 2 * len(task_ids),
            what="all events",
        )
        passed_s = time.monotonic() - began
        # And a heartbeat every two seconds. It is fewer than the events where all this takes less than half a minute.
        assert published() - before <= passed_s / EVERY_S + passed_s / 2 + 2


def test_it_answers_and_survives_what_it_cannot_do(running: Running, site: Site, log: TaskLog) -> None:
    name = running.worker.name
    control = site.app.control
    stats = control.inspect([name], timeout=10).stats()
    assert stats
    assert stats[name]["pool"]["max-concurrency"] == 1
    with site.other_locks() as locks, acquire_when_possible(locks, "revoked"):
        task_id = site.sender.send(live("revoked"))
        control.revoke(task_id, terminate=True)
        control.pool_grow(2, destination=[name])
        control.pool_shrink(1, destination=[name])
        control.autoscale(4, 2, destination=[name])
    assert log.result(site.sender.send(live("afterwards"))) == "applied"
    assert running.worker.exit_code is None


def test_tasks_that_come_after_a_lost_broker_connection_are_run(
    site: Site, log: TaskLog, redis_server: ReachableRedis
) -> None:
    with redis.Redis.from_url(redis_server.url()) as broker:
        for number in range(3):
            site.sender.send_all([live(f"cut {number} {product}") for product in range(300)])
            broker.client_kill_filter(_type="normal", skipme=True)
            assert log.result(site.sender.send(live(f"after cut {number}"))) == "applied"
