"""Faults while tasks carry many updates each: what is lost or fails is that of each update, not of its task."""

import signal

import pytest

from lastword.contract.task import BATCH_NAME, TASK_NAME
from tests.celery_brokers import CeleryBroker
from tests.faults.figures import measured
from tests.faults.load import Load, publish
from tests.faults.workers.poison import KILLS
from tests.faults.workers.test_poison import POISONED, QUICK, dead_letters, kept_running, publish_poison
from tests.faults.zookeeper.znodes import locked_elsewhere
from tests.flow import Flow
from tests.history.recorded_flow import RecordedFlow
from tests.injected.constants import IN_FLIGHT_MAX, with_constants
from tests.pools import GROUP, POOLS_WHERE_A_SERVER_FAILS, name_of
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

BATCHED = {"LASTWORD_UPDATES_PER_TASK": "200"}
MANY = (20_000, 12_000)
FEW = (8_000, 5_000)
LONG_S = 600.0
STUCK = [f"stuck-{number}" for number in range(10)]


def is_batched(log: str) -> bool:
    """Whether a worker has been given a task with many updates."""
    return f"Task {BATCH_NAME}[" in log


@POOLS_WHERE_A_SERVER_FAILS
def test_a_worker_killed_with_all_that_it_has_fetched(flow: Flow, pool: tuple[str, ...]) -> None:
    with flow.bridge(**BATCHED):
        flow.publish(*MANY)
        with celery_worker(flow.environment, *pool) as doomed:
            flow.wait_until_visible(0.1)
            under = f"{name_of(pool)}, 200 updates a task"
            with measured(flow, "worker killed (-9) with all that it has fetched", under=under) as measurement:
                doomed.kill()
                assert is_batched(doomed.log)
                with celery_worker(flow.environment, *pool):
                    measurement.over()
                    flow.wait_until_fresh(deadline_s=LONG_S)  # thousands are sent again, each as a task of its own
                    flow.wait_until_all_is_committed()
        assert measurement.figures.retransmissions, "nothing was lost with the worker: the test shows nothing"


@pytest.mark.parametrize("name", ["redis_broker", "rabbit_broker"])
def test_the_broker_wiped(flow: Flow, name: str, request: pytest.FixtureRequest) -> None:
    broker: CeleryBroker = request.getfixturevalue(name)
    flow.environment["CELERY_BROKER_URL"] = broker.url
    with flow.bridge(**BATCHED, **with_constants(flow.environment, {IN_FLIGHT_MAX: 4_000})):
        flow.publish(*FEW)
        wait_until(lambda: broker.queued() > 15, what="tasks that no worker takes")
        with measured(flow, "Celery broker wiped", under=f"{broker.name}, group, 200 updates a task") as measurement:
            broker.wipe()
            with celery_worker(flow.environment, *GROUP) as worker:
                flow.wait_until_fresh(deadline_s=LONG_S)
                flow.wait_until_all_is_committed()
                assert is_batched(worker.log), "what was not sent before shares tasks"
                assert f"Task {TASK_NAME}[" in worker.log, "what is sent again does not"
        assert measurement.figures.retransmissions, "nothing was lost with the broker: the test shows nothing"


def test_a_bridge_killed_in_the_middle(flow: Flow) -> None:
    with flow.bridge(**BATCHED) as bridge:
        flow.publish(*FEW)
        with celery_worker(flow.environment, *GROUP) as worker:
            flow.wait_until_visible(0.1)
            bridge.kill()
            with flow.bridge(**BATCHED):
                flow.wait_until_fresh(deadline_s=LONG_S)
                flow.wait_until_all_is_committed()
            assert is_batched(worker.log)


def test_ten_of_a_task_whose_locks_stay_busy(flow: Flow) -> None:
    with flow.bridge(LASTWORD_UPDATES_PER_TASK="10"), celery_worker(flow.environment, *GROUP) as worker:
        with locked_elsewhere(flow, *STUCK):
            publish(flow, *STUCK, *(f"free-{number}" for number in range(200)))
            wait_until(lambda: len(flow.held()) == 200, what="all others")
            wait_until(lambda: "handed over" in worker.log, what="a task that leaves some to others")
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def test_a_worker_stopped_in_order_ends_the_tasks_that_it_has(flow: Flow) -> None:
    with flow.bridge(LASTWORD_UPDATES_PER_TASK="5"), Load(flow, per_s=400) as changes:
        with celery_worker(flow.environment, *GROUP) as leaving:
            changes.wait_until_flowing()
            wait_until(lambda: is_batched(leaving.log), what="a task with many updates")
            leaving.send(signal.SIGTERM)
            wait_until(lambda: leaving.exit_code is not None, what="the worker's end")
            assert leaving.exit_code == 0
            received, ended = (leaving.log.count(word) for word in (f"Task {BATCH_NAME}[", "] succeeded in"))
            assert received
            assert ended
        with celery_worker(flow.environment, *GROUP):
            changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
            flow.wait_until_all_is_committed()


def test_an_update_that_kills_its_worker_takes_none_of_its_task_along(flow: RecordedFlow) -> None:
    with (
        kept_running(flow.environment, *GROUP, *POISONED) as ends,
        flow.bridge(**with_constants(flow.environment, QUICK), **BATCHED),
    ):
        flow.publish(1_000, 400)
        publish_poison(flow, f"{KILLS}1")
        flow.publish(1_000, 400, seed=8)
        [letter] = dead_letters(flow, count=1)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        dead_letters(flow, count=1)
    assert (letter.key, letter.ours["class"]) == (f"{KILLS}1".encode(), "WorkerLost")
    assert set(ends) == {-9}
