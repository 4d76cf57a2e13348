import pytest

from bridge.delivery.back_off import FIRST_S, BackOff


def pause_s(back_off: BackOff, now: float) -> float:
    """How long a failure at ``now`` makes it wait, to the millisecond."""
    back_off.failed(now)
    return next(ms for ms in range(100_000) if back_off.ready(now + ms / 1_000)) / 1_000


def test_at_first_the_next_try_is_due() -> None:
    assert BackOff(5.0).ready(0.0)


def test_pauses_double_up_to_the_longest_with_jitter() -> None:
    for _ in range(50):
        back_off = BackOff(1.0)
        for longest_s in (FIRST_S, 0.2, 0.4, 0.8, 1.0, 1.0):
            assert longest_s / 2 <= pause_s(back_off, 1_000.0) <= longest_s + 0.001


def test_pauses_differ() -> None:
    assert len({pause_s(BackOff(1.0), 0.0) for _ in range(50)}) > 5


def test_a_success_starts_over() -> None:
    back_off = BackOff(100.0)
    for _ in range(8):
        back_off.failed(1_000.0)
    back_off.succeeded()
    assert back_off.ready(1_000.0)
    assert pause_s(back_off, 1_000.0) <= FIRST_S + 0.001


@pytest.mark.parametrize("successes", [0, 1])
def test_no_pause_is_longer_than_the_longest(successes: int) -> None:
    back_off = BackOff(0.01)
    for _ in range(successes):
        back_off.succeeded()
    assert pause_s(back_off, 0.0) <= 0.011


def test_it_tells_a_first_failure_from_another() -> None:
    back_off = BackOff(1.0)
    told = [back_off.failing]
    back_off.failed(1_000.0)
    told.append(back_off.failing)
    back_off.succeeded()
    assert [*told, back_off.failing] == [False, True, False]
