"""A RabbitMQ that answers, and serves nobody: no process ends, and all goes on when it serves again."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, NamedTuple

import pytest
from celery.worker import loops as celery_loops
from kombu import Connection, Queue

import tasks.broker.consumer  # noqa: F401 - mends Celery's loop
from tests.celery_brokers import QUEUE, RabbitBroker
from tests.faults.figures import measured
from tests.faults.load import publish
from tests.faults.logs import LOST, SERVES, Heard, no_traceback
from tests.flow import Flow
from tests.pools import GROUP, PREFORK, THREADS, name_of
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

ALL_PERMISSIONS = ("set_permissions", "guest", ".*", ".*", ".*")


class Refusal(NamedTuple):
    name: str
    made: Callable[[RabbitBroker], AbstractContextManager[None]]


@contextmanager
def queue_deleted(broker: RabbitBroker) -> Iterator[None]:
    broker.wipe()
    yield


@contextmanager
def other_queue(broker: RabbitBroker) -> Iterator[None]:
    wait_until(lambda: is_replaced(broker), what="a queue that is not as we want it")
    try:
        yield
    finally:
        broker.wipe()


def is_replaced(broker: RabbitBroker) -> bool:
    with Connection(broker.url) as connection:
        channel: Any = connection.channel()
        channel.queue_delete(QUEUE)
        try:
            channel.queue_declare(QUEUE, durable=False, auto_delete=False)
        except connection.channel_errors:  # the worker has been quicker
            return False
        return True


@contextmanager
def no_permission(broker: RabbitBroker) -> Iterator[None]:
    control = broker.rabbitmq.control
    control("clear_permissions", "guest")
    control("close_all_connections", "a test")  # what is permitted is remembered for a while
    yield
    control(*ALL_PERMISSIONS)


@contextmanager
def user_deleted(broker: RabbitBroker) -> Iterator[None]:
    control = broker.rabbitmq.control
    control("delete_user", "guest")
    yield
    control("add_user", "guest", "guest")
    control(*ALL_PERMISSIONS)


@contextmanager
def virtual_host_deleted(broker: RabbitBroker) -> Iterator[None]:
    control = broker.rabbitmq.control
    control("delete_vhost", "/")
    yield
    control("add_vhost", "/")
    control(*ALL_PERMISSIONS)


@contextmanager
def stopped_app(broker: RabbitBroker) -> Iterator[None]:
    broker.rabbitmq.control("stop_app")
    yield
    broker.rabbitmq.control("start_app")


REFUSALS: Final = (
    Refusal("its queue is deleted", queue_deleted),
    Refusal("another queue of that name (PRECONDITION_FAILED)", other_queue),
    Refusal("no permission (ACCESS_REFUSED)", no_permission),
    Refusal("the user is deleted", user_deleted),
    Refusal("the virtual host is deleted", virtual_host_deleted),
    Refusal("stop_app", stopped_app),
)


@pytest.mark.parametrize(
    ("pool", "refusals"),
    [
        pytest.param(GROUP, REFUSALS, id="group"),
        pytest.param(THREADS, REFUSALS[:2], id="threads"),
        pytest.param(PREFORK, REFUSALS[:2], id="prefork"),
    ],
)
def test_a_rabbitmq_that_refuses(
    flow: Flow, rabbit_broker: RabbitBroker, pool: tuple[str, ...], refusals: tuple[Refusal, ...]
) -> None:
    flow.environment["CELERY_BROKER_URL"] = rabbit_broker.url
    with celery_worker(flow.environment, *pool) as worker, flow.bridge() as bridge:
        for number, refusal in enumerate(refusals, 1):
            heard = Heard(worker)
            with measured(flow, f"Celery broker RabbitMQ: {refusal.name}", under=name_of(pool)) as measurement:
                with refusal.made(rabbit_broker):
                    heard.again(worker, LOST)
                    publish(flow, *(f"p{n}" for n in range(20)), number=number)
                measurement.over()
                flow.wait_until_fresh()
            heard.again(worker, SERVES)
        flow.wait_until_all_is_committed()
        no_traceback(worker, bridge)
    rabbit_broker.wipe()


def test_a_queue_that_is_deleted_in_a_connections_first_moment_is_noticed(rabbit_broker: RabbitBroker) -> None:
    """Celery's own loop passes over it, and waits for ever for tasks of a queue that it does not consume."""
    name = "test-first-moment"
    with Connection(rabbit_broker.url) as connection, Connection(rabbit_broker.url) as other:
        consumer: Any = connection.Consumer([Queue(name, auto_delete=True)])
        consumer.consume()
        channel: Any = other.channel()
        channel.queue_delete(name)
        loops: Any = celery_loops
        with pytest.raises(connection.connection_errors):
            wait_until(lambda: loops._quick_drain(connection), what="the end of the queue")
