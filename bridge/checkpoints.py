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
from bridge.delivery.rewind import MADE_ANEW, Marker, Standing, Start, commit_field, start_of
from bridge.delivery.window import Window
from bridge.partition import Partition, Partitions
from bridge.records import Records
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
        partitions: Partitions,
        records: Records,
        window: Window,
        cache: Cache,
        *,
        stamps: Stamps,
        back_off: BackOff,
        claim: Callable[[], None] = lambda: None,
        topic: TopicWatch,
        generation: Callable[[], int] = lambda: 0,
    ) -> None:
        self._partitions = partitions
        self._cache = cache
        self._stamps = stamps
        self._records = records
        self._window = window
        self._back_off = back_off
        self._claim = claim
        self._topic = topic
        self._generation = generation
        self._sealed_at = 0.0
        self._told: type[Exception] | None = None

    @property
    def unchecked(self) -> frozenset[int]:
        """The partitions of which nothing may be taken in yet."""
        return frozenset(number for number, partition in self._partitions.items() if not partition.checked)

    # What is lost.

    def rewind(self, what: str) -> None:
        """Drop all that is in flight of all partitions, since Redis may not have what it had; check them anew."""
        numbers = sorted(self._partitions)
        logger.error("Redis does not hold what it held: %s; partitions %s are checked", what, numbers)
        self._drop(numbers)

    def check_topic(self, now: float) -> None:
        """Drop all that is in flight where the topic is another by now, or a partition went back; check that anew."""
        was_missing = self._topic.missing
        is_another = self._topic.is_another(now)
        if self._topic.missing:
            self._records.excuse()
        elif was_missing:
            with suppress(NotAnsweredError):  # else it notices by itself, later
                self._records.refresh()
        if is_another and self._any_checked:
            self._drop_of_another_topic(self._partitions)
        broken = self._records.broken()
        for number, offset in broken.items():
            logger.error("partition %d has nothing at offset %d any more; it is checked", number, offset)
            self._partitions[number].nothing_at = offset
        self._drop(broken)

    @property
    def _any_checked(self) -> bool:
        return any(partition.checked for partition in self._partitions.values())

    def _drop_of_another_topic(self, numbers: Iterable[int]) -> None:
        logger.error("the topic was made anew; partitions %s are checked", sorted(numbers))
        self._drop(numbers)

    def _drop(self, numbers: Iterable[int]) -> None:
        self._window.assign(numbers)
        for number in numbers:
            self._partitions[number].start_over()

    def close(self) -> None:
        """Let the stamps expire: nobody looks for them any more."""
        self._stamps.life_ms = 1
        with suppress(CacheUnavailableError):
            self._cache.poll([], [], seal=self._stamps.seal())

    # Sealing, with each poll.

    def due(self, now: float) -> bool:
        """Whether Redis is to be asked even if no poll is due: there is something to note, or a second has passed."""
        self._collect()
        return bool(self._points()) or (now >= self._sealed_at + SEAL_EVERY_S and self._any_checked)

    def seal(self) -> Seal:
        """What is to be noted in Redis in the next round trip."""
        self._collect()
        noted = {}
        for partition, offset in self._points():
            name = self._records.name(partition.number)
            noted[name] = str(Marker(offset, partition.identity))
            if told := partition.positions.told():
                noted[commit_field(name)] = told
        return self._stamps.seal(noted)

    def commit(self, seal: Seal) -> None:
        """Commit what every primary has noted under this seal; what has been confirmed since it was made is not."""
        self._sealed_at = time.monotonic()
        if seal.complete:
            for partition, offset in self._points():
                metadata = metadata_of(partition.identity, partition.positions.told())
                self._records.commit(partition.number, offset, metadata)
                partition.committable = None

    def _collect(self) -> None:
        for point in self._window.commit_points():
            self._partitions[point.partition].committable = point.offset

    def _points(self) -> list[tuple[Partition, int]]:
        """What is to be noted and committed: partitions, and the next offset to read of each."""
        partitions = self._partitions.values()
        return [(partition, partition.committable) for partition in partitions if partition.committable is not None]

    # Checking.

    def check(self) -> None:
        """Find out from where the unchecked partitions are to be read, and let them flow from there."""
        unchecked = self.unchecked
        settled = unchecked and unchecked & self._records.settled()
        overdue = unchecked and unchecked & self._records.overdue()
        if not (settled or overdue) or not self._back_off.ready(time.monotonic()):
            return
        try:
            if settled:
                self._check(sorted(settled))
            if overdue:
                self._records.standing(overdue)
        except (CacheUnavailableError, NotAnsweredError) as error:
            if type(error) is not self._told:
                self._told = type(error)
                numbers = sorted(self.unchecked)
                logger.warning("not known yet from where partitions %s are to be read: %s", numbers, error)
            self._back_off.failed(time.monotonic())
        else:
            self._told = None
            self._back_off.succeeded()

    def _check(self, numbers: list[int]) -> None:
        self._claim()
        # First: what is read or committed after it is of this topic, or of one that will be noticed to be another.
        topic = Topic(self._topic.id(), self._generation())
        checked = (partition for partition in self._partitions.values() if partition.checked)
        if of_another := [p.number for p in checked if not Identity.parse(p.identity).is_of(topic)]:
            self._drop_of_another_topic(of_another)  # nobody else would notice: the id that is known is the new one now
        names = {number: self._records.name(number) for number in numbers}
        first = self._records.name(0)
        fields = dict.fromkeys([*names.values(), first, *map(commit_field, names.values())])
        reading = self._stamps.opening(list(fields), anew=not self._any_checked)
        self._cache.poll([], [], seal=reading)
        if reading.lost:
            self.rewind(reading.lost)
            return
        reading.adopt()
        standings = self._records.standing(numbers)
        read = [{name: Marker.parse(stored) for name, stored in held.items()} for held in reading.held]
        others = [Identity.parse(marker.identity) for held in read if (marker := held[first])]
        starts = {}
        for number, standing in standings.items():
            markers = [held[names[number]] for held in read]
            start = start_of(standing, markers, secrets.token_hex(8), topic, others=others)
            starts[number] = self._unbroken(number, start, standing, topic)
            for told in (standing.last_commit, *(held[commit_field(names[number])] for held in reading.held)):
                self._partitions[number].positions.begin(told)
        if any(start.lost == MADE_ANEW for start in starts.values()) or len(standings) < len(numbers):
            self._records.refresh()
        self._begin_all(starts, standings, names)
        if len(standings) < len(numbers):
            raise NotAnsweredError(f"the topic has no partitions {sorted(set(numbers) - standings.keys())} any more")

    def _unbroken(self, number: int, start: Start, standing: Standing, topic: Topic) -> Start:
        """Where to begin a partition that had nothing any more at an offset which its end may have reached since."""
        nothing_at = self._partitions[number].nothing_at
        if nothing_at is None or start.lost:
            return start
        name = Identity.new(secrets.token_hex(8), topic, [Identity.parse(start.identity)])
        why = f"Kafka has lost its last records: it had nothing at offset {nothing_at} any more"
        return Start(standing.begin, str(name), why)

    def _begin_all(
        self, starts: Mapping[int, Start], standings: Mapping[int, Standing], names: Mapping[int, str]
    ) -> None:
        markers = {names[number]: str(Marker(start.offset, start.identity)) for number, start in starts.items()}
        writing = self._stamps.seal(markers, begin=True)
        self._cache.poll([], [], seal=writing)
        if writing.lost:
            self.rewind(writing.lost)
            return
        for number, start in starts.items():
            self._begin(self._partitions[number], start, standings[number])

    def _begin(self, partition: Partition, start: Start, standing: Standing) -> None:
        number = partition.number
        _tell(partition, start, standing)
        # At once: a commit without it says nothing of Redis, and if nothing more comes it is the last.
        is_unnamed = start.identity != standing.identity and standing.committed is not None
        partition.displaced = partition.displaced or bool(start.lost) or is_unnamed
        offset = max(start.offset, standing.begin)
        if partition.displaced:
            self._records.go_back(number, offset, metadata_of(start.identity, partition.positions.told()))
        else:
            # The commit may have changed since librdkafka read it, at the assignment.
            self._records.read_from(number, offset)
        partition.begin(start.identity)
        self._window.begin(number, start.offset)
        self._window.seek_until(number, standing.end)


def _tell(partition: Partition, start: Start, standing: Standing) -> None:
    """Say why a partition is not read from where it is committed, and what of it can never be read."""
    number, committed = partition.number, standing.committed
    if start.lost and committed is None:
        logger.error("partition %d is read from its beginning, offset %d: %s", number, start.offset, start.lost)
    elif start.lost:
        logger.error("partition %d goes back from offset %s to %d: %s", number, committed, start.offset, start.lost)
    elif partition.displaced:
        logger.warning("partition %d is read again from offset %d", number, start.offset)
    if committed is not None and start.lost != MADE_ANEW and committed < standing.begin:
        tell_gone(number, committed, standing.begin)
