"""What a fault cost, measured by its test: one JSON object a line, from which the table in docs/faults.md is made."""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.flow import Flow

VARIABLE: Final = "FAULT_FIGURES"
"""Names the file that the figures are appended to; not set: they are only measured.

Not LASTWORD_…: the bridge, which inherits it, refuses what looks like a setting and is none.
"""


@dataclass
class Figures:
    """What was measured of one fault.

    ``under`` says which of several ways it was tried: the pool, the broker. ``in_flight`` are the changes that were
    published and not visible when it struck; ``retransmissions`` what the bridges sent again from then on. ``outage_s``
    is how long it lasted, where something came back; ``takeover_s`` until the others could go on without what had
    failed, where the test knows; ``fresh_s`` from its end (the moment it struck if it has none) until every product
    was at its newest.
    """

    fault: str
    under: str
    in_flight: int
    takeover_s: float | None = None
    outage_s: float | None = None
    retransmissions: int = 0
    fresh_s: float = 0.0


class Measurement:
    """One fault that is being measured; see ``measured``."""

    def __init__(self, flow: Flow, fault: str, under: str) -> None:
        self.figures = Figures(fault, under, in_flight=in_flight(flow))
        self._struck_at = self._over_at = time.monotonic()

    @property
    def since_s(self) -> float:
        """Seconds since it struck."""
        return time.monotonic() - self._struck_at

    def taken_over(self) -> float:
        """Note that now the others go on without what has failed; return how long that took, in seconds."""
        self.figures.takeover_s = self.since_s
        return self.figures.takeover_s

    def over(self) -> None:
        """Note that now it is over: healed, restarted, resumed. ``fresh_s`` counts from here."""
        self.figures.outage_s = self.since_s
        self._over_at = time.monotonic()

    def end(self) -> None:
        """Note that everything is fresh."""
        self.figures.fresh_s = time.monotonic() - self._over_at


@contextmanager
def measured(flow: Flow, fault: str, *, under: str = "") -> Iterator[Measurement]:
    """Enter it just before the fault strikes, leave it when every product is at its newest: that is measured, and kept.

    ``fault`` and ``under`` become the row's first two columns, in words for a reader of docs/faults.md.
    """
    sent_again = retransmissions(flow)
    measurement = Measurement(flow, fault, under)
    yield measurement
    measurement.end()
    measurement.figures.retransmissions = retransmissions(flow) - sent_again
    keep(measurement.figures)


def keep(figures: Figures) -> None:
    """Append the figures to the file of the environment variable, if there is one."""
    if path := os.environ.get(VARIABLE):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(asdict(figures), ensure_ascii=False)}\n")


def in_flight(flow: Flow) -> int:
    """How many of the published changes are not visible: neither theirs is held nor a newer one."""
    delivered = [(product, version) for changes in flow.delivered.values() for _, product, version in list(changes)]
    held = flow.held()
    return sum(held.get(product, (0, 0)) < version for product, version in delivered)


def retransmissions(flow: Flow) -> int:
    """How many sends of the flow's bridges, those that are gone included, were not the first of their update."""
    logs = (log.read_text(encoding="utf-8") for log in flow.directory.glob("bridge-*.log"))
    return sum(int(count) for log in logs for count in re.findall(r"(\d+) updates are presumed lost", log))
