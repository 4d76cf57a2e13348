"""What Redis itself says of how far it holds each partition: nothing is committed beyond, and from there it is read.

Source: docs/decisions/0007-redis-tells-how-far-it-holds.md
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

from bridge.delivery.back_off import BackOff
from bridge.delivery.rewind import MADE_ANEW, Marker, Standing, Start, start_of
from bridge.delivery.window import CommitPoint, Window
from bridge.records import Records
from bridge.topic.positions import Positions
from bridge.topic.sequel import tell_gone
from bridge.topic.watch import TopicWatch
from lastword.cache.cache import Cache
from lastword.cache.seal import Seal, Stamps
from lastword.contract.errors import CacheUnavailableError
from lastword.kafka.client import NotAnsweredError
from lastword.kafka.identity import Identity, Topic, metadata_of

logger = logging.getLogger(__name__)

SEAL_EVERY_S: Final = 1.0


class Checkpoints:
    """Lets a partition flow once it is certain that Redis holds what was committed of it, and commits what Redis noted.

    A partition is *unchecked* from its assignment, and after a loss, until ``check`` has found out about it.
    ``claim`` is called before: whether the keys are ours must be certain too.
    """

    def __init__(
        self,
        cache: Cache,
        stamps: Stamps,
        records: Records,
        window: Window,
        back_off: BackOff,
        *,
        claim: Callable[[], None] = lambda: None,
        topic: TopicWatch,
        positions: Positions,
        generation: Callable[[], int] = lambda: 0,
    ) -> None:
        self._cache = cache
        self._stamps = stamps
        self._records = records
        self._window = window
        self._back_off = back_off
        self._claim = claim
        self._topic = topic
        self._positions = positions
        self._generation = generation
        self._broken: dict[int, int] = {}
        self._unchecked: set[int] = set()
        self._displaced: set[int] = set()
        self._identities: dict[int, str] = {}
        self._points: dict[int, CommitPoint] = {}
        self._sealed_at = 0.0
        self._told: type[Exception] | None = None

    @property
    def unchecked(self) -> frozenset[int]:
        """The partitions of which nothing may be taken in yet."""
        return frozenset(self._unchecked)

    # Partitions come and go.

    def assigned(self, numbers: Iterable[int]) -> None:
        """Check these partitions before anything of them is taken in."""
        self._unchecked.update(numbers)

    def revoked(self, numbers: Iterable[int]) -> None:
        """Forget partitions that are somebody else's."""
        for number in numbers:
            self._unchecked.discard(number)
            self._displaced.discard(number)
            self._points.pop(number, None)
            self._broken.pop(number, None)

    def rewind(self, what: str) -> None:
        """Drop all that is in flight of all partitions, since Redis may not have what it had; check them anew."""
        numbers = self._window.assigned
        logger.error("Redis does not hold what it held: %s; partitions %s are checked", what, sorted(numbers))
        self._drop(numbers)

    def look_at_topic(self, now: float) -> None:
        """Drop all that is in flight where the topic is another by now, or a partition went back; check that anew."""
        was_missing = self._topic.missing
        is_another = self._topic.is_another(now)
        if self._topic.missing:
            self._records.excuse()
        elif was_missing:
            with suppress(NotAnsweredError):  # else it notices by itself, later
                self._records.refresh()
        if is_another and not self._unchecked >= self._window.assigned:
            self._drop_of_another_topic(self._window.assigned)
        broken = self._records.broken()
        for number, offset in broken.items():
            logger.error("partition %d has nothing at offset %d any more; it is checked", number, offset)
        self._broken.update(broken)
        self._drop(self._window.assigned.intersection(broken))

    def least(self, number: int) -> int:
        """The generation of positions that a partition's records must have whose version is their offset."""
        return Identity.parse(self._identities.get(number, "")).least

    def _drop_of_another_topic(self, numbers: frozenset[int]) -> None:
        logger.error("the topic was made anew; partitions %s are checked", sorted(numbers))
        self._drop(numbers)

    def _drop(self, numbers: frozenset[int]) -> None:
        self._window.assign(numbers)
        for number in numbers:
            self._points.pop(number, None)
        self._unchecked.update(numbers)
        self._displaced.update(numbers)

    def close(self) -> None:
        """Let the stamps expire: nobody looks for them any more."""
        self._stamps.life_ms = 1
        with suppress(CacheUnavailableError):
            self._cache.poll([], [], seal=self._stamps.seal())

    # Sealing, with each poll.

    def due(self, now: float) -> bool:
        """Whether Redis is to be asked even if no poll is due: there is something to note, or a second has passed."""
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

    def commit(self, seal: Seal) -> None:
        """Commit what every primary has noted under this seal."""
        self._sealed_at = time.monotonic()
        if seal.complete:
            for point in self._points.values():
                self._records.commit([point], self._metadata(point.partition, self._identities[point.partition]))
            self._points.clear()

    def _metadata(self, number: int, identity: str) -> str:
        return metadata_of(identity, self._positions.told(number))

    def _collect(self) -> None:
        self._points.update({point.partition: point for point in self._window.commit_points()})

    # Checking.

    def check(self) -> set[int]:
        """Find out from where the unchecked partitions are to be read; return those that are read from there now."""
        begun: set[int] = set()
        settled = self._unchecked and self._unchecked & self._records.settled()
        overdue = self._unchecked and self._unchecked & self._records.overdue()
        if (settled or overdue) and self._back_off.ready(time.monotonic()):
            try:
                if settled:
                    self._check(sorted(settled), begun)
                if overdue:
                    self._records.standing(overdue)
            except (CacheUnavailableError, NotAnsweredError) as error:
                if type(error) is not self._told:
                    self._told = type(error)
                    numbers = sorted(self._unchecked)
                    logger.warning("not known yet from where partitions %s are to be read: %s", numbers, error)
                self._back_off.failed(time.monotonic())
            else:
                self._told = None
                self._back_off.succeeded()
        return begun

    def _check(self, numbers: list[int], begun: set[int]) -> None:
        self._claim()
        # First: what is read or committed after it is of this topic, or of one that will be noticed to be another.
        topic = Topic(self._topic.id(), self._generation())
        checked = self._window.assigned - self._unchecked
        if of_another := frozenset(n for n in checked if not Identity.parse(self._identities[n]).is_of(topic)):
            self._drop_of_another_topic(of_another)  # nobody else would notice: the id that is known is the new one now
        names = {number: self._records.name(number) for number in numbers}
        first = self._records.name(0)
        reading = self._stamps.opening(
            list(dict.fromkeys([*names.values(), first])), anew=self._unchecked == self._window.assigned
        )
        self._cache.poll([], [], seal=reading)
        if reading.lost:
            self.rewind(reading.lost)
            return
        reading.adopt()
        standings = self._records.standing(numbers)
        found = [{name: Marker.parse(stored) for name, stored in held.items()} for held in reading.held]
        others = [Identity.parse(marker.identity) for held in found if (marker := held[first])]
        starts = {}
        for number, standing in standings.items():
            markers = [held[names[number]] for held in found]
            start = start_of(standing, markers, secrets.token_hex(8), topic, others=others)
            starts[number] = self._unbroken(number, start, standing, topic)
        if any(start.lost == MADE_ANEW for start in starts.values()) or len(standings) < len(numbers):
            self._records.refresh()
        self._begin_all(starts, standings, names, begun)
        if len(standings) < len(numbers):
            raise NotAnsweredError(f"the topic has no partitions {sorted(set(numbers) - standings.keys())} any more")

    def _unbroken(self, number: int, start: Start, standing: Standing, topic: Topic) -> Start:
        """Where to begin a partition that had nothing any more at an offset which its end may have reached since."""
        if number not in self._broken or start.lost:
            return start
        name = Identity.new(secrets.token_hex(8), topic, [Identity.parse(start.identity)])
        why = f"Kafka has lost its last records: it had nothing at offset {self._broken[number]} any more"
        return Start(standing.begin, str(name), why)

    def _begin_all(
        self, starts: Mapping[int, Start], standings: Mapping[int, Standing], names: Mapping[int, str], begun: set[int]
    ) -> None:
        markers = {names[number]: str(Marker(start.offset, start.identity)) for number, start in starts.items()}
        writing = self._stamps.seal(markers, begin=True)
        self._cache.poll([], [], seal=writing)
        if writing.lost:
            self.rewind(writing.lost)
            return
        for number, start in starts.items():
            self._begin(number, start, standings[number], begun)

    def _begin(self, number: int, start: Start, standing: Standing, begun: set[int]) -> None:
        committed = standing.committed
        self._positions.begin(number, standing.last_commit)
        self._tell(number, start, standing)
        if start.lost:
            self._displaced.add(number)
        if start.identity != standing.identity and committed is not None:
            # At once: a commit without it says nothing of Redis, and if nothing more comes it is the last.
            self._displaced.add(number)
        offset = max(start.offset, standing.begin)
        if number in self._displaced:
            epoch = self._window.epoch(number) or 0
            self._records.go_back(CommitPoint(number, epoch, offset), self._metadata(number, start.identity))
            self._displaced.discard(number)
        else:
            # The commit may have changed since librdkafka read it, at the assignment.
            self._records.read_from(number, offset)
        begun.add(number)
        self._broken.pop(number, None)
        self._identities[number] = start.identity
        self._window.begin(number, start.offset)
        self._window.look_up_until(number, standing.end)
        self._unchecked.discard(number)

    def _tell(self, number: int, start: Start, standing: Standing) -> None:
        """Say why a partition is not read from where it is committed, and what of it can never be read."""
        committed = standing.committed
        if start.lost and committed is None:
            logger.error("partition %d is read from its beginning, offset %d: %s", number, start.offset, start.lost)
        elif start.lost:
            logger.error(
                "partition %d goes back from offset %s to %d: %s",
                *(number, committed, start.offset, start.lost),
            )
        elif number in self._displaced:
            logger.warning("partition %d is read again from offset %d", number, start.offset)
        if committed is not None and start.lost != MADE_ANEW and committed < standing.begin:
            tell_gone(number, committed, standing.begin)
