"""Getting updates applied beside the bridge: only what is missing is sent, and nothing is claimed that was not seen."""

import time
from collections.abc import Iterator

import pytest
import redis

from bridge.delivery.partition_in_flight import Bounds
from bridge.delivery.retransmit import Clocks
from bridge.delivery.window import Window
from bridge.enqueue.delivery import Delivery
from bridge.enqueue.enqueue import Enqueuer
from lastword.cache.cache import Write
from lastword.commands.verifying.repair import LocatedUpdate, Repair
from lastword.contract.record import Update
from servers import Redis, ZooKeeper
from tests.kafka_helpers import at_most
from tests.task_helpers import Site, live, open_site
from tests.worker_helpers import BROKER_DB, celery_worker

pytestmark = pytest.mark.core

QUEUE = "lastword"
SOON_S = 2.0


@pytest.fixture(scope="module")
def cache_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("cache")) as server:
        yield server


@pytest.fixture(scope="module")
def broker_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture
def site(cache_server: Redis, broker_server: Redis, own_zookeeper: ZooKeeper) -> Iterator[Site]:
    with open_site(cache_server, broker_server, own_zookeeper) as site:
        yield site


def repair(site: Site, *, deadline_s: float = 30.0, floor_s: float = 2.0, in_flight_max: int = 10_000) -> Repair:
    window = Window(Bounds(in_flight_max, 2**26), Clocks(floor_s=floor_s))
    enqueuer = Enqueuer(site.app, "products")
    return Repair(window, Delivery(window, enqueuer, site.cache, back_off_max_s=0.5), deadline_s=deadline_s)


def found(count: int, *, products: int = 10**6, partitions: int = 4) -> list[LocatedUpdate]:
    return [
        LocatedUpdate(number % partitions, number, live(f"p{number % products}", number)) for number in range(count)
    ]


def hold(site: Site, updates: list[Update]) -> None:
    site.cache.write([Write(update, "1") for update in updates])


@pytest.fixture
def broker(broker_server: Redis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(broker_server.url(BROKER_DB)) as client:
        yield client


def test_only_what_is_missing_is_sent_and_all_of_it_is_seen(site: Site) -> None:
    updates = found(2_000, products=500)
    hold(site, [live("p0", 1_500), live("p1", 10**6), live("p2", 502)])  # as new, newer, older

    with celery_worker(site.env, "-P", "threads", "-c", "8") as worker:
        one = repair(site, in_flight_max=200)
        one.apply(updates)
        assert "[products:2:1502] received" in worker.log
        for held in ("[products:0:500]", "[products:0:1500]", "[products:1:1501]"):
            assert held not in worker.log

    assert (one.stalled, one.missed, one.in_flight) == ("", 0, 0)
    assert one.held + one.confirmed == 2_000
    assert all(site.holds(live(f"p{number}", 1_500 + number)) for number in range(500) if number != 1)
    assert site.holds(live("p1", 10**6))


def test_what_is_held_costs_no_task_and_no_worker(site: Site, broker: redis.Redis) -> None:
    updates = found(2_500)
    hold(site, [each.update for each in updates])

    one = repair(site)
    one.apply(updates)

    assert (one.held, one.confirmed, one.missed, one.stalled) == (2_500, 0, 0, "")
    assert broker.llen(QUEUE) == 0


def test_the_newest_of_a_batch_counts(site: Site) -> None:
    newest_in_the_middle = [
        LocatedUpdate(0, 0, live("a", 1)),
        LocatedUpdate(0, 1, live("a", 3)),
        LocatedUpdate(0, 2, live("a", 2)),
    ]
    one = repair(site, deadline_s=SOON_S)
    one.apply(newest_in_the_middle)

    assert [(each.offset, each.version.sequence) for each in one.unconfirmed] == [(1, 3)]
    assert (one.held, one.confirmed, one.missed) == (2, 0, 1)


def test_without_a_worker_it_ends_at_the_deadline_and_names_what_is_missing(site: Site) -> None:
    begin = time.monotonic()
    one = repair(site, deadline_s=SOON_S, in_flight_max=100)
    with at_most(60, "giving up"):
        one.apply(found(5_000))

    assert time.monotonic() - begin >= SOON_S
    assert "does a worker run?" in one.stalled
    assert (one.held, one.confirmed, one.in_flight) == (0, 0, 0)
    assert one.missed == 1_000  # the batch that was given; the others were not even asked for
    assert {each.reason for each in one.unconfirmed} == {"not seen in Redis", "not sent"}


def test_one_that_never_arrives_stops_no_other(site: Site) -> None:
    site.raw.set(site.key("p3"), "somebody else's")
    with celery_worker(site.env, "-P", "threads", "-c", "8"):
        one = repair(site)
        one.apply(found(200))

    assert one.stalled == ""
    [missing] = one.unconfirmed
    assert (missing.product_id, missing.partition, missing.offset) == ("p3", 3, 3)
    assert missing.reason.startswith("UnusableKeyError: ")
    assert one.confirmed == 199


def test_one_whose_task_always_gets_lost_is_given_up_after_the_others(site: Site) -> None:
    # Its lock is somebody else's all the time: the task is retried again and again.
    with site.other_locks() as locks, celery_worker(site.env, "-P", "threads", "-c", "8"):
        update = live("p7", 7)
        locks.acquire({update.entity_id: update.version})
        one = repair(site, deadline_s=4.0, floor_s=0.3)
        one.apply(found(300))

    [missing] = one.unconfirmed
    assert missing.product_id == "p7"
    assert "not seen in Redis" in missing.reason or "times in" in missing.reason
    assert one.confirmed == 299


def test_a_redis_that_is_down_for_a_while_costs_nothing(site: Site, cache_server: Redis) -> None:
    with celery_worker(site.env, "-P", "threads", "-c", "8"):
        one = repair(site)
        one.give(found(500))
        cache_server.pause()
        try:
            one.turn()
            assert one.in_flight == 500
        finally:
            cache_server.resume()
        one.finish()
    assert (one.confirmed, one.missed, one.stalled) == (500, 0, "")


def test_a_broker_that_is_gone_is_named(site: Site, broker_server: Redis) -> None:
    one = repair(site, deadline_s=SOON_S)
    broker_server.stop()
    try:
        one.apply(found(10))
    finally:
        broker_server.start()
    assert "the Celery broker does not take tasks" in one.stalled
    assert {each.reason for each in one.unconfirmed} == {"not sent for certain"}


def test_tasks_that_are_lost_are_sent_again(site: Site, broker: redis.Redis) -> None:
    one = repair(site, floor_s=0.3)
    one.give(found(50))
    one.turn()
    assert broker.llen(QUEUE) == 50
    broker.flushdb()
    with celery_worker(site.env, "-P", "threads", "-c", "8"):
        one.finish()
    assert (one.confirmed, one.missed) == (50, 0)
