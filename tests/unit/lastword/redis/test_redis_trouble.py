"""What is said of a server that does not serve: once, and once that it is over."""

import pytest
from redis.exceptions import BusyLoadingError, ReadOnlyError, ResponseError

from lastword.redis import trouble as redis_trouble
from lastword.redis.trouble import QUIET_MAX_S, QUIET_S, Trouble

REFUSED = "Redis at cache:6379 does not serve us, "
SERVES = "Redis at cache:6379 serves us again, after "
READONLY = ReadOnlyError("You can't write against a read only replica.")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(redis_trouble, "time", clock)
    return clock


def test_each_reason_is_told_once_and_the_end_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    trouble = Trouble("cache:6379")
    for _ in range(1_000):
        trouble.refused(READONLY, writing=True)
        trouble.refused(BusyLoadingError("loading"), writing=True)
        clock.now += 1
    trouble.served(written=True)
    trouble.served(written=True)

    first, second, end = caplog.messages
    assert first.startswith(f"{REFUSED}READONLY: ReadOnlyError: You can't write")
    assert second.startswith(f"{REFUSED}LOADING: ")
    assert end == f"{SERVES}1000.0 s"


def test_a_refused_write_is_not_over_because_reading_goes_on(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    trouble = Trouble("cache:6379")
    trouble.refused(READONLY, writing=True)
    clock.now += 5
    trouble.served(written=False)
    assert len(caplog.messages) == 1
    trouble.served(written=True)
    assert caplog.messages[1:] == [f"{SERVES}5.0 s"]


def test_what_comes_and_goes_all_the_time_is_told_seldom(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    trouble = Trouble("cache:6379")
    for _ in range(24 * 3_600):
        trouble.refused(READONLY, writing=True)
        clock.now += 1
        trouble.served(written=True)
    assert len(caplog.messages) < 2 * (24 * 3_600 / QUIET_MAX_S + 10)


def test_another_reason_is_told_at_once_and_the_same_a_while_later(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    trouble = Trouble("cache:6379")
    trouble.refused(READONLY, writing=True)
    trouble.served(written=True)
    trouble.refused(ResponseError("NOREPLICAS Not enough good replicas to write."), writing=True)
    assert f"{REFUSED}NOREPLICAS: " in caplog.messages[-1]
    trouble.served(written=True)
    told = len(caplog.messages)
    trouble.refused(READONLY, writing=True)
    trouble.served(written=True)
    assert len(caplog.messages) == told
    clock.now += QUIET_S
    trouble.refused(READONLY, writing=True)
    assert f"{REFUSED}READONLY: " in caplog.messages[-1]


def test_a_node_that_another_has_replaced_is_no_trouble_any_more(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    trouble = Trouble("cache:6379")
    trouble.replaced()
    assert not caplog.messages
    trouble.refused(READONLY, writing=True)
    clock.now += 3
    trouble.replaced()
    assert caplog.messages[1:] == [
        "Redis at cache:6379 is not asked any more, another serves in its place, after 3.0 s"
    ]
