"""A record as a decoder is given it."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from lastword.contract.change import Change


class Record(NamedTuple):
    """One record of the topic. ``timestamp_ms`` is its own, milliseconds since the epoch; None if it has none."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    offset: int
    timestamp_ms: int | None


Decoder = Callable[[Record], Iterable[Change]]
"""Returns the changes in a record, in the order in which they count. ValueError, with a reason: it cannot be read."""
