"""When the cache is asked for an update: every time here is simulated."""

import math
import weakref

import pytest

from bridge.delivery.looks import Looks


def test_the_first_look_is_soon_and_the_others_at_doubling_intervals() -> None:
    looks = Looks[str](1, 10)
    looks.soon(["a"], 0)
    looked_at = [now for now in range(60) if looks.due(now, 10)]
    assert looked_at == [1, 3, 7, 15, 25, 35, 45, 55]


def test_where_it_usually_takes_long_the_looks_are_around_that_time() -> None:
    looks = Looks[str](1, 100)
    looks.usual_s = 40
    looks.soon(["a"], 0)
    looked_at = [now for now in range(300) if looks.due(now, 10)]
    assert looked_at == [20, 30, 40, 50, 60, 80, 120, 200]


def test_no_look_waits_longer_than_the_longest_pause() -> None:
    looks = Looks[str](1, 10)
    looks.usual_s = 1_000
    looks.soon(["a"], 0)
    looked_at = [now for now in range(50) if looks.due(now, 10)]
    assert looked_at == [10, 20, 30, 40]


def test_a_late_look_is_not_made_up_for() -> None:
    looks = Looks[str](1, 10)
    looks.soon(["a"], 0)
    assert looks.due(100, 10) == ["a"]
    assert looks.next() == 102


def test_soon_begins_anew() -> None:
    looks = Looks[str](1, 10)
    looks.soon(["a"], 0)
    for now in (1, 3, 7, 15):
        assert looks.due(now, 10) == ["a"]
    looks.soon(["a"], 16)
    assert looks.due(25, 10) == ["a"]
    assert looks.next() == 27
    assert looks.due(26, 10) == []


def test_at_most_so_many_are_looked_at_the_one_waiting_longest_first() -> None:
    looks = Looks[str](1, 10)
    for now, name in enumerate("cab"):
        looks.soon([name], now)
    assert looks.due(9, 2) == ["c", "a"]
    assert looks.due(9, 2) == ["b"]
    assert looks.due(9, 2) == []


def test_what_is_stopped_is_never_looked_for() -> None:
    looks = Looks[str](1, 10)
    looks.soon(["a"], 0)
    looks.soon(["b"], 5)
    looks.stop("a")
    looks.stop("a")
    looks.stop("unknown")
    assert looks.next() == 6
    assert looks.due(100, 10) == ["b"]
    looks.stop("b")
    assert looks.next() == math.inf
    assert looks.due(1_000, 10) == []


def test_stuck_ones_delay_no_fresh_one() -> None:
    looks = Looks[int](0.01, 1.0)
    for stuck in range(5_000):
        looks.soon([stuck], 0)
    now = 0.0
    while now < 20:
        now += 0.01
        looks.due(now, 1_000)
    looks.soon([-1], now)
    assert -1 in looks.due(now + 0.01, 1_000)


class Tracked:
    """Something to look for that can be seen to leave memory."""


@pytest.mark.parametrize("step_s", [0.0, 0.0001])
def test_memory_holds_what_is_looked_for_and_nothing_else(step_s: float) -> None:
    looks = Looks[Tracked](0.01, 1e6)
    looks.soon([soonest := Tracked()], -0.005)
    looked: list[Tracked] = []
    gone: list[weakref.ref[Tracked]] = []
    for number in range(50_000):
        looked.append(Tracked())
        looks.soon([looked[-1]], number * step_s)
        looks.soon([looked[0]], number * step_s)
        looks.due(number * step_s, 1)
        if len(looked) > 100:
            looks.stop(looked[0])
            gone.append(weakref.ref(looked.pop(0)))
        assert len(looks._heap) <= 1_000 + 2 * 102 + 1
    assert all(reference() is None for reference in gone)
    assert set(looks._batch_of) == {soonest, *looked}


def many(looks: Looks[int]) -> None:
    looks.usual_s = 32
    looks.soon(range(320), 0)


SAMPLE = list(range(0, 320, 32))


def test_of_many_sent_together_a_sample_is_looked_for_first_and_more_often() -> None:
    looks = Looks[int](1, 100)
    many(looks)
    for number in range(16):
        now = 4 + 2 * number
        assert looks.due(now, 1_000) == SAMPLE
        assert looks.looked_for(now) == []
        assert looks.next() == now + 2
    assert looks.due(36, 1_000) == list(range(320)), "and after some samples in vain, all"


def test_few_are_all_looked_for() -> None:
    looks = Looks[int](1, 100)
    looks.usual_s = 32
    looks.soon(range(63), 0)
    assert looks.due(16, 1_000) == list(range(63))


def test_what_much_depends_on_is_looked_for_as_often_as_a_sample() -> None:
    looks = Looks[str](1, 100)
    looks.usual_s = 32
    looks.soon(["much"], 0, often=True)
    assert [now for now in range(40) if looks.due(now, 10)] == [4, *range(6, 38, 2)]


def test_as_far_as_the_sample_has_arrived_all_are_looked_for() -> None:
    looks = Looks[int](1, 100)
    many(looks)
    for one in looks.due(4, 1_000):
        if one in (0, 64, 96):
            looks.stop(one)
    looks.looked_for(4)
    before = [one for one in range(128) if one not in (0, 64, 96)]
    assert looks.due(4, 1_000) == before
    looks.looked_for(4)
    assert looks.due(6, 1_000) == list(range(128, 320, 32))
    assert set(before) & set(looks.due(19, 1_000)) == set()
    assert set(before) <= set(looks.due(20, 1_000))


def test_what_of_a_sample_arrives_while_nobody_could_look_is_not_presumed_to() -> None:
    looks = Looks[int](1, 100)
    many(looks)
    looks.due(4, 1_000)
    assert looks.due(4, 1_000) == []
    looks.looked_for(4)
    assert looks.due(6, 1_000) == SAMPLE


def test_a_sample_is_no_larger_than_asked_for() -> None:
    looks = Looks[int](1, 100)
    many(looks)
    assert looks.due(4, 5) == SAMPLE[:5]
    for one in (0, 32, 64):
        looks.stop(one)
    looks.looked_for(4)
    assert looks.due(4, 1_000) == [one for one in range(96) if one not in (0, 32, 64)]


def test_of_many_that_are_sought_nothing_is_presumed_to_be_there_when_nothing_of_a_sample_is() -> None:
    looks = Looks[int](1, 100)
    for one in range(320):
        looks.at_once(one)
    assert looks.due(0, 1_000) == SAMPLE
    assert looks.looked_for(0) == list(range(320))


def test_of_many_that_are_sought_all_are_looked_for_when_one_of_the_sample_is_there() -> None:
    looks = Looks[int](1, 100)
    for one in range(320):
        looks.at_once(one)
    looks.due(0, 1_000)
    looks.stop(288)
    assert looks.looked_for(0) == []
    assert looks.due(0, 1_000) == [one for one in range(320) if one != 288]


def test_what_comes_while_others_are_sought_is_sought_at_once() -> None:
    looks = Looks[int](1, 100)
    for one in range(320):
        looks.at_once(one)
    looks.due(0, 1_000)
    looks.at_once(1_000)
    assert looks.due(0, 1_000) == [1_000]
    looks.stop(1_000)
    looks.at_once(1_001)
    looks.stop(1_001)
    looks.at_once(1_002)
    assert looks.due(0, 1_000) == [1_002]
    assert looks.due(0, 1_000) == []
