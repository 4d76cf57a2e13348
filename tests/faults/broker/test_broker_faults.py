"""Celery's broker, Redis and RabbitMQ, killed, restarted, paused, wiped and full. It is never the cache's Redis."""

from collections.abc import Iterator

import pytest

from lastword.publisher.publisher import Publisher
from tests.celery_brokers import CeleryBroker, RabbitBroker
from tests.faults.figures import measured
from tests.faults.load import Load, publish
from tests.flow import Flow
from tests.injected.constants import TIMEOUT_FLOOR_S, with_constants
from tests.pools import CELERYS_POOLS, GROUP, POOLS_WHERE_A_SERVER_FAILS, THREADS, name_of
from tests.programs import RABBITMQ
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

UNCERTAIN = "it is not certain that the Celery broker took"
LOST = "Connection to broker lost"


@pytest.fixture(
    params=[pytest.param("redis_broker", id="redis"), pytest.param("rabbit_broker", id="rabbitmq", marks=RABBITMQ.mark)]
)
def broker(request: pytest.FixtureRequest, flow: Flow) -> Iterator[CeleryBroker]:
    """The broker of ``flow``; running, and empty, again after the test."""
    broker: CeleryBroker = request.getfixturevalue(request.param)
    flow.environment["CELERY_BROKER_URL"] = broker.url
    yield broker
    if broker.server.running:
        broker.server.resume()
    else:
        broker.server.start()
    broker.wipe()


@POOLS_WHERE_A_SERVER_FAILS
def test_broker_killed_under_load(flow: Flow, broker: CeleryBroker, pool: tuple[str, ...]) -> None:
    with celery_worker(flow.environment, *pool) as worker, flow.bridge() as bridge, Load(flow) as changes:
        changes.wait_until_flowing()
        with measured(flow, "Celery broker killed (-9)", under=f"{broker.name}, {name_of(pool)}") as measurement:
            broker.server.kill()
            bridge.wait_for_log(UNCERTAIN)
            worker.wait_for_log(LOST)
            broker.server.start()
            measurement.over()
            changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def test_broker_restarted_under_load(flow: Flow, broker: CeleryBroker) -> None:
    with celery_worker(flow.environment, *GROUP) as worker, flow.bridge(), Load(flow) as changes:
        changes.wait_until_flowing()
        with measured(flow, "Celery broker restarted in order", under=f"{broker.name}, group") as measurement:
            broker.server.restart()
            measurement.over()
            worker.wait_for_log(LOST)
            changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def test_broker_paused_under_load(flow: Flow, broker: CeleryBroker) -> None:
    """Its connections stay open, and nothing comes back; what the bridge sends may or may not have left."""
    with celery_worker(flow.environment, *GROUP), flow.bridge() as bridge, Load(flow) as changes:
        changes.wait_until_flowing()
        with measured(flow, "Celery broker paused (SIGSTOP)", under=f"{broker.name}, group") as measurement:
            broker.server.pause()
            # Where everything that was sent has come back already, only what was to be sent tells.
            noticed = (UNCERTAIN, "nothing comes back")
            wait_until(lambda: any(one in bridge.log for one in noticed), what="the bridge to notice")
            broker.server.resume()
            measurement.over()
            changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


@CELERYS_POOLS
def test_broker_wiped_under_load(flow: Flow, broker: CeleryBroker, pool: tuple[str, ...]) -> None:
    with flow.bridge(), Load(flow) as changes:
        with celery_worker(flow.environment, *pool) as first:
            changes.wait_until_flowing()
            first.kill()  # stopped in order, prefork now and then takes half a minute
        wait_until(lambda: broker.queued() > 150, what="tasks that no worker takes")
        with celery_worker(flow.environment, *pool) as worker:
            # In its first moment Celery does not hear that its queue is deleted: celery.worker.loops._quick_drain
            wait_until(lambda: worker.log.count(" received") > 70, what="more than was fetched ahead")
            with measured(flow, "Celery broker wiped", under=f"{broker.name}, {name_of(pool)}") as measurement:
                broker.wipe()
                changes.wait_until_flowing()
                changes.stop()
                # The timeout remembers the time without a worker, and what this one took to come to itself.
                flow.wait_until_fresh(deadline_s=600)
            assert measurement.figures.retransmissions, "tasks were lost"
            flow.wait_until_all_is_committed()


@pytest.mark.parametrize("fault", ["wiped", "killed"])
def test_broker_loses_a_lone_update(flow: Flow, broker: CeleryBroker, fault: str) -> None:
    """Nothing that is sent later and confirmed sooner tells that it is lost: only the silence."""
    with flow.bridge(**with_constants(flow.environment, {TIMEOUT_FLOOR_S: 6})):
        publish(flow, "lone")
        wait_until(lambda: broker.queued() == 1, what="the task in the queue")
        with measured(
            flow, f"Celery broker {fault}, one update in flight", under=f"{broker.name}, threads"
        ) as measurement:
            if fault == "wiped":
                broker.wipe()
                assert broker.queued() == 0
            else:
                broker.server.kill()
                broker.server.start()
            with celery_worker(flow.environment, *THREADS):
                flow.wait_until_fresh()
                flow.wait_until_all_is_committed()
        assert measurement.figures.retransmissions, "the task was lost"


@pytest.mark.parametrize(
    ("alarm", "on", "off"),
    [
        pytest.param(
            "memory",
            ("set_vm_memory_high_watermark", "absolute", "1"),
            ("set_vm_memory_high_watermark", "0.9"),
            id="memory",
        ),
        pytest.param("disk", ("set_disk_free_limit", "1000000GB"), ("set_disk_free_limit", "1MB"), id="disk"),
    ],
)
def test_rabbitmq_takes_nothing_more(
    flow: Flow, rabbit_broker: RabbitBroker, alarm: str, on: tuple[str, ...], off: tuple[str, ...]
) -> None:
    """Publishing blocks once the sockets are full: each call has its deadline, and the bridge polls on."""
    flow.environment["CELERY_BROKER_URL"] = rabbit_broker.url
    control = rabbit_broker.rabbitmq.control
    # A bridge that does not poll loses its partitions by then.
    polling = {"LASTWORD_KAFKA_MAX_POLL_INTERVAL_MS": "8000"}
    with (
        celery_worker(flow.environment, *GROUP),
        flow.bridge(**polling) as bridge,
        Load(flow) as changes,
    ):
        changes.wait_until_flowing()
        with measured(flow, f"RabbitMQ's {alarm} alarm", under="group") as measurement:
            control(*on)
            assert alarm in control("eval", "rabbit_alarm:get_alarms().")
            publish_bulk(flow)
            bridge.wait_for_log(UNCERTAIN)
            bridge.wait_for_log("timed out")
            control(*off)
            measurement.over()
            changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        assert bridge.log.count("partitions assigned") == 1
        assert "partitions lost" not in bridge.log


def publish_bulk(flow: Flow) -> None:
    """More than the sockets between the bridge and its broker take in."""
    publisher = Publisher({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]}, flow.topic)
    for number in range(400):
        flow.publish_one(publisher, f"bulk-{number}", number + 1, padding="x" * 50_000)
    publisher.close(60)
