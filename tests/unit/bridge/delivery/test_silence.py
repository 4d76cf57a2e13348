"""What is sent again when nothing comes back, in simulated time: every number here is a second."""

from itertools import pairwise

import pytest

from bridge.delivery.retransmit import Clocks, Retransmission, Sending
from tests.sendings import LONG_LIFE, confirm, send, send_again


def probe_times(retransmission: Retransmission[Sending], until_s: float) -> dict[float, list[Sending]]:
    """Send again whatever is presumed lost, in steps of a quarter of a second; nothing is ever confirmed."""
    found: dict[float, list[Sending]] = {}
    for step in range(int(until_s * 4)):
        lost = retransmission.lost(step / 4)
        if lost:
            found[step / 4] = lost
            send_again(retransmission, lost, step / 4)
    return found


def test_in_a_silence_only_the_few_whose_last_send_is_longest_ago_are_sent_again() -> None:
    retransmission = Retransmission[Sending](Clocks(task_life_s=20.0, probes=10))
    first, second, third = (send(retransmission, n / 100, 10) for n in range(3))
    probes = probe_times(retransmission, 200)
    assert list(probes) == [2, 6, 14, 30, 62, 122, 182], "twice as long each time, up to 60 s"
    assert list(probes.values()) == [first, second, third, first, second, third, first]
    assert retransmission.silent


def test_what_is_sent_in_vain_again_and_again_is_not_what_tells_that_a_silence_is_over() -> None:
    """Ten whose locks are busy for ever, and many that a wiped broker has lost: it is for these to be tried."""
    retransmission = Retransmission[Sending](LONG_LIFE)
    stuck = send(retransmission, 0.0, 10)
    confirm(retransmission, send(retransmission, 1.0), 1.5, itself=False)
    send_again(retransmission, stuck, 2.0)
    wiped = send(retransmission, 4.0, 100)
    assert retransmission.lost(9.0) == wiped[:10]
    assert retransmission.silent


def test_in_a_silence_a_timeout_that_was_long_when_it_was_sent_is_not_kept_to() -> None:
    retransmission = Retransmission[Sending](LONG_LIFE)
    confirm(retransmission, send(retransmission, 0.0), 30.0)
    wiped = send(retransmission, 30.5, 100)
    confirm(retransmission, send(retransmission, 30.0, 200), 30.6)
    assert retransmission.lost(32.6) == wiped[:10], "not before 120.5 s, with the timeout of their time"
    assert retransmission.silent
    confirm(retransmission, wiped[:1], 32.7, itself=False)
    assert retransmission.lost(34.7) == wiped[10:]


def test_a_silence_begins_a_timeout_after_the_last_confirmation() -> None:
    retransmission = Retransmission[Sending](LONG_LIFE)
    overtaken, *others = send(retransmission, 0.0, 30)
    confirm(retransmission, [overtaken], 1.5, itself=False)
    assert retransmission.lost(3.49) == []
    assert not retransmission.silent
    assert retransmission.lost(3.5) == others[:10]
    assert retransmission.silent


def test_a_silence_begins_a_timeout_after_the_oldest_send_that_is_not_answered() -> None:
    retransmission = Retransmission[Sending](LONG_LIFE)
    confirm(retransmission, send(retransmission, 0.0), 0.5)
    alone = send(retransmission, 100.0)
    assert retransmission.lost(101.9) == []
    assert retransmission.lost(102.0) == alone


def test_where_nothing_is_in_flight_there_is_no_silence() -> None:
    retransmission = Retransmission[Sending](LONG_LIFE)
    entries = send(retransmission, 0.0, 20)
    assert len(retransmission.lost(2.0)) == 10
    for entry in entries:
        retransmission.forget(entry)
    assert len(retransmission) == 0
    assert retransmission.lost(9.0) == []
    assert not retransmission.silent


def test_in_a_silence_each_waits_for_its_own_timeout_too() -> None:
    retransmission = Retransmission[Sending](LONG_LIFE)
    alone = send(retransmission, 0.0)
    probes = probe_times(retransmission, 4_000)
    assert set(map(tuple, probes.values())) == {tuple(alone)}
    times = [0.0, *probes]
    for number, (before, after) in enumerate(pairwise(times)):
        own_s = min(2.0 * 2**number, 600.0)
        assert own_s <= after - before <= own_s + 60.0


@pytest.mark.parametrize("itself", [True, False])
def test_any_confirmation_ends_a_silence_and_what_was_sent_before_is_lost_a_timeout_later(itself: bool) -> None:  # noqa: FBT001 - a parameter
    retransmission = Retransmission[Sending](LONG_LIFE)
    entries = send(retransmission, 0.0, 30)
    probes = retransmission.lost(2.0)
    send_again(retransmission, probes, 2.0)
    confirm(retransmission, probes[:1], 2.5, itself=itself)
    assert not retransmission.silent
    fresh, _ = send(retransmission, 3.0, 2)

    assert retransmission.lost(4.25) == []
    assert retransmission.lost(4.5) == entries[10:], "the probes' own timeouts have not passed"
    confirm(retransmission, [fresh], 4.5, itself=False)
    assert retransmission.lost(5.75) == [], "only evidence tells that what was sent after it is lost"
    assert set(retransmission.lost(6.0)) == set(probes[1:])


def test_what_was_sent_before_one_silence_waits_for_the_end_of_the_next() -> None:
    retransmission = Retransmission[Sending](Clocks(max_s=600.0, task_life_s=1e9, probes=1))
    probe, *slow = send(retransmission, 0.0, 50)
    for entry in slow:
        send_again(retransmission, [entry], 0.0)
    send_again(retransmission, slow, 0.0)  # for the third time: their own timeouts are 8 s
    assert retransmission.lost(2.0) == [probe]
    confirm(retransmission, [probe], 2.0, itself=False)
    assert retransmission.lost(4.0) == []
    assert retransmission.silent
    assert len(retransmission.lost(9.0)) == 1, "only a probe, though the timeout of all has passed"
    confirm(retransmission, slow[:1], 9.5)
    assert len(retransmission.lost(9.5)) == 48


def test_an_hour_without_workers_costs_a_few_hundred_sends() -> None:
    retransmission = Retransmission[Sending](Clocks())
    entries = send(retransmission, 0.0, 10_000)
    probes = probe_times(retransmission, 3_600)
    assert 500 <= sum(map(len, probes.values())) <= 10 * (3_600 / 60 + 6)
    assert max(entry.sends for entry in entries) == 2, "the probes rotate"
