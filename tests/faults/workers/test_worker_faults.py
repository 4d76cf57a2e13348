"""Workers that are killed, paused and stopped in the middle of updates."""

import signal
from contextlib import ExitStack
from statistics import median

from tests.faults.figures import measured
from tests.faults.load import Load, is_visible, not_fresh, publish, times_to_visible
from tests.faults.stall import standing_worker
from tests.faults.zookeeper.znodes import locked_elsewhere, znodes_of
from tests.flow import Flow
from tests.pools import GROUP, POOLS, POOLS_OF_WHICH_ONE_IS_CORE, POOLS_WHERE_A_SERVER_FAILS, long_run, name_of
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

STUCK = [f"stuck-{number}" for number in range(10)]  # products whose locks somebody else keeps


@POOLS_OF_WHICH_ONE_IS_CORE
def test_a_worker_killed_while_it_holds_locks(flow: Flow, pool: tuple[str, ...]) -> None:
    with (
        znodes_of(flow) as znodes,
        standing_worker(flow, pool, "before write") as (_, standing, doomed),
        celery_worker(flow.environment, *pool),
        Load(flow) as changes,
    ):
        changes.wait_until_flowing()
        with measured(flow, "worker killed (-9) holding locks", under=name_of(pool)) as measurement:
            assert znodes.owner("p") == standing.client_id[0], "it holds the lock"
            assert not is_visible(flow, "p"), "in the middle of its task"
            doomed.kill()
            wait_until(lambda: znodes.owner("p") != standing.client_id[0], what="the lock free")
            measurement.taken_over()
            wait_until(lambda: is_visible(flow, "p"), what="the product whose lock was held")
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def test_a_worker_killed_twice_in_a_minute(flow: Flow) -> None:
    with flow.bridge(), ExitStack() as workers, Load(flow, products=300) as changes:
        doomed = workers.enter_context(celery_worker(flow.environment, *GROUP))
        wait_until(lambda: len(not_fresh(flow)) < 50, what="the first change of nearly every product")
        with measured(flow, "worker killed (-9) twice in a minute") as measurement:
            for _ in range(2):
                doomed.kill()
                doomed = workers.enter_context(celery_worker(flow.environment, *GROUP))
                changes.wait_until_flowing()
            measurement.over()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def test_a_worker_killed_with_all_that_it_has_fetched(flow: Flow) -> None:
    with flow.bridge(), ExitStack() as workers:
        doomed = workers.enter_context(celery_worker(flow.environment, *GROUP))
        flow.publish(*long_run(GROUP))
        flow.wait_until_visible(0.2)
        with measured(flow, "worker killed (-9) with all that it has fetched", under="group") as measurement:
            doomed.kill()
            workers.enter_context(celery_worker(flow.environment, *GROUP))
            measurement.over()
            flow.wait_until_fresh()
        assert measurement.figures.retransmissions, "nothing was lost with the worker: the test shows nothing"
        flow.wait_until_all_is_committed()


@POOLS_WHERE_A_SERVER_FAILS
def test_ten_updates_stuck_and_the_broker_wiped(flow: Flow, pool: tuple[str, ...]) -> None:
    with flow.bridge(), celery_worker(flow.environment, *pool) as worker:
        with locked_elsewhere(flow, *STUCK):
            publish(flow, *STUCK)
            wait_until(lambda: all(f"product {one!r}" in worker.log for one in STUCK), what="a try of each")
            flow.publish(*long_run(pool))
            flow.wait_until_visible(0.2)
            with measured(flow, "ten updates stuck and the broker wiped", under=name_of(pool)) as measurement:
                flow.broker.flushdb()
                wait_until(lambda: not_fresh(flow) == set(STUCK), what="all others at their newest")
            assert measurement.figures.retransmissions, "nothing was lost with the broker: the test shows nothing"
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


@POOLS_WHERE_A_SERVER_FAILS
def test_updates_that_can_never_be_confirmed_slow_no_other(flow: Flow, pool: tuple[str, ...]) -> None:
    with flow.bridge(), celery_worker(flow.environment, *pool[:2], "-c", "2") as worker:
        usual_s = median(times_to_visible(flow, "before"))
        with locked_elsewhere(flow, *STUCK):
            publish(flow, *STUCK)
            wait_until(lambda: worker.log.count(f"product {STUCK[-1]!r}") > 5, what="many tries, by several copies")
            beside_s = median(times_to_visible(flow, "beside"))
            assert not_fresh(flow) == set(STUCK)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    assert beside_s < 5 * usual_s + 1.0, "it waited for a retry of theirs"


@POOLS
def test_a_worker_stopped_in_order_finishes_what_it_has_in_flight_and_leaves_no_znode(
    flow: Flow, pool: tuple[str, ...]
) -> None:
    with (
        znodes_of(flow) as znodes,
        standing_worker(flow, pool, "before write") as (stall, standing, leaving),
        celery_worker(flow.environment, *pool),
        Load(flow) as changes,
    ):
        changes.wait_until_flowing()
        before = set(znodes.guards())
        with measured(flow, "worker stopped (SIGTERM) with tasks in flight", under=name_of(pool)):
            leaving.send(signal.SIGTERM)
            leaving.wait_for_log("Warm shutdown")
            assert znodes.owner("p") == standing.client_id[0], "it has a task in flight"
            stall.let_go()
            wait_until(lambda: leaving.exit_code is not None, what="the worker's end")
            assert leaving.exit_code == 0
            assert standing.guard in before - set(znodes.guards()), "its session is closed, and need not expire"
            assert znodes.owner("p") != standing.client_id[0]
            assert stall.outcome() in {"applied", "stale"}
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
