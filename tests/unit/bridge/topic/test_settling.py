"""What librdkafka still looks for the beginning of is left alone, but not for ever."""

import pytest

from bridge.topic import settling
from bridge.topic.settling import Settling


def test_a_partition_is_left_alone_until_something_of_it_comes() -> None:
    one = Settling()
    assert (one.settled, one.overdue) == (False, False)
    assert one.delivered()
    assert (one.settled, one.overdue) == (True, False)


def test_after_a_rebalance_meanwhile_it_may_go_back_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    found, looking = Settling(), Settling()
    found.delivered()
    for one in (found, looking):
        one.rebalanced()
    assert found.settled, "its place was found before"
    assert not looking.delivered()
    assert not looking.delivered()
    assert not looking.settled

    monkeypatch.setattr(settling, "ONCE_MORE_S", 0.0)
    another = Settling()
    another.rebalanced()
    assert another.delivered()


def test_where_nothing_comes_kafka_is_asked_and_then_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "SETTLE_MAX_S", 0.0)
    one = Settling()
    assert (one.settled, one.overdue) == (False, True)
    one.answered()
    assert (one.settled, one.overdue) == (True, False)
