"""An update counts as confirmed as soon as the Celery broker has taken its task."""

from collections.abc import Sequence

from bridge.delivery.in_flight import InFlight
from bridge.delivery.window import Window

sent = Window.sent


def sent_and_done(self: Window, entries: Sequence[InFlight], now: float) -> None:
    sent(self, entries, now)
    for entry in entries:
        assert entry.update is not None
        self.observe(entry.update.entity_id, entry.update.version, now)


Window.sent = sent_and_done  # type: ignore[method-assign]
