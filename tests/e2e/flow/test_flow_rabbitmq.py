"""The whole flow with RabbitMQ as Celery's broker."""

from tests.celery_brokers import RabbitBroker
from tests.flow import Flow
from tests.pools import POOLS
from tests.worker_helpers import celery_worker

COUNT, PRODUCTS = 800, 150


@POOLS
def test_every_product_ends_at_its_newest_and_every_offset_is_committed(
    flow: Flow, rabbit_broker: RabbitBroker, pool: tuple[str, ...]
) -> None:
    flow.environment["CELERY_BROKER_URL"] = rabbit_broker.url
    with celery_worker(flow.environment, *pool) as worker, flow.bridge() as bridge:
        flow.publish(COUNT, PRODUCTS)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        assert "amqp://" in worker.log
        assert "is not certain" not in bridge.log
    assert rabbit_broker.queued() == 0
