"""A worker that goes on with what it was doing though its ZooKeeper session, and its lock, are gone meanwhile."""

import pytest

from tasks.lock.grant import Grant
from tests.faults.figures import measured
from tests.faults.load import is_visible, publish
from tests.faults.stall import Point, Stall, standing_worker
from tests.faults.zookeeper.znodes import Znodes, locked_elsewhere, znodes_of
from tests.flow import Flow
from tests.lock_helpers import close_session
from tests.pools import POOLS, POOLS_OF_WHICH_ONE_IS_CORE, PREFORK, THREADS, name_of
from tests.waiting import wait_until
from tests.worker_helpers import CeleryWorker, celery_worker


@POOLS_OF_WHICH_ONE_IS_CORE
def test_the_late_write_of_a_paused_worker_loses(flow: Flow, pool: tuple[str, ...]) -> None:
    with (
        znodes_of(flow) as znodes,
        standing_worker(flow, pool, "before write") as (stall, standing, _),
        celery_worker(flow.environment, *pool),
        measured(flow, "worker paused (SIGSTOP) before its write", under=name_of(pool)) as measurement,
    ):
        assert znodes.owner("p") == standing.client_id[0], "it holds the lock"
        stall.pause(standing)
        publish(flow, "p", number=2)
        znodes.wait_until_gone(standing.guard)
        wait_until(lambda: is_visible(flow, "p", 2), what="the newer change, by the other worker")
        measurement.taken_over()
        stall.let_go()
        measurement.over()
        assert stall.outcome() == "stale"
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


@POOLS
def test_a_paused_worker_releases_nobody_elses_lock(flow: Flow, pool: tuple[str, ...]) -> None:
    with (
        znodes_of(flow) as znodes,
        standing_worker(flow, pool, "before release") as (stall, standing, worker),
        measured(flow, "worker paused (SIGSTOP) before its release", under=name_of(pool)) as measurement,
    ):
        assert is_visible(flow, "p", 1), "it has written"
        stall.pause(standing)
        znodes.wait_until_gone(standing.guard)
        with locked_elsewhere(flow, "p") as next_holder:
            measurement.taken_over()
            stall.let_go()
            measurement.over()
            assert_is_not_released(stall, worker, znodes, next_holder)
        publish(flow, "p", number=2)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


@pytest.mark.parametrize(
    ("pool", "point"),
    [
        pytest.param(THREADS, "before write", id="before-write-threads"),
        pytest.param(PREFORK, "before release", id="before-release-prefork"),
    ],
)
def test_a_session_that_somebody_else_closes(flow: Flow, pool: tuple[str, ...], point: Point) -> None:
    with (
        znodes_of(flow) as znodes,
        standing_worker(flow, pool, point) as (stall, standing, worker),
        measured(flow, f"session closed by someone else {point.replace('before', 'before the')}", under=name_of(pool)),
    ):
        close_session(flow.environment["ZOOKEEPER_HOSTS"], standing.client_id, znodes.client, standing.guard)
        with locked_elsewhere(flow, "p") as next_holder:
            stall.let_go()
            assert_is_not_released(stall, worker, znodes, next_holder)
        publish(flow, "p", number=2)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def assert_is_not_released(stall: Stall, worker: CeleryWorker, znodes: Znodes, next_holder: Grant) -> None:
    """The worker has released and noticed its loss, so that nothing more comes: and the next holder has its lock."""
    stall.wait_until_released()
    worker.wait_for_log("abandoned")
    stat = znodes.lock("p")
    assert stat is not None
    assert f"{stat.czxid:016x}" == next_holder.tokens["p"]
