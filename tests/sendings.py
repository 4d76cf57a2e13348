"""Updates as retransmission sees them, sent and confirmed in simulated time."""

from collections.abc import Iterable

from bridge.delivery.retransmit import Clocks, Retransmission, Sending

LONG_LIFE = Clocks(task_life_s=1e9)


def send(to: Retransmission[Sending], now: float, count: int = 1) -> list[Sending]:
    sendings = [Sending() for _ in range(count)]
    send_again(to, sendings, now)
    return sendings


def send_again(to: Retransmission[Sending], sendings: Iterable[Sending], now: float) -> None:
    for sending in sendings:
        to.sent(sending, now)


def confirm(to: Retransmission[Sending], sendings: Iterable[Sending], now: float, *, itself: bool = True) -> None:
    for sending in sendings:
        to.confirmed(sending, now, itself=itself)
