"""Bridges that come and go, are stopped, killed, and paused until the group has given their partitions away."""

import re
import signal
from contextlib import ExitStack

import pytest

from tests.faults.figures import measured
from tests.faults.load import Load
from tests.flow import PARTITIONS, Bridge, Flow
from tests.injected.constants import IN_FLIGHT_MAX, with_constants
from tests.pools import GROUP
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

ALL = list(range(PARTITIONS))

BOTH = pytest.mark.parametrize(
    ("protocol", "under"), [("classic", "group"), ("consumer", "group, KIP-848")], ids=["classic", "consumer"]
)
"""Kafka's two protocols for the members of a consumer group."""


def partitions(bridge: Bridge) -> set[int]:
    """Which partitions a bridge has, by what it has logged."""
    held: set[int] = set()
    for what, numbers in re.findall(r"partitions (assigned|revoked|lost): \[([\d, ]*)\]", bridge.log):
        named = {int(number) for number in numbers.split(",") if number.strip()}
        held = held | named if what == "assigned" else held - named
    return held


def wait_until_shared(*bridges: Bridge) -> None:
    """Return when these have all partitions between them, and each has one at least."""

    def shared() -> bool:
        held = [partitions(bridge) for bridge in bridges]
        return all(held) and sorted(number for each in held for number in each) == ALL

    wait_until(shared, what="all partitions with the bridges that are left")


def test_bridge_killed_again_and_again(flow: Flow) -> None:
    with celery_worker(flow.environment, *GROUP), ExitStack() as stack:
        bridge = stack.enter_context(flow.bridge())
        changes = stack.enter_context(Load(flow))
        with measured(flow, "bridge killed (-9), four times, and started again", under="group") as measurement:
            for _ in range(4):
                changes.wait_until_flowing()
                bridge.kill()
                assert bridge.exit_code == -signal.SIGKILL
                bridge = stack.enter_context(flow.bridge())
            measurement.over()
            changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


@BOTH
def test_bridges_come_and_go_under_load(flow: Flow, protocol: str, under: str) -> None:
    """Two and three at a time: some are stopped, some killed, some paused past their session."""
    flow.by(protocol)
    with celery_worker(flow.environment, *GROUP), ExitStack() as stack:

        def start() -> Bridge:
            return stack.enter_context(flow.bridge())

        def go_on(*bridges: Bridge) -> None:
            wait_until_shared(*bridges)
            changes.wait_until_flowing()

        first, second = start(), start()
        changes = stack.enter_context(Load(flow))
        with measured(flow, "two and three bridges come and go", under=under) as measurement:
            go_on(first, second)
            third = start()
            go_on(first, second, third)
            assert first.stop() == 0
            go_on(second, third)
            second.kill()
            go_on(third)
            fourth = start()
            go_on(third, fourth)
            third.send(signal.SIGSTOP)
            go_on(fourth)
            fifth = start()
            third.send(signal.SIGCONT)
            go_on(third, fourth, fifth)
            fourth.kill()
            assert fifth.stop() == 0
            go_on(third)
            measurement.over()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


@pytest.mark.core
@BOTH
def test_a_bridge_paused_past_its_session_commits_nothing_more(flow: Flow, protocol: str, under: str) -> None:
    """It resumes with records in flight, and offsets to commit, of partitions that are another's by now."""
    flow.by(protocol)
    with celery_worker(flow.environment, *GROUP), flow.bridge() as paused, Load(flow) as changes:
        changes.wait_until_flowing()
        with measured(flow, "bridge paused (SIGSTOP) past its session", under=under) as measurement:
            paused.send(signal.SIGSTOP)
            with flow.bridge() as other:
                wait_until(lambda: partitions(other) == set(ALL), what="its partitions with the other")
                changes.wait_until_flowing()
                measurement.taken_over()
                changes.stop()
                flow.wait_until_fresh()
                flow.wait_until_all_is_committed()
                before = flow.committed()
                paused.send(signal.SIGCONT)
                measurement.over()
                paused.wait_for_log("partitions lost")
                assert flow.committed() == before
                wait_until_shared(paused, other)
                assert flow.committed() == before
        flow.wait_until_all_is_committed()


@pytest.mark.core
def test_a_rebalance_while_more_has_come_than_there_is_room_for(flow: Flow) -> None:
    """What waits for room goes with its partition; the bridge that it came to does not stumble over it."""
    few = with_constants(flow.environment, {IN_FLIGHT_MAX: 8})
    with flow.bridge(**few) as first:
        flow.publish(400, 200)
        first.wait_for_log(f"paused {ALL}")
        with flow.bridge(**few) as second, celery_worker(flow.environment, *GROUP):
            wait_until_shared(first, second)
            flow.wait_until_fresh()
            flow.wait_until_all_is_committed()
            assert first.exit_code is None
            assert second.exit_code is None


def test_bridges_are_replaced_by_those_of_the_other_protocol_and_back(flow: Flow) -> None:
    """One by one, as an orchestrator does it: a new one is up before an old one is stopped."""
    with celery_worker(flow.environment, *GROUP), ExitStack() as stack:
        old = [stack.enter_context(flow.bridge()) for _ in range(2)]
        wait_until_shared(*old)
        changes = stack.enter_context(Load(flow))
        with measured(flow, "bridges replaced by those of the other group protocol", under="group") as measurement:
            flow.by("consumer")
            new = [stack.enter_context(flow.bridge("does not take this bridge in")) for _ in range(2)]
            changes.wait_until_flowing()
            for bridge in old:
                assert bridge.stop() == 0
            wait_until_shared(*new)
            changes.wait_until_flowing()
            flow.by("classic")
            back = stack.enter_context(flow.bridge())
            wait_until_shared(back, *new)
            for bridge in new:
                assert bridge.stop() == 0
            wait_until(lambda: partitions(back) == set(ALL), what="its partitions with the last")
            changes.wait_until_flowing()
            measurement.over()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
