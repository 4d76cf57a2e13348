"""The records of one partition in the order of their delivery, and how far they may be committed. Pure.

An offset may be committed when its record and all that were delivered before it are finished: every update confirmed,
or the record in the dead-letter topic. Compaction and transactions leave gaps between offsets; only the order counts.
"""

from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be in flight: unconfirmed updates and the bytes of their records, and records finished but waiting.

    ``updates`` and ``bytes`` are for all partitions, each takes at most its share; ``waiting`` is for one partition.
    """

    updates: int = 10_000
    bytes: int = 64 * 2**20
    waiting: int = 1_000_000


@dataclass(eq=False, slots=True)
class Delivered:
    """A record as delivered; finished when none of its updates is ``unfinished``. ``source`` is the caller's own."""

    partition: "PartitionInFlight"
    offset: int
    size: int
    source: object
    unfinished: int


@dataclass(eq=False, slots=True)
class PartitionInFlight:
    """What is in flight of one partition, until it is revoked or read anew: then it is ``gone``.

    What is before ``seen_until`` may have been confirmed in an earlier one. ``next`` is the offset behind the last
    record, or that from which it is read.
    """

    number: int
    records: deque[Delivered] = field(default_factory=deque)
    unfinished: int = 0
    updates: int = 0
    bytes: int = 0
    committable: int | None = None
    seen_until: int = 0
    next: int | None = None
    full: bool = False
    letters_refused: bool = False
    gone: bool = False

    def deliver(self, offset: int, updates: int, size: int, source: object) -> Delivered:
        """Append a record that is finished after ``updates`` calls of ``finish_one``."""
        record = Delivered(self, offset, size, source if updates else None, unfinished=updates)
        self.records.append(record)
        self.next = offset + 1
        if updates:
            self.unfinished += 1
            self.updates += updates
            self.bytes += size
        else:
            self._advance()
        return record

    def finish_one(self, record: Delivered) -> bool:
        """Count one update of the record as done, and return whether the record is finished by that."""
        record.unfinished -= 1
        self.updates -= 1
        if record.unfinished:
            return False
        record.source = None
        self.unfinished -= 1
        self.bytes -= record.size
        self._advance()
        return True

    def reach(self, offset: int) -> None:
        """Note that no record comes before this offset any more: what lies there was aborted, or compacted away."""
        if self.next is None or offset <= self.next:
            return
        self.next = offset
        if self.records and not self.records[-1].unfinished:
            self.records[-1].offset = offset - 1
        else:
            self.records.append(Delivered(self, offset - 1, 0, None, unfinished=0))
        self._advance()

    @property
    def waiting(self) -> int:
        """Records that are finished but may not be committed, since one before them is not."""
        return len(self.records) - self.unfinished

    def has_room(self, updates: int, size: int, bounds: Bounds) -> bool:
        """Whether a record fits into this share of the bounds; into an empty partition one always does, alone."""
        if self.waiting >= bounds.waiting:
            return False
        return not self.updates or (self.updates + updates <= bounds.updates and self.bytes + size <= bounds.bytes)

    def is_half_empty(self, bounds: Bounds) -> bool:
        """Whether a full partition has enough room to be resumed."""
        return (
            self.updates <= bounds.updates // 2
            and self.bytes <= bounds.bytes // 2
            and self.waiting <= bounds.waiting // 2
        )

    def _advance(self) -> None:
        while self.records and not self.records[0].unfinished:
            self.committable = self.records.popleft().offset + 1
