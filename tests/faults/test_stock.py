"""LASTWORD_STOCK: the flow on the public parts of the libraries alone holds the same rules, under the same faults."""

from contextlib import ExitStack

import pytest

from servers import Redis, ZooKeeper
from tests.celery_brokers import RabbitBroker
from tests.commands import run
from tests.flow import Flow
from tests.pools import GROUP, PREFORK, THREADS, long_run
from tests.worker_helpers import celery_worker

STOCK = {"LASTWORD_STOCK": "true"}
NOT_STOCK = {"LASTWORD_STOCK": "false"}

WHAT_IS_USED = """
import tasks
app = tasks.app
print(app.conf.worker_pool, app.conf.worker_consumer, app.events.dispatcher_cls)
print(app.connection().get_transport_cls().__module__)
"""


@pytest.mark.core
def test_neither_pool_nor_transport_nor_events_are_ours() -> None:
    def used(**switch: str) -> str:
        return run(["-c", WHAT_IS_USED], switch).out

    assert used(**STOCK) == (
        "threads celery.worker.consumer:Consumer celery.events.dispatcher:EventDispatcher\nkombu.transport.redis\n"
    )
    assert used(**NOT_STOCK) == (
        "tasks.groups.pool:GroupPool tasks.broker.consumer:Consumer tasks.broker.events:Dispatcher\n"
        "lastword.broker.transport\n"
    )


@pytest.mark.core
def test_every_change_arrives_and_is_committed(flow: Flow) -> None:
    with celery_worker(flow.environment | STOCK, "-c", "8") as worker, flow.bridge(**STOCK):
        flow.publish(1_500, 300)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        assert "concurrency: 8 (thread)" in worker.log


@pytest.mark.parametrize("pool", [GROUP, PREFORK], ids=["threads", "prefork"])
def test_workers_and_bridges_are_killed(flow: Flow, pool: tuple[str, ...]) -> None:
    flow.environment |= STOCK
    with ExitStack() as stack:
        worker = stack.enter_context(celery_worker(flow.environment, *pool))
        bridge = stack.enter_context(flow.bridge())
        flow.publish(*long_run(THREADS))
        for share in (0.2, 0.5):
            flow.wait_until_visible(share)
            worker.kill()
            bridge.kill()
            worker = stack.enter_context(celery_worker(flow.environment, *pool))
            bridge = stack.enter_context(flow.bridge())
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def test_every_server_fails(flow: Flow, own_redis: Redis, own_zookeeper: ZooKeeper) -> None:
    flow.environment |= STOCK
    with celery_worker(flow.environment, "-c", "8"), flow.bridge():
        flow.publish(*long_run(THREADS))
        flow.wait_until_visible(0.2)
        own_zookeeper.restart()
        flow.publish(400, 300, seed=8)
        flow.broker.flushdb()
        flow.publish(400, 300, seed=9)
        own_redis.pause()
        own_redis.resume()
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def test_rabbitmq_is_the_broker_and_is_restarted(flow: Flow, rabbit_broker: RabbitBroker) -> None:
    flow.environment |= STOCK | {"CELERY_BROKER_URL": rabbit_broker.url}
    with celery_worker(flow.environment, "-c", "8"), flow.bridge():
        flow.publish(*long_run(THREADS))
        flow.wait_until_visible(0.2)
        rabbit_broker.server.restart()
        flow.publish(400, 300, seed=8)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


@pytest.mark.parametrize("stock", ["worker", "bridge"])
def test_it_works_beside_processes_without_the_switch(flow: Flow, stock: str) -> None:
    of_worker, of_bridge = (STOCK, NOT_STOCK) if stock == "worker" else (NOT_STOCK, STOCK)
    with celery_worker(flow.environment | of_worker), flow.bridge(**of_bridge):
        flow.publish(800, 300)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
