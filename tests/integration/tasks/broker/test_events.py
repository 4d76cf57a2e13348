"""What the worker does with its events when Celery's broker is away."""

import contextlib
import threading
from collections.abc import Iterator

import pytest
from celery import Celery
from kombu import Connection

from tasks.broker.events import Dispatcher
from tests.celery_brokers import CeleryBroker
from tests.programs import RABBITMQ
from tests.waiting import DEADLINE_S, wait_until


@pytest.fixture(
    params=[
        pytest.param("redis_broker", id="redis", marks=pytest.mark.core),
        pytest.param("rabbit_broker", id="rabbitmq", marks=RABBITMQ.mark),
    ]
)
def broker(request: pytest.FixtureRequest) -> Iterator[CeleryBroker]:
    """A broker that a test may kill; running again after it."""
    broker: CeleryBroker = request.getfixturevalue(request.param)
    yield broker
    if not broker.server.running:
        broker.server.start()


def test_a_heartbeat_does_not_wait_for_a_broker_that_is_away(broker: CeleryBroker) -> None:
    """Celery sends it in its loop's own thread, which has the broker to watch, and the worker's tasks to end."""
    app = Celery("test", set_as_current=False)
    with Connection(broker.url) as connection:
        dispatcher = Dispatcher(connection, app=app, hostname="test")

        def beat() -> None:
            dispatcher.send("worker-heartbeat", retry=True)

        beat()
        broker.server.kill()
        beating = threading.Thread(target=beat, daemon=True)
        beating.start()
        beating.join(DEADLINE_S)
        assert not beating.is_alive()

        broker.server.start()
        heard: list[object] = []
        with (
            Connection(broker.url) as other,
            app.events.Receiver(other, handlers={"*": heard.append}).consumer_context(wakeup=False) as (hearing, *_),
        ):

            def is_heard() -> bool:
                beat()
                with contextlib.suppress(TimeoutError):
                    hearing.drain_events(timeout=1)
                return bool(heard)

            wait_until(is_heard, what="a heartbeat, now that the broker is back")
