"""Records that do not decode: a few are dead letters, many in a row of one partition mean that the format is wrong.

Source: docs/decisions/0008-giving-up-on-evidence.md
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from bridge.delivery.partition import Partition
from bridge.letters.dead_letters import Letter

logger = logging.getLogger(__name__)

QUIET_S: Final = 5.0
"""How long a run waits for its next record before its letters are sent."""

COMPLAIN_EVERY_S: Final = 60.0


@dataclass(eq=False, slots=True)
class _Run:
    """Records in a row of a partition, as long as it is assigned; ``held`` are the letters that have not been sent."""

    partition: Partition
    first_offset: int
    count: int = 0
    held: list[Letter] = field(default_factory=list)
    grown: float = 0.0
    next_complaint: float = 0.0


class Undecodable:
    """Holds the letters of each run until it is over, or is so long that they must not be sent.

    A run is over with a record that decodes. Its letters also go when no further record has come for a while, or when
    there is no room for one. ``most`` is how many records in a row may be dead letters.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._runs: dict[int, _Run] = {}
        self._over: list[Letter] = []

    def add(self, letter: Letter, now: float) -> bool:
        """Take in a record that does not decode; return whether it is one too many, and its partition must pause."""
        partition = letter.entry.record.partition
        run = self._runs.get(partition.number)
        if run is None or run.partition is not partition:
            run = self._runs[partition.number] = _Run(partition, letter.entry.record.offset)
        run.count += 1
        run.held.append(letter)
        run.grown = now
        return run.count > self._most

    def end(self, number: int) -> None:
        """Take note of a record of the partition that decodes."""
        run = self._runs.pop(number, None)
        if run is not None and not run.partition.gone:
            self._over += run.held

    def sendable(self, now: float) -> list[Letter]:
        """Return the letters that may be sent, each once; complain now and then of the runs that are too long."""
        for run in self._assigned():
            if run.count > self._most:
                self._complain(run, now)
            elif run.grown + QUIET_S <= now or run.partition.full:
                self._over += run.held
                run.held = []
        letters, self._over = self._over, []
        return letters

    @property
    def too_long(self) -> frozenset[int]:
        """The partitions whose format is wrong: they pause until the bridge is started again."""
        return frozenset(run.partition.number for run in self._assigned() if run.count > self._most)

    @property
    def held(self) -> int:
        """How many letters have not been sent, of the partitions that are assigned."""
        return sum(len(run.held) for run in self._assigned())

    def _assigned(self) -> Iterator[_Run]:
        return (run for run in self._runs.values() if not run.partition.gone)

    def _complain(self, run: _Run, now: float) -> None:
        if now >= run.next_complaint:
            run.next_complaint = now + COMPLAIN_EVERY_S
            logger.error(
                "partition %d is paused until this bridge is started again: more than %d records in a row, from offset "
                "%d on, are no updates, so their format must be wrong (LASTWORD_UNDECODABLE_MAX). The last of them: %s",
                run.partition.number,
                self._most,
                run.first_offset,
                run.held[-1].reason,
            )
