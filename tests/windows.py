"""Windows to try, and records to put into them: one byte each unless told otherwise, at simulated times."""

from bridge.delivery.in_flight import InFlight
from bridge.delivery.partition_in_flight import Bounds
from bridge.delivery.retransmit import Clocks
from bridge.delivery.window import Window
from lastword.contract.record import Update
from lastword.contract.version import Version


def change(product: str, number: int = 1) -> Update:
    return Update(entity_id=product, version=Version(number, 0), data=b"{}")


def opened(*partitions: int, updates: int = 100, size: int = 10_000, waiting: int = 1_000) -> Window:
    window = Window(Bounds(updates, size, waiting), Clocks())
    window.assign(partitions or [0])
    return window


def offer(window: Window, number: int, offset: int, *updates: Update, size: int = 1) -> bool:
    """Add a record if it is admitted, and return whether it was."""
    if not window.admits(number, size, len(updates)):
        return False
    window.add(number, offset, updates, size=size, source=offset)
    return True


def send_all(window: Window, now: float = 0.0) -> list[InFlight]:
    entries = window.unsent(1_000)
    window.sent(entries, now)
    return entries


def offsets(window: Window) -> list[tuple[int, int]]:
    return [(point.partition, point.offset) for point in window.commit_points()]
