"""ZooKeeper cut off, falling silent in the middle of a multi, and restarted."""

from collections.abc import Callable

import pytest

from servers import ZooKeeper
from tests.blackhole import BlackHoleProxy
from tests.faults.figures import measured
from tests.faults.load import Load, is_visible, publish
from tests.faults.stall import standing_worker
from tests.faults.zookeeper.znodes import znodes_of
from tests.flow import Flow
from tests.pools import PREFORK, THREADS, name_of
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

Cut = Callable[[BlackHoleProxy], None]
BOTH_WAYS = (BlackHoleProxy.swallow_all, "both ways")
REPLIES = (BlackHoleProxy.swallow_replies, "replies only")


@pytest.mark.parametrize(("cut", "ways"), [BOTH_WAYS, REPLIES], ids=["both-ways", "replies"])
def test_a_black_hole_between_an_idle_worker_and_zookeeper(flow: Flow, cut: Cut, ways: str) -> None:
    with (
        znodes_of(flow) as znodes,
        BlackHoleProxy(flow.environment["ZOOKEEPER_HOSTS"]) as proxy,
        flow.bridge(),
        celery_worker(flow.environment | {"ZOOKEEPER_HOSTS": proxy.address}, *THREADS) as worker,
    ):
        publish(flow, "p", number=1)
        flow.wait_until_fresh()
        (guard,) = znodes.guards()
        with measured(flow, "idle worker cut off from ZooKeeper", under=ways) as measurement:
            cut(proxy)
            if ways == "both ways":  # otherwise its attempts to connect, which arrive, keep the session alive
                znodes.wait_until_gone(guard)
            worker.wait_for_log("is suspended")
            publish(flow, "p", number=2)
            worker.wait_for_log("Retry in")
            assert not is_visible(flow, "p", 2), "nothing is written without a lock"
            proxy.heal()
            measurement.over()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


@pytest.mark.parametrize(
    ("pool", "cut", "ways"),
    [
        pytest.param(PREFORK, *BOTH_WAYS, id="prefork-both-ways"),
        # Threads: the session of a process that has nothing to do would live on, see above.
        pytest.param(THREADS, *REPLIES, id="threads-replies"),
    ],
)
def test_a_black_hole_between_a_busy_worker_and_zookeeper(
    flow: Flow, pool: tuple[str, ...], cut: Cut, ways: str
) -> None:
    with (
        znodes_of(flow) as znodes,
        BlackHoleProxy(flow.environment["ZOOKEEPER_HOSTS"]) as proxy,
        flow.bridge(),
        celery_worker(flow.environment | {"ZOOKEEPER_HOSTS": proxy.address}, *pool) as cut_off,
        Load(flow) as changes,
    ):
        changes.wait_until_flowing()
        guards = znodes.guards()
        with (
            celery_worker(flow.environment, *pool),
            measured(flow, "busy worker cut off from ZooKeeper", under=f"{name_of(pool)}, {ways}") as measurement,
        ):
            cut(proxy)
            for guard in guards:
                znodes.wait_until_gone(guard)
            measurement.taken_over()
            changes.wait_until_flowing()
            seen = cut_off.log.count("Retry in")
            wait_until(lambda: cut_off.log.count("Retry in") > seen + 40, what="an end in time of each of its calls")
            opened = cut_off.log.count(" opened")
            proxy.heal()
            measurement.over()
            wait_until(lambda: cut_off.log.count(" opened") > opened, what="a new session")
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


@pytest.mark.core
def test_the_reply_to_an_acquire_is_lost_after_it_was_committed(flow: Flow) -> None:
    with (
        znodes_of(flow) as znodes,
        BlackHoleProxy(flow.environment["ZOOKEEPER_HOSTS"]) as proxy,
        standing_worker(flow, THREADS, "before acquire", ZOOKEEPER_HOSTS=proxy.address) as (stall, standing, worker),
        measured(flow, "reply to an acquire lost after its commit") as measurement,
    ):
        proxy.swallow_replies()
        stall.let_go()
        wait_until(lambda: znodes.owner("p") == standing.client_id[0], what="the lock, of which nobody knows")
        worker.wait_for_log("not answered")
        wait_until(lambda: znodes.lock("p") is None, what="the lock free, with its session")
        measurement.taken_over()
        assert not is_visible(flow, "p", 1), "nothing is written under a lock that is not certain"
        proxy.heal()
        measurement.over()
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def test_the_reply_to_a_release_is_lost_after_it_was_committed(flow: Flow) -> None:
    with (
        znodes_of(flow) as znodes,
        BlackHoleProxy(flow.environment["ZOOKEEPER_HOSTS"]) as proxy,
        standing_worker(flow, THREADS, "before release", ZOOKEEPER_HOSTS=proxy.address) as (stall, standing, worker),
        measured(flow, "reply to a release lost after its commit") as measurement,
    ):
        assert znodes.owner("p") == standing.client_id[0]
        proxy.swallow_replies()
        stall.let_go()
        wait_until(lambda: znodes.lock("p") is None, what="the lock free")
        assert znodes.client.exists(standing.guard), "by the release: the session is still there"
        publish(flow, "p", number=2)
        worker.wait_for_log("abandoned")
        proxy.heal()
        measurement.over()
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def test_zookeeper_restarted_under_load(flow: Flow, own_zookeeper: ZooKeeper) -> None:
    with flow.bridge(), celery_worker(flow.environment, *THREADS) as worker, Load(flow) as changes:
        changes.wait_until_flowing()
        with measured(flow, "ZooKeeper restarted") as measurement:
            own_zookeeper.restart()
            measurement.over()
            changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
        assert "is suspended" in worker.log
        flow.wait_until_all_is_committed()
