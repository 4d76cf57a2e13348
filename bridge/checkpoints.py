"""What Redis itself says of how far it holds each partition: nothing is committed beyond, and from there it is read.

Source: docs/decisions/0007-redis-tells-how-far-it-holds.md
"""

import logging
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from bridge.back_off import BackOff
from bridge.records import NotAnsweredError, Records
from bridge.rewind import Marker, Standing, Start, start_of
from bridge.window import CommitPoint, Window
from tasks.cache import Cache
from tasks.errors import CacheUnavailableError
from tasks.seal import Seal, Stamps

logger = logging.getLogger(__name__)

SEAL_EVERY_S: Final = 1.0


class Checkpoints:
    """Lets a partition flow once it is certain that Redis holds what was committed of it, and commits what Redis noted.

    A partition is *unchecked* from its assignment, and after a loss, until ``check`` has found out about it.
    """

    def __init__(self, cache: Cache, stamps: Stamps, records: Records, window: Window, back_off: BackOff) -> None:
        self._cache = cache
        self._stamps = stamps
        self._records = records
        self._window = window
        self._back_off = back_off
        self._unchecked: set[int] = set()
        self._displaced: set[int] = set()
        self._identities: dict[int, str] = {}
        self._points: dict[int, CommitPoint] = {}
        self._sealed_at = 0.0

    @property
    def unchecked(self) -> frozenset[int]:
        """The partitions of which nothing may be taken in yet."""
        return frozenset(self._unchecked)

    # Partitions come and go.

    def assigned(self, numbers: Iterable[int]) -> None:
        """Check these partitions before anything of them is taken in."""
        self._unchecked.update(numbers)

    def gone(self, numbers: Iterable[int]) -> None:
        """Forget partitions that are somebody else's."""
        for number in numbers:
            self._unchecked.discard(number)
            self._displaced.discard(number)
            self._points.pop(number, None)

    def lost(self, what: str) -> None:
        """Drop all that is in hand of all partitions, since Redis may not have what it had; check them anew."""
        numbers = self._window.assigned
        logger.error("Redis does not hold what it held: %s; partitions %s are checked", what, sorted(numbers))
        self._window.assign(numbers)
        self._points.clear()
        self._unchecked.update(numbers)
        self._displaced.update(numbers)

    def close(self) -> None:
        """Let the stamps expire: nobody looks for them any more."""
        self._stamps.life_ms = 1
        with suppress(CacheUnavailableError):
            self._cache.look([], [], seal=self._stamps.seal())

    # Sealing, in each sweep.

    def due(self, now: float) -> bool:
        """Whether Redis is to be asked even if no look is due: there is something to note, or a second has passed."""
        self._collect()
        waited = now >= self._sealed_at + SEAL_EVERY_S
        return bool(self._points) or (waited and self._unchecked != self._window.assigned)

    def seal(self) -> Seal:
        """What is to be noted in Redis in the next round trip."""
        self._collect()
        points = self._points.values()
        return self._stamps.seal(
            {self._records.name(p.partition): str(Marker(p.offset, self._identities[p.partition])) for p in points}
        )

    def sealed(self, seal: Seal) -> None:
        """Store for the next commit what every primary has noted."""
        self._sealed_at = time.monotonic()
        if seal.complete:
            for point in self._points.values():
                self._records.store([point], self._identities[point.partition])
            self._points.clear()

    def _collect(self) -> None:
        self._points.update({point.partition: point for point in self._window.commit_points()})

    # Checking.

    def check(self) -> set[int]:
        """Find out from where the unchecked partitions are to be read; return those that are read from there now."""
        begun: set[int] = set()
        if self._unchecked and self._back_off.ready(time.monotonic()):
            try:
                self._check(sorted(self._unchecked), begun)
            except (CacheUnavailableError, NotAnsweredError) as error:
                logger.warning("not known yet from where partitions %s are to be read: %s", self._unchecked, error)
                self._back_off.failed(time.monotonic())
            else:
                self._back_off.succeeded()
        return begun

    def _check(self, numbers: list[int], begun: set[int]) -> None:
        names = {number: self._records.name(number) for number in numbers}
        reading = self._stamps.opening(list(names.values()), anew=self._unchecked == self._window.assigned)
        self._cache.look([], [], seal=reading)
        if reading.lost:
            self.lost(reading.lost)
            return
        reading.adopt()
        standings = self._records.standing(numbers)
        starts = {}
        for number, name in names.items():
            held = [Marker.parse(found[name]) for found in reading.held]
            starts[number] = start_of(standings[number], held, secrets.token_hex(8))
        markers = {names[number]: str(Marker(start.offset, start.identity)) for number, start in starts.items()}
        writing = self._stamps.seal(markers, begin=True)
        self._cache.look([], [], seal=writing)
        if writing.lost:
            self.lost(writing.lost)
            return
        for number, start in starts.items():
            self._begin(number, start, standings[number], begun)

    def _begin(self, number: int, start: Start, standing: Standing, begun: set[int]) -> None:
        if start.lost:
            logger.error(
                "partition %d goes back from offset %s to %d: %s",
                *(number, standing.committed, start.offset, start.lost),
            )
            self._displaced.add(number)
        elif number in self._displaced:
            logger.warning("partition %d is read again from offset %d", number, start.offset)
        if start.identity != standing.identity and standing.committed is not None:
            # At once: a commit without it says nothing of Redis, and if nothing more comes it is the last.
            self._displaced.add(number)
        if number in self._displaced:
            epoch = self._window.epoch(number) or 0
            self._records.go_back(CommitPoint(number, epoch, start.offset), start.identity)
            self._displaced.discard(number)
        else:
            # The commit may have changed since librdkafka read it, at the assignment.
            self._records.read_from(number, start.offset)
        begun.add(number)
        self._identities[number] = start.identity
        self._window.begin(number, start.offset)
        self._window.look_up_until(number, standing.end)
        self._unchecked.discard(number)
