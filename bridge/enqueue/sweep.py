"""One look of a sweep: whether the cache holds the updates that are due, and what tells that one never will be."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from bridge.delivery.evidence import marked_sends
from bridge.delivery.in_flight import InFlight
from lastword.cache.cache import Cache, Look
from lastword.cache.seal import Seal

FAILURES_AFTER_S: Final = 0.05
FAILURES_AFTER_MAX_S: Final = 1.0
"""How old a send must be before anybody asks whether it has failed: hardly any has before it is usually found."""


class Sweep(NamedTuple):
    """What was seen, and by their task ids the updates of which it was asked what has become of their sends."""

    look: Look
    asked: dict[str, InFlight]


def sweep(
    due: Sequence[InFlight],
    cache: Cache,
    task_id: Callable[[InFlight], str],
    now: float,
    *,
    usual_s: float = 0.0,
    seal: Seal | None = None,
) -> Sweep:
    """Look for updates, which are usually found after ``usual_s``, in one round trip.

    CacheUnavailableError when nothing could be read.
    """
    sent_before = now - min(max(FAILURES_AFTER_S, 1.5 * usual_s), FAILURES_AFTER_MAX_S)
    asked = {task_id(e): e for e in due if e.sends and e.last_sent <= sent_before}
    sends = {name: nonces for name, e in asked.items() if (nonces := marked_sends(e))}
    look = cache.look([e.update.product_id for e in due if e.update], list(asked), sends, seal=seal)
    return Sweep(look, asked)
