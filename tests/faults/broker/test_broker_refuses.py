"""A Redis that is Celery's broker answers, and serves nobody: no process ends, and all goes on when it serves again."""

from collections.abc import Iterator

import pytest
from redis import Redis as Client

from tests.celery_brokers import RedisBroker
from tests.faults.broker.broker_refusals import REFUSALS, Refusal
from tests.faults.figures import measured
from tests.faults.load import publish
from tests.faults.logs import LOST, SERVES, UNCERTAIN, Heard, no_traceback
from tests.flow import Flow
from tests.pools import GROUP, PREFORK, SOLO, THREADS, name_of
from tests.worker_helpers import celery_worker


@pytest.fixture
def broker(redis_broker: RedisBroker, flow: Flow) -> Iterator[RedisBroker]:
    """The broker of ``flow``, empty again after the test."""
    flow.environment["CELERY_BROKER_URL"] = redis_broker.url
    yield redis_broker
    redis_broker.wipe()


@pytest.mark.parametrize(
    ("pool", "refusals"),
    [
        pytest.param(GROUP, REFUSALS, id="group"),
        pytest.param(THREADS, REFUSALS[:1], id="threads"),
        pytest.param(PREFORK, REFUSALS[:1], id="prefork"),
        pytest.param(SOLO, REFUSALS[:1], id="solo"),
    ],
)
def test_a_broker_that_refuses(
    flow: Flow, broker: RedisBroker, pool: tuple[str, ...], refusals: tuple[Refusal, ...]
) -> None:
    with (
        Client.from_url(broker.url) as raw,
        celery_worker(flow.environment, *pool) as worker,
        flow.bridge() as bridge,
    ):
        for number, refusal in enumerate(refusals, 1):
            heard = Heard(worker, bridge)
            with measured(flow, f"Celery broker Redis: {refusal.name}", under=name_of(pool)) as measurement:
                with refusal.made(broker, raw):
                    heard.again(worker, LOST)
                    publish(flow, *(f"p{n}" for n in range(20)), number=number)
                    if refusal.sending:
                        heard.again(bridge, UNCERTAIN)
                measurement.over()
                flow.wait_until_fresh()
            heard.again(worker, SERVES)
        flow.wait_until_all_is_committed()
        no_traceback(worker, bridge)
