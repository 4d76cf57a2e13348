"""A Celery broker that does not take tasks for sure, and a cache that cannot be asked."""

from collections.abc import Sequence
from typing import cast

import pytest

from bridge.delivery.in_flight import InFlight
from bridge.enqueue.delivery import Delivery
from bridge.enqueue.enqueue import EnqueueError, Enqueuer
from lastword.cache.cache import Cache, Poll
from lastword.contract.errors import CacheUnavailableError
from lastword.contract.version import Version
from tests.windows import change, offer, opened


class Broker:
    """One that is away at first."""

    def __init__(self) -> None:
        self.away = True
        self.taken: list[str] = []

    def send(self, entries: Sequence[InFlight]) -> None:
        if self.away:
            raise EnqueueError("it is away")
        self.taken += [entry.update.entity_id for entry in entries if entry.update]


def test_what_a_broker_did_not_take_for_sure_goes_once_it_takes_it() -> None:
    window, broker = opened(), Broker()
    delivery = Delivery(window, cast("Enqueuer", broker), cast("Cache", None), back_off_max_s=0.0)
    offer(window, 0, 0, change("a"))
    offer(window, 0, 1, change("b"))
    delivery.send()
    assert delivery.broker_trouble == "it is away"

    broker.away = False
    delivery.send()
    assert broker.taken == ["a", "b"]
    assert not delivery.broker_trouble

    delivery.send()
    assert broker.taken == ["a", "b"], "once is enough"


def test_a_broker_that_takes_nothing_is_said_once_and_that_it_takes_tasks_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    window, broker = opened(), Broker()
    delivery = Delivery(window, cast("Enqueuer", broker), cast("Cache", None), back_off_max_s=0.0)
    offer(window, 0, 0, change("a"))
    for _ in range(50):
        delivery.send()
    broker.away = False
    delivery.send()

    away, back = [record.getMessage() for record in caplog.records]
    assert "not certain" in away
    assert "it is away" in away
    assert "takes tasks again" in back


def test_a_cache_that_cannot_be_asked_is_said_once_and_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    class Away:
        asked = 0

        def poll(self, *_: object, **__: object) -> Poll:
            self.asked += 1
            if self.asked < 4:
                raise CacheUnavailableError("it is away")
            return Poll({"a": Version(1, 0)}, {}, {})

    window, broker, cache = opened(), Broker(), Away()
    broker.away = False
    delivery = Delivery(window, cast("Enqueuer", broker), cast("Cache", cache), back_off_max_s=0.0)
    offer(window, 0, 0, change("a"))
    delivery.send()
    for _ in range(3):
        assert delivery.poll(window.in_flight()) == ((0, ()), None)
    assert delivery.cache_trouble == "it is away"
    assert [record.getMessage() for record in caplog.records] == ["Redis cannot be asked what it holds: it is away"]

    polled, _ = delivery.poll(window.in_flight())
    assert polled.confirmed == 1
    assert not delivery.cache_trouble
    assert window.in_flight() == []
