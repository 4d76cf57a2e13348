"""When the cache is asked for an update: every time here is simulated."""

import math
import weakref

import pytest

from bridge.delivery.polls import Polls


def test_the_first_poll_is_soon_and_the_others_at_doubling_intervals() -> None:
    polls = Polls[str](1, 10)
    polls.soon(["a"], 0)
    polled_at = [now for now in range(60) if polls.due(now, 10)]
    assert polled_at == [1, 3, 7, 15, 25, 35, 45, 55]


def test_where_it_usually_takes_long_the_polls_are_around_that_time() -> None:
    polls = Polls[str](1, 100)
    polls.usual_s = 40
    polls.soon(["a"], 0)
    polled_at = [now for now in range(300) if polls.due(now, 10)]
    assert polled_at == [20, 30, 40, 50, 60, 80, 120, 200]


def test_no_poll_waits_longer_than_the_longest_pause() -> None:
    polls = Polls[str](1, 10)
    polls.usual_s = 1_000
    polls.soon(["a"], 0)
    polled_at = [now for now in range(50) if polls.due(now, 10)]
    assert polled_at == [10, 20, 30, 40]


def test_a_late_poll_is_not_made_up_for() -> None:
    polls = Polls[str](1, 10)
    polls.soon(["a"], 0)
    assert polls.due(100, 10) == ["a"]
    assert polls.next() == 102


def test_soon_begins_anew() -> None:
    polls = Polls[str](1, 10)
    polls.soon(["a"], 0)
    for now in (1, 3, 7, 15):
        assert polls.due(now, 10) == ["a"]
    polls.soon(["a"], 16)
    assert polls.due(25, 10) == ["a"]
    assert polls.next() == 27
    assert polls.due(26, 10) == []


def test_at_most_so_many_are_polled_at_the_one_waiting_longest_first() -> None:
    polls = Polls[str](1, 10)
    for now, name in enumerate("cab"):
        polls.soon([name], now)
    assert polls.due(9, 2) == ["c", "a"]
    assert polls.due(9, 2) == ["b"]
    assert polls.due(9, 2) == []


def test_what_is_stopped_is_never_polled() -> None:
    polls = Polls[str](1, 10)
    polls.soon(["a"], 0)
    polls.soon(["b"], 5)
    polls.stop("a")
    polls.stop("a")
    polls.stop("unknown")
    assert polls.next() == 6
    assert polls.due(100, 10) == ["b"]
    polls.stop("b")
    assert polls.next() == math.inf
    assert polls.due(1_000, 10) == []


def test_stuck_ones_delay_no_fresh_one() -> None:
    polls = Polls[int](0.01, 1.0)
    for stuck in range(5_000):
        polls.soon([stuck], 0)
    now = 0.0
    while now < 20:
        now += 0.01
        polls.due(now, 1_000)
    polls.soon([-1], now)
    assert -1 in polls.due(now + 0.01, 1_000)


class Tracked:
    """Something to look for that can be seen to leave memory."""


@pytest.mark.parametrize("step_s", [0.0, 0.0001])
def test_memory_holds_what_is_polled_and_nothing_else(step_s: float) -> None:
    polls = Polls[Tracked](0.01, 1e6)
    polls.soon([soonest := Tracked()], -0.005)
    looked: list[Tracked] = []
    gone: list[weakref.ref[Tracked]] = []
    for number in range(50_000):
        looked.append(Tracked())
        polls.soon([looked[-1]], number * step_s)
        polls.soon([looked[0]], number * step_s)
        polls.due(number * step_s, 1)
        if len(looked) > 100:
            polls.stop(looked[0])
            gone.append(weakref.ref(looked.pop(0)))
        assert len(polls._heap) <= 1_000 + 2 * 102 + 1
    assert all(reference() is None for reference in gone)
    assert set(polls._batch_of) == {soonest, *looked}


def many(polls: Polls[int]) -> None:
    polls.usual_s = 32
    polls.soon(range(320), 0)


SAMPLE = list(range(0, 320, 32))


def test_of_many_sent_together_a_sample_is_polled_first_and_more_often() -> None:
    polls = Polls[int](1, 100)
    many(polls)
    for number in range(16):
        now = 4 + 2 * number
        assert polls.due(now, 1_000) == SAMPLE
        assert polls.polled(now) == []
        assert polls.next() == now + 2
    assert polls.due(36, 1_000) == list(range(320)), "and after some samples in vain, all"


def test_few_are_all_polled() -> None:
    polls = Polls[int](1, 100)
    polls.usual_s = 32
    polls.soon(range(63), 0)
    assert polls.due(16, 1_000) == list(range(63))


def test_what_much_depends_on_is_polled_as_often_as_a_sample() -> None:
    polls = Polls[str](1, 100)
    polls.usual_s = 32
    polls.soon(["much"], 0, often=True)
    assert [now for now in range(40) if polls.due(now, 10)] == [4, *range(6, 38, 2)]


def test_as_far_as_the_sample_has_arrived_all_are_polled() -> None:
    polls = Polls[int](1, 100)
    many(polls)
    for one in polls.due(4, 1_000):
        if one in (0, 64, 96):
            polls.stop(one)
    polls.polled(4)
    before = [one for one in range(128) if one not in (0, 64, 96)]
    assert polls.due(4, 1_000) == before
    polls.polled(4)
    assert polls.due(6, 1_000) == list(range(128, 320, 32))
    assert set(before) & set(polls.due(19, 1_000)) == set()
    assert set(before) <= set(polls.due(20, 1_000))


def test_what_of_a_sample_arrives_while_nobody_could_poll_is_not_presumed_to() -> None:
    polls = Polls[int](1, 100)
    many(polls)
    polls.due(4, 1_000)
    assert polls.due(4, 1_000) == []
    polls.polled(4)
    assert polls.due(6, 1_000) == SAMPLE


def test_a_sample_is_no_larger_than_asked_for() -> None:
    polls = Polls[int](1, 100)
    many(polls)
    assert polls.due(4, 5) == SAMPLE[:5]
    for one in (0, 32, 64):
        polls.stop(one)
    polls.polled(4)
    assert polls.due(4, 1_000) == [one for one in range(96) if one not in (0, 32, 64)]


def test_of_many_that_are_sought_nothing_is_presumed_to_be_there_when_nothing_of_a_sample_is() -> None:
    polls = Polls[int](1, 100)
    for one in range(320):
        polls.at_once(one)
    assert polls.due(0, 1_000) == SAMPLE
    assert polls.polled(0) == list(range(320))


def test_of_many_that_are_sought_all_are_polled_when_one_of_the_sample_is_there() -> None:
    polls = Polls[int](1, 100)
    for one in range(320):
        polls.at_once(one)
    polls.due(0, 1_000)
    polls.stop(288)
    assert polls.polled(0) == []
    assert polls.due(0, 1_000) == [one for one in range(320) if one != 288]


def test_what_comes_while_others_are_sought_is_sought_at_once() -> None:
    polls = Polls[int](1, 100)
    for one in range(320):
        polls.at_once(one)
    polls.due(0, 1_000)
    polls.at_once(1_000)
    assert polls.due(0, 1_000) == [1_000]
    polls.stop(1_000)
    polls.at_once(1_001)
    polls.stop(1_001)
    polls.at_once(1_002)
    assert polls.due(0, 1_000) == [1_002]
    assert polls.due(0, 1_000) == []
