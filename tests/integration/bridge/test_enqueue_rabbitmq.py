"""Enqueuing on a real RabbitMQ as Celery's broker."""

from kombu import Connection

from bridge.enqueue.enqueue import Enqueuer
from tests.celery_brokers import RabbitBroker
from tests.integration.bridge.test_enqueue import entries
from tests.task_helpers import client_app
from tests.waiting import wait_until


def test_a_bridge_that_has_nothing_to_send_keeps_its_connection_to_rabbitmq(rabbit_broker: RabbitBroker) -> None:
    url = f"{rabbit_broker.url}?heartbeat=1"
    enqueuer = Enqueuer(client_app(url), "products")
    enqueuer.send(entries(1))
    with Connection(url) as other:
        other.connect()

        def is_cut_off() -> bool:
            try:
                other.drain_events(timeout=0.1)
            except TimeoutError:
                return False
            except other.connection_errors:
                return True
            return False

        wait_until(is_cut_off, what="the end of a connection that asked for heartbeats and sends none")
    enqueuer.send(entries(1, first=1))
    wait_until(lambda: rabbit_broker.queued() == 2, what="both tasks")
    enqueuer.close()
    rabbit_broker.wipe()
