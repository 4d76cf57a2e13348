"""What a worker says of the tasks that it drops, and how often it asks its cache."""

import logging

import pytest

from lastword.contract.flow import Destination
from tasks.broker import strays
from tasks.broker.strays import Strays
from tests.waiting import wait_until

OURS = Destination("orders", "order-")
SENT = Destination("orders", "order-", "c1")
STRANGER = Destination("stock", "stock-", "c1")


def test_the_cache_is_asked_once_for_many_tasks() -> None:
    asked: list[str] = []

    def name_of_cache() -> str:
        asked.append("?")
        return "c1"

    ours = Strays(OURS, name_of_cache)
    for _ in range(100):
        assert ours.reason(SENT) == ""
        assert (
            ours.reason(STRANGER)
            == "it is for flow 'stock', keys 'stock-…', and this worker for flow 'orders', keys 'order-…'"
        )
        assert "c2" in ours.reason(Destination("orders", "order-", "c2"))
    assert len(asked) <= 4, "of c1 once, of c2 once a second"


def test_so_many_dropped_tasks_are_a_line_with_a_count(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(strays, "SAY_EVERY_S", 0.2)
    ours = Strays(OURS, lambda: "c1")
    with caplog.at_level(logging.WARNING):
        for _ in range(291):
            assert ours.drop("it is another's") == "dropped: it is another's"
        assert ours.drop("it is another's", 9) == "dropped: it is another's"
        wait_until(lambda: len(caplog.messages) == 2, what="the rest")
    assert caplog.messages == [
        "an update was dropped: it is another's. Their bridge sends them again",
        "299 updates were dropped: it is another's. Their bridge sends them again",
    ]
