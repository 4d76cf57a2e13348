"""The clock of the worker or of the bridge set by an hour, forward and back, while both run (libfaketime)."""

from pathlib import Path

import pytest

from tests.faults.figures import measured
from tests.faults.load import Load, is_visible, publish
from tests.flow import Flow
from tests.injected.constants import TIMEOUT_FLOOR_S, with_constants
from tests.lock_helpers import V, open_locks
from tests.pools import POOLS_WHERE_A_SERVER_FAILS, THREADS, name_of
from tests.programs import FAKETIME, faketime_library
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

pytestmark = FAKETIME.mark

HOUR_S = 3_600
PER_S = 20  # libfaketime costs a process much of its speed
PATIENT = {TIMEOUT_FLOOR_S: 5}
DIRECTIONS = pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S], ids=["forward", "back"])
"""One of them would be enough for a timer that goes wrong; which one, nobody knows beforehand."""

CLOCK = "a clock set by an hour"


class Clock:
    """The clock of the processes that have its ``environment``; intervals, by the monotonic clock, go on as ever."""

    def __init__(self, directory: Path) -> None:
        library = faketime_library()
        assert library is not None, FAKETIME.reason
        self._file = directory / "clock"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_CACHE_DURATION": "1",
        }

    def set(self, by_s: int) -> None:
        """Set it to so many seconds from the true time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{by_s:+d}\n", encoding="utf-8")
        new.rename(self._file)


@pytest.fixture
def patches() -> list[str]:
    return ["tests.faults.sleep_under_faketime"]


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@DIRECTIONS
@POOLS_WHERE_A_SERVER_FAILS
def test_the_workers_clock_is_set_under_load(flow: Flow, clock: Clock, pool: tuple[str, ...], by_s: int) -> None:
    with (
        celery_worker(flow.environment | clock.environment, *pool) as worker,
        flow.bridge(**with_constants(flow.environment, PATIENT)),
        Load(flow, products=20, per_s=PER_S) as changes,
    ):
        changes.wait_until_flowing()
        with measured(flow, CLOCK, under=f"the worker's, {by_s:+d} s, {name_of(pool)}"):
            before = hours(worker.log)
            clock.set(by_s)
            wait_until(lambda: hours(worker.log) != before, what="another hour in the worker's log")
            changes.wait_until_flowing()
            clock.set(0)
            changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def test_the_bridges_clock_is_set_under_load(flow: Flow, clock: Clock) -> None:
    """Again and again, since its effect on librdkafka is a matter of the moment."""
    with (
        celery_worker(flow.environment, *THREADS),
        flow.bridge(**with_constants(flow.environment, PATIENT), **clock.environment) as bridge,
        Load(flow, products=20, per_s=PER_S) as changes,
    ):
        changes.wait_until_flowing()
        with measured(flow, CLOCK, under="the bridge's, forward and back five times"):
            for times in range(1, 6):
                for to_s, said in ((HOUR_S, "+3600 s"), (0, "-3600 s")):
                    clock.set(to_s)
                    wait_until(lambda: bridge.log.count(f"clock was set by {said}") == times, what=said)  # noqa: B023
                    changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        assert bridge.log.count("partitions lost") == 0, "it went on to send its heartbeats"


@DIRECTIONS
def test_a_task_that_waits_for_its_retry_while_the_workers_clock_is_set(flow: Flow, clock: Clock, by_s: int) -> None:
    """Celery's time of the retry is one by the clock: an hour away, or long past."""
    with (
        open_locks(flow.environment["ZOOKEEPER_HOSTS"], flow.environment["LASTWORD_ZOOKEEPER_ROOT"]) as others,
        celery_worker(flow.environment | clock.environment, *THREADS) as worker,
        flow.bridge(),
    ):
        grant = others.acquire({"busy": V})
        publish(flow, "busy")
        worker.wait_for_log("Retry in")
        with measured(flow, "a clock set while a task waits for its retry", under=f"the worker's, {by_s:+d} s"):
            clock.set(by_s)
            assert not is_visible(flow, "busy")
            grant.release()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def hours(log: str) -> set[str]:
    """The days and hours in which lines of a log were written."""
    return {line.lstrip("[")[:13] for line in log.splitlines() if line.lstrip("[").startswith("20")}
