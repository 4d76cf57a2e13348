"""When updates are sent again, in simulated time: every number here is a second."""

import weakref
from itertools import pairwise

import pytest

from bridge.delivery.retransmit import Clocks, Retransmission, Sending, Timeout
from tests.sendings import LONG_LIFE, confirm, send, send_again

# The measured timeout.


def measured(*samples: float, clocks: Clocks = LONG_LIFE) -> float:
    timeout = Timeout(clocks)
    for seconds in samples:
        timeout.sample(seconds)
    return timeout.value_s


@pytest.mark.parametrize(
    ("samples", "timeout_s"),
    [
        ((), 2.0),
        ((1.0,), 1.0 + 4 * 0.5),
        ((1.0, 2.0), 1.125 + 4 * 0.625),
        ((1.0, 2.0, 0.5), 1.046875 + 4 * 0.625),
        ((0.01,), 2.0),
        ((1_000.0,), 600.0),
        ((8.0, *[8.0] * 200), 8.0),
    ],
)
def test_the_timeout_is_the_one_of_rfc_6298(samples: tuple[float, ...], timeout_s: float) -> None:
    assert measured(*samples) == pytest.approx(timeout_s)


def test_the_timeout_is_never_above_its_bound() -> None:
    assert measured(clocks=Clocks(floor_s=5.0, max_s=3.0)) == 3.0


def test_a_sample_is_the_time_from_send_to_confirmation() -> None:
    retransmission = Retransmission[Sending](LONG_LIFE)
    confirm(retransmission, send(retransmission, 10.0), 14.0)
    assert retransmission.timeout.value_s == 3 * 4.0


def test_no_sample_is_taken_of_what_was_sent_twice() -> None:
    retransmission = Retransmission[Sending](LONG_LIFE)
    twice = send(retransmission, 0.0)
    send_again(retransmission, twice, 5.0)
    confirm(retransmission, twice, 9.0)
    assert retransmission.timeout.value_s == 2.0


def test_no_sample_is_taken_of_what_may_have_left_before() -> None:
    retransmission = Retransmission[Sending](LONG_LIFE)
    doubtful = Sending()
    retransmission.attempted(doubtful, 0.0)
    send_again(retransmission, [doubtful], 1.0)
    assert doubtful.timeout_s == 2.0, "a send that failed doubles no timeout"
    confirm(retransmission, [doubtful], 9.0)
    assert retransmission.timeout.value_s == 2.0


def test_no_sample_is_taken_of_what_was_overtaken_or_never_sent() -> None:
    retransmission = Retransmission[Sending](LONG_LIFE)
    confirm(retransmission, send(retransmission, 0.0), 9.0, itself=False)
    doubtful = Sending()
    retransmission.attempted(doubtful, 1.0)
    confirm(retransmission, [Sending(), doubtful], 9.0)
    assert retransmission.timeout.value_s == 2.0


# Loss seen from what was sent later and confirmed sooner.


def test_it_is_sent_again_once_an_update_sent_a_timeout_later_was_confirmed() -> None:
    retransmission = Retransmission[Sending](LONG_LIFE)
    gone = send(retransmission, 0.0)
    sooner, later = send(retransmission, 1.99), send(retransmission, 2.0)
    confirm(retransmission, sooner, 2.1)
    assert retransmission.lost(2.1) == []
    confirm(retransmission, later, 2.2)
    assert retransmission.lost(2.2) == gone
    assert retransmission.lost(2.3) == []


def test_the_newest_evidence_counts_in_whatever_order_it_comes() -> None:
    retransmission = Retransmission[Sending](LONG_LIFE)
    gone, early, late = (send(retransmission, now) for now in (0.0, 1.0, 2.0))
    confirm(retransmission, late, 2.5)
    confirm(retransmission, early, 2.5)
    assert retransmission.lost(2.5) == gone


def test_a_slow_network_that_keeps_the_order_loses_nothing() -> None:
    retransmission = Retransmission[Sending](Clocks(task_life_s=600.0))
    tail = send(retransmission, 5.0)
    flow = send(retransmission, 5.0, 590)
    for second, one in enumerate(flow):
        confirm(retransmission, [one], 5.0 + second)
        assert retransmission.lost(5.0 + second) == []
    assert retransmission.lost(605.0) == tail, "no worker retries it any longer"


def test_what_was_overtaken_proves_nothing() -> None:
    retransmission = Retransmission[Sending](LONG_LIFE)
    send(retransmission, 0.0)
    for second in range(1, 2_000):
        confirm(retransmission, send(retransmission, second), second, itself=False)
        assert retransmission.lost(second) == []


def test_of_what_was_sent_twice_the_first_send_is_the_evidence() -> None:
    retransmission = Retransmission[Sending](LONG_LIFE)
    early, gone = send(retransmission, 0.0), send(retransmission, 1.0)
    send_again(retransmission, early, 4.0)
    confirm(retransmission, early, 4.0)
    assert retransmission.lost(4.0) == []
    confirm(retransmission, send(retransmission, 3.0), 4.0)
    assert retransmission.lost(4.0) == gone


def test_of_what_may_have_left_before_the_first_attempt_is_the_evidence() -> None:
    retransmission = Retransmission[Sending](LONG_LIFE)
    doubtful = Sending()
    retransmission.attempted(doubtful, 0.0)
    send(retransmission, 1.0)
    send_again(retransmission, [doubtful], 3.0)
    confirm(retransmission, [doubtful], 3.0)
    assert retransmission.lost(3.0) == []


def test_a_timeout_that_was_long_when_it_was_sent_is_not_kept_to_once_answers_come_quickly() -> None:
    retransmission = Retransmission[Sending](LONG_LIFE)
    confirm(retransmission, send(retransmission, 0.0), 30.0)
    [gone] = send(retransmission, 30.0)
    assert gone.timeout_s == 90.0
    confirm(retransmission, send(retransmission, 31.0, 200), 31.1)
    assert retransmission.timeout.value_s == 2.0
    assert retransmission.lost(31.9) == []
    confirm(retransmission, send(retransmission, 32.0), 32.1)
    assert retransmission.lost(32.1) == [gone]


def sends_of_a_stuck_update(clocks: Clocks, until_s: int) -> list[int]:
    """When an update that never arrives is sent, while every other one arrives at once."""
    retransmission = Retransmission[Sending](clocks)
    send(retransmission, 0)
    sent_at = [0]
    for second in range(1, until_s):
        confirm(retransmission, send(retransmission, second), second)
        for one in retransmission.lost(second):
            sent_at.append(second)
            retransmission.sent(one, second)
    return sent_at


def test_its_own_timeout_doubles_at_each_send_up_to_the_bound() -> None:
    sent_at = sends_of_a_stuck_update(LONG_LIFE, 3_500)
    pauses = [after - before for before, after in pairwise(sent_at)]
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600, 600]


def test_it_is_sent_again_when_its_task_is_no_longer_retried() -> None:
    assert sends_of_a_stuck_update(Clocks(task_life_s=20.0), 80) == [0, 2, 6, 14, 30, 50, 70]


# Memory.


class Tracked(Sending):
    """A sending that can be seen to leave memory."""


@pytest.mark.parametrize("itself", [True, False])
def test_memory_holds_what_is_in_flight_and_nothing_else(itself: bool) -> None:  # noqa: FBT001 - a parameter
    retransmission = Retransmission[Tracked](Clocks())
    in_flight: list[Tracked] = []
    gone: list[weakref.ref[Tracked]] = []
    for number in range(100_000):
        now = number / 10_000
        in_flight.append(Tracked())
        retransmission.sent(in_flight[-1], now)
        if len(in_flight) > 100:
            retransmission.confirmed(in_flight[0], now, itself=itself)
            gone.append(weakref.ref(in_flight.pop(0)))
        if number % 100 == 0:
            retransmission.lost(now)
        assert len(retransmission._by_due) <= 1_000 + 2 * 101 + 1
    assert all(reference() is None for reference in gone)
    assert len(retransmission) == len(in_flight)


def test_what_is_presumed_lost_after_a_silence_leaves_memory_when_it_arrives_after_all() -> None:
    retransmission = Retransmission[Tracked](Clocks())
    entries = [Tracked() for _ in range(100)]
    for _ in range(5):
        for entry in entries:
            retransmission.sent(entry, 0.0)
    for now in (40.0, 42.0):
        retransmission.lost(now)
        retransmission.confirmed(entries.pop(), now, itself=False)
    references = [weakref.ref(entry) for entry in entries]
    while entries:
        retransmission.confirmed(entries.pop(), 42.0, itself=False)
    del entry
    assert all(reference() is None for reference in references)
