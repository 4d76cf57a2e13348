"""Redis loses what it had confirmed: it is noticed, the topic is read again from where it matters, all is fresh."""

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from servers import Redis
from tests.faults.figures import measured
from tests.faults.losses import COUNT, PRODUCTS, publish_and_confirm, wait_until_all_is_back
from tests.flow import Bridge, Flow
from tests.pools import THREADS, long_run
from tests.waiting import wait_until
from tests.worker_helpers import CeleryWorker, celery_worker


@pytest.fixture
def own_cache(tmp_path: Path, flow: Flow) -> Iterator[Redis]:
    """The flow's cache in a Redis of its own, which writes no snapshot by itself."""
    with Redis(tmp_path / "cache", options={"save": ""}) as server:
        flow.environment["REDIS_URL"] = server.url()
        flow.read_from(redis.Redis.from_url(server.url()))
        yield server


def restart_empty(flow: Flow, server: Redis) -> None:
    assert flow.held(), "there is nothing to lose"
    server.kill()
    server.start()
    assert not flow.held(), "the bridge may have noted something there already"


def received(flow: Flow, worker: CeleryWorker) -> list[tuple[int, int]]:
    """The records whose tasks a worker has received, once for each time."""
    return [(int(n), int(at)) for n, at in re.findall(rf"{flow.topic}:(\d+):(\d+)\] received", worker.log)]


@pytest.mark.core
def test_restarted_empty_while_old_tasks_are_queued(flow: Flow, own_cache: Redis) -> None:
    with flow.bridge() as bridge:
        with celery_worker(flow.environment, *THREADS):
            publish_and_confirm(flow)
        flow.publish(COUNT // 4, PRODUCTS, seed=8)
        wait_until(lambda: flow.broker.llen("lastword") > COUNT // 8, what="tasks in the broker")
        with measured(flow, "Redis (the cache) killed (-9), empty after", under="no worker until then"):
            restart_empty(flow, own_cache)
            bridge.wait_for_log("Redis was emptied")
            with celery_worker(flow.environment, *THREADS):
                wait_until_all_is_back(flow)


@pytest.mark.core
def test_restarted_empty_while_no_bridge_ran(flow: Flow, own_cache: Redis) -> None:
    with ExitStack() as first:
        first.enter_context(celery_worker(flow.environment, *THREADS))
        first.enter_context(flow.bridge())
        publish_and_confirm(flow)
    restart_empty(flow, own_cache)
    with flow.bridge() as bridge, celery_worker(flow.environment, *THREADS):
        bridge.wait_for_log("Redis was emptied")
        wait_until_all_is_back(flow)


@pytest.mark.core
def test_flushed_under_load(flow: Flow, own_cache: Redis) -> None:
    assert own_cache.running
    with celery_worker(flow.environment, *THREADS), flow.bridge() as bridge:
        flow.publish(*long_run(THREADS))
        flow.wait_until_visible(0.5)
        before = len(flow.held())
        with measured(flow, "Redis (the cache) emptied (FLUSHALL)", under="threads"):
            flow.harvest()
            flow.cache.flushall()
            assert len(flow.held()) < before
            flow.publish(COUNT // 4, PRODUCTS, seed=8)
            bridge.wait_for_log("Redis does not hold what it held")
            wait_until_all_is_back(flow)


@pytest.mark.parametrize("running", [True, False], ids=["bridge running", "no bridge"])
def test_restarted_from_an_old_snapshot(flow: Flow, own_cache: Redis, *, running: bool) -> None:
    with ExitStack() as stack:
        worker = stack.enter_context(celery_worker(flow.environment, *THREADS))
        bridge = stack.enter_context(flow.bridge())
        publish_and_confirm(flow)
        old, offsets = dict(flow.newest), flow.committed()
        flow.cache.save()
        snapshot = (own_cache.directory / "dump.rdb").read_bytes()
        publish_and_confirm(flow, seed=8)
        newest = dict(flow.newest)
        assert old != newest
        if not running:
            bridge.stop()

        under = "a bridge running" if running else "a bridge started after"
        with measured(flow, "Redis (the cache) restarted from an old snapshot", under=under):
            flow.harvest()
            own_cache.kill()
            (own_cache.directory / "dump.rdb").write_bytes(snapshot)
            done = len(received(flow, worker))
            own_cache.start()
            assert flow.held() == old, "the writes since the snapshot are lost"

            if not running:
                bridge = stack.enter_context(flow.bridge())
            bridge.wait_for_log("has lost what was written after that")
            wait_until_all_is_back(flow)

        back = {
            int(n): int(to) for n, to in re.findall(r"partition (\d+) goes back from offset \d+ to (\d+)", bridge.log)
        }
        assert back == offsets, "no further than to the snapshot"
        sent = received(flow, worker)[done:]
        assert all(at >= offsets[number] for number, at in sent)


def test_a_restart_of_the_bridge_with_nothing_lost_costs_no_task(flow: Flow, own_cache: Redis) -> None:
    assert own_cache.running
    with celery_worker(flow.environment, *THREADS) as worker:
        with flow.bridge() as bridge:
            flow.publish(COUNT, PRODUCTS)
            flow.wait_until_fresh()
            bridge.kill()
        flow.wait_until_fresh()
        done = len(received(flow, worker))
        with flow.bridge() as bridge:
            flow.wait_until_all_is_committed()
        assert "goes back" not in bridge.log
        assert len(received(flow, worker)) == done


def test_a_redis_that_was_restarted_and_lost_nothing_costs_nothing(flow: Flow, own_cache: Redis) -> None:
    with celery_worker(flow.environment, *THREADS) as worker, flow.bridge() as bridge:
        publish_and_confirm(flow)
        done = len(received(flow, worker))
        flow.cache.config_set("save", "3600 1")  # SIGTERM then writes a snapshot
        own_cache.restart()
        flow.publish(COUNT // 4, PRODUCTS, seed=8)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        assert len(received(flow, worker)) > done
    assert "does not hold" not in bridge.log
    assert "goes back" not in bridge.log


def lose_all_committed(flow: Flow) -> None:
    flow.wait_until_fresh()
    flow.wait_until_all_is_committed()
    assert flow.held()
    flow.harvest()
    flow.cache.flushall()
    assert not flow.held()


def test_two_bridges_and_each_goes_back_with_its_own(flow: Flow, own_cache: Redis) -> None:
    assert own_cache.running
    with celery_worker(flow.environment, *THREADS), flow.bridge() as first, flow.bridge() as second:
        flow.publish(COUNT, PRODUCTS)
        wait_until(lambda: len(numbers(second)) == 2, what="half of the partitions are the newcomer's")
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        # One of them sees it first, and notes something again in the emptied Redis before the other looks.
        second.send(signal.SIGSTOP)
        lose_all_committed(flow)
        first.wait_for_log("goes back")
        wait_until(lambda: flow.cache.hlen(f"lastword:marker:{flow.prefix}") == 2, what="markers of half the topic")
        second.send(signal.SIGCONT)
        second.wait_for_log("goes back")
        wait_until_all_is_back(flow)


def numbers(bridge: Bridge) -> list[str]:
    """The partitions that a bridge had at its last report or assignment."""
    found = re.findall(r"partitions assigned: \[(.*?)\]", bridge.log)
    return found[-1].split(", ") if found and found[-1] else []


def test_a_bridge_killed_in_the_middle_of_going_back(flow: Flow, own_cache: Redis) -> None:
    assert own_cache.running
    with celery_worker(flow.environment, *THREADS):
        with flow.bridge() as bridge:
            flow.publish(COUNT, PRODUCTS)
            lose_all_committed(flow)
            bridge.wait_for_log("goes back")
            bridge.kill()
        assert flow.held() != flow.newest
        with flow.bridge():
            wait_until_all_is_back(flow)


def test_a_rebalance_in_the_middle_of_going_back(flow: Flow, own_cache: Redis) -> None:
    assert own_cache.running
    with celery_worker(flow.environment, *THREADS), ExitStack() as stack:
        bridge = stack.enter_context(flow.bridge())
        publish_and_confirm(flow)
        bridge.send(signal.SIGSTOP)
        lose_all_committed(flow)
        newcomer = stack.enter_context(ExitStack())
        bridge.send(signal.SIGCONT)
        other = newcomer.enter_context(flow.bridge())  # it asks for its half while the first goes back
        bridge.wait_for_log("goes back")
        newcomer.close()
        assert other.exit_code == 0
        wait_until_all_is_back(flow)
