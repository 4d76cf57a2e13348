"""What librdkafka still looks for the beginning of is left alone, but not for ever."""

import pytest

from bridge.topic import settling
from bridge.topic.settling import Settling


def test_a_partition_is_left_alone_until_something_of_it_comes() -> None:
    places = Settling()
    places.assigned([0, 1])
    assert places.settled() == set()
    places.delivered(1)
    assert places.settled() == {1}
    places.delivered(0)
    assert places.settled() == {0, 1}


def test_it_begins_again_with_each_assignment() -> None:
    places = Settling()
    places.assigned([0, 1])
    places.delivered(0)
    places.gone([0])
    places.delivered(0)
    assert places.settled() == set(), "what comes late of a partition that is gone says nothing of the next assignment"
    places.assigned([0])
    assert places.settled() == set()


def test_one_of_which_nothing_comes_counts_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "SETTLE_MAX_S", 0.0)
    places = Settling()
    places.assigned([3])
    assert places.settled() == {3}
