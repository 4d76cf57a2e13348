"""One look of a sweep: whether the cache holds the updates that are due, and what tells that one never will be."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from bridge.evidence import marked_sends
from bridge.in_flight import InFlight
from tasks.cache import Cache, Look
from tasks.seal import Seal

FAILURES_AFTER_S: Final = 0.05
"""How old a send must be before anybody asks whether it has failed: hardly any has that fast."""


class Sweep(NamedTuple):
    """What was seen, and by their task ids the updates of which it was asked what has become of their sends."""

    look: Look
    asked: dict[str, InFlight]


def sweep(
    due: Sequence[InFlight], cache: Cache, task_id: Callable[[InFlight], str], now: float, *, seal: Seal | None = None
) -> Sweep:
    """Look for updates in one round trip; CacheUnavailableError when nothing could be read."""
    asked = {task_id(e): e for e in due if e.sends and e.last_sent + FAILURES_AFTER_S <= now}
    sends = {name: nonces for name, e in asked.items() if (nonces := marked_sends(e))}
    look = cache.look([e.update.product_id for e in due if e.update], list(asked), sends, seal=seal)
    return Sweep(look, asked)
