"""What librdkafka still looks for the beginning of is left alone, but not for ever."""

import pytest

from bridge.topic import settling
from bridge.topic.settling import Settling


def test_a_partition_is_left_alone_until_something_of_it_comes() -> None:
    places = Settling()
    places.assigned([0, 1])
    assert places.settled() == set()
    assert places.delivered(1)
    assert places.settled() == {1}
    assert places.delivered(0)
    assert places.settled() == {0, 1}


def test_it_begins_again_with_each_assignment() -> None:
    places = Settling()
    places.assigned([0, 1])
    places.delivered(0)
    places.gone([0])
    assert not places.delivered(0)
    assert places.settled() == set(), "what comes late of a partition that is gone says nothing of the next assignment"
    places.assigned([0])
    assert places.settled() == set()


def test_after_a_rebalance_meanwhile_it_may_go_back_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    places = Settling()
    places.assigned([0, 1])
    places.delivered(1)
    places.rebalanced()
    assert places.settled() == {1}, "its place was found before"
    assert not places.delivered(0)
    assert not places.delivered(0)
    assert places.settled() == {1}

    monkeypatch.setattr(settling, "ONCE_MORE_S", 0.0)
    places.assigned([2])
    places.rebalanced()
    assert places.delivered(2)
    assert places.settled() == {1, 2}


def test_where_nothing_comes_kafka_is_asked_and_then_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "SETTLE_MAX_S", 0.0)
    places = Settling()
    places.assigned([3])
    assert places.settled() == set()
    assert places.overdue() == {3}
    places.answered([3, 4])
    assert places.settled() == {3}
    assert places.overdue() == set()
