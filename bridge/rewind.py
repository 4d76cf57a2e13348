"""From where a partition is to be read: from the committed offset, or from before it, if Redis has lost writes. Pure.

Source: docs/decisions/0007-redis-tells-how-far-it-holds.md
"""

from collections.abc import Sequence
from typing import NamedTuple, Self


class Standing(NamedTuple):
    """What Kafka says of a partition: the committed offset (None: there is none) with its metadata; what it has."""

    committed: int | None
    identity: str
    begin: int
    end: int


class Marker(NamedTuple):
    """What Redis says of a partition: all before ``offset`` is held. ``identity`` names the data set and the topic."""

    offset: int
    identity: str

    def __str__(self) -> str:
        return f"{self.offset} {self.identity}"

    @classmethod
    def parse(cls, stored: bytes | None) -> Self | None:
        """Read what Redis holds; None for anything that is no marker."""
        offset, _, identity = (stored or b"").decode(errors="replace").partition(" ")
        return cls(int(offset), identity) if offset.isdecimal() and offset.isascii() and identity else None


class Start(NamedTuple):
    """Where to begin, of which data set; ``lost`` says why that is before the committed offset, "" where it is not."""

    offset: int
    identity: str
    lost: str = ""


def start_of(standing: Standing, held: Sequence[Marker | None], new_identity: str) -> Start:
    """Where a partition is to be read from, if these are the markers that Redis's primaries hold."""
    committed = standing.committed
    if committed is None:
        return Start(standing.begin, new_identity)
    if committed > standing.end:
        return Start(standing.begin, new_identity, "the topic ends before that, it was made anew")
    if not standing.identity:
        # Nothing of ours is committed without: somebody has set the offset, and wants it.
        return Start(committed, new_identity)
    markers = [marker for marker in held if marker]
    if len(markers) < len(held) or any(marker.identity != standing.identity for marker in markers):
        why = "Redis was emptied" if len(markers) < len(held) else "Redis holds another data set"
        return Start(min(standing.begin, committed), new_identity, why)
    safe = min(marker.offset for marker in markers)
    if safe >= committed:
        return Start(committed, standing.identity)
    return Start(max(safe, standing.begin), standing.identity, "Redis has lost what was written after that")
