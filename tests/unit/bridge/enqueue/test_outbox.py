"""What goes to a Celery broker that does not take it for sure."""

from collections.abc import Sequence
from typing import cast

import pytest

from bridge.delivery.back_off import BackOff
from bridge.delivery.in_flight import InFlight
from bridge.enqueue.enqueue import EnqueueError, Enqueuer
from bridge.enqueue.outbox import Outbox
from tests.windows import change, offer, opened


class Broker:
    """One that is away at first."""

    def __init__(self) -> None:
        self.away = True
        self.taken: list[str] = []

    def send(self, entries: Sequence[InFlight]) -> None:
        if self.away:
            raise EnqueueError("it is away")
        self.taken += [entry.update.product_id for entry in entries if entry.update]


def test_what_a_broker_did_not_take_for_sure_goes_once_it_takes_it() -> None:
    window, broker = opened(), Broker()
    outbox = Outbox(window, cast("Enqueuer", broker), BackOff(max_s=0.0))
    offer(window, 0, 0, change("a"))
    offer(window, 0, 1, change("b"))
    outbox.send()
    assert outbox.trouble == "it is away"

    broker.away = False
    outbox.send()
    assert broker.taken == ["a", "b"]
    assert not outbox.trouble

    outbox.send()
    assert broker.taken == ["a", "b"], "once is enough"


def test_a_broker_that_takes_nothing_is_said_once_and_that_it_takes_tasks_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    window, broker = opened(), Broker()
    outbox = Outbox(window, cast("Enqueuer", broker), BackOff(max_s=0.0))
    offer(window, 0, 0, change("a"))
    for _ in range(50):
        outbox.send()
    broker.away = False
    outbox.send()

    away, back = [record.getMessage() for record in caplog.records]
    assert "not certain" in away
    assert "it is away" in away
    assert "takes tasks again" in back
