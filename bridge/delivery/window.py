"""Everything on its way between Kafka and the cache: what to send, to poll for, to commit. Pure: no I/O, no clock.

Source: docs/decisions/0001-end-to-end-acknowledgement.md
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from bridge.delivery.in_flight import InFlight, State, UpdatesInFlight
from bridge.delivery.partition_in_flight import Bounds, PartitionInFlight
from bridge.delivery.polls import Polls
from bridge.delivery.retransmit import Clocks, Retransmission
from lastword.contract.record import Update
from lastword.contract.version import Version

POLL_FIRST_S: Final = 0.01
POLL_MAX_S: Final = 1.0
"""When Redis is first asked whether it holds an update, and the longest pause between such questions."""


class CommitPoint(NamedTuple):
    """The next offset to read of a partition."""

    partition: int
    offset: int


class Window:
    """All records in flight, their updates, and the prefix of each partition that may be committed."""

    def __init__(self, bounds: Bounds, clocks: Clocks) -> None:
        self.bounds = bounds
        self._retransmission: Retransmission[InFlight] = Retransmission(clocks, is_overtaken=self._is_overtaken)
        self._polls: Polls[InFlight] = Polls(POLL_FIRST_S, POLL_MAX_S)
        self._partitions: dict[int, PartitionInFlight] = {}
        self._unsent: dict[InFlight, None] = {}
        self._in_flight = UpdatesInFlight()
        self._share = bounds

    # Partitions come and go.

    def assign(self, numbers: Iterable[int]) -> None:
        """Begin a new assignment of these partitions; whatever an earlier one left behind is dropped."""
        numbers = list(numbers)
        self.revoke(numbers)
        for number in numbers:
            self._partitions[number] = PartitionInFlight(number)
        self._divide()

    def revoke(self, numbers: Iterable[int]) -> None:
        """Drop all that is in flight of these partitions; nothing of this assignment is committed any more."""
        gone = [self._partitions.pop(number) for number in set(numbers) if number in self._partitions]
        if not gone:
            return  # in each turn: all that is in flight is gone through below
        for partition in gone:
            partition.gone = True
        self._divide()
        self._leave([entry for entry in self._in_flight if entry.record.partition.gone], State.DONE)

    def seek_until(self, number: int, offset: int) -> None:
        """Poll for the updates of a partition's records before this offset before they are sent."""
        self._partitions[number].seen_until = offset

    def begin(self, number: int, offset: int) -> None:
        """Note from where a partition is read."""
        self._partitions[number].next = offset

    @property
    def assigned(self) -> frozenset[int]:
        """The partitions that are assigned."""
        return frozenset(self._partitions)

    # Bounds.

    @property
    def updates(self) -> int:
        """How many updates are neither confirmed nor in the dead-letter topic."""
        return sum(p.updates for p in self._partitions.values())

    def admits(self, number: int, size: int, updates: int = 1) -> bool:
        """Whether a record may go in; one that may not makes its partition full, until half of its share is free."""
        partition = self._partitions[number]
        if partition.full or partition.letters_refused:
            return False
        fits = partition.has_room(updates, size, self._share) and (not partition.updates or self._fits(updates, size))
        partition.full = not fits
        return fits

    def paused(self) -> frozenset[int]:
        """The partitions to be paused: the full ones, and those whose dead letters cannot be delivered."""
        for partition in self._partitions.values():
            partition.full = partition.full and not partition.is_half_empty(self._share)
        return frozenset(p.number for p in self._partitions.values() if p.full or p.letters_refused)

    def _divide(self) -> None:
        parts = max(1, len(self._partitions))
        self._share = replace(self.bounds, updates=self.bounds.updates // parts, bytes=self.bounds.bytes // parts)

    def _fits(self, updates: int, size: int) -> bool:
        # Shares shrink when partitions are added; what is already in flight does not.
        in_flight = sum(p.bytes for p in self._partitions.values())
        return self.updates + updates <= self.bounds.updates and in_flight + size <= self.bounds.bytes

    # Records come in.

    def add(self, number: int, offset: int, updates: Sequence[Update], *, size: int, source: object) -> None:
        """Take in a record as delivered: its updates are to be sent. Of several of one entity the last counts."""
        # What is loaded for one that is apart is all that there is to say.
        last = {update.entity_id: update for update in sorted(updates, key=lambda update: update.version.asks)}
        partition = self._partitions[number]
        record = partition.deliver(offset, len(last), size, source)
        for position, update in enumerate(last.values()):
            entry = InFlight(record=record, update=update, position=position)
            self._in_flight.add(entry, update)
            if offset < partition.seen_until:
                entry.state = State.SOUGHT
                self._polls.at_once(entry)
            else:
                self._to_be_sent(entry)

    def add_dead_letter(self, number: int, offset: int, *, size: int, source: object) -> InFlight:
        """Take in a record that is no update; it is finished when ``finish`` is called, its dead letter delivered."""
        record = self._partitions[number].deliver(offset, 1, size, source)
        return InFlight(record=record, update=None, state=State.DEAD_LETTER)

    def reach(self, number: int, offset: int) -> None:
        """Note that a partition was delivered up to this offset, which is its end: there may be no record before it."""
        if number in self._partitions:
            self._partitions[number].reach(offset)

    # Updates go out.

    def unsent(self, most: int) -> list[InFlight]:
        """Return up to ``most`` updates to be sent, in order; they stay unsent until ``sent`` is called.

        Of one entity only the newest in flight: it confirms the others too.
        """
        unsent: list[InFlight] = []
        overtaken: list[InFlight] = []
        for entry in self._unsent:
            if len(unsent) == most:
                break
            (overtaken if self._is_overtaken(entry) else unsent).append(entry)
        for entry in overtaken:
            del self._unsent[entry]
            entry.state = State.OVERTAKEN
            self._polls.stop(entry)
        return unsent

    def sent(self, entries: Sequence[InFlight], now: float) -> None:
        """Note that these left just now; the first poll for each follows soon."""
        self._polls.usual_s = self._retransmission.timeout.smoothed_s
        sent = [entry for entry in entries if entry.state is State.UNSENT]
        for entry in sent:
            del self._unsent[entry]
            entry.state = State.SENT
            self._retransmission.sent(entry, now)
        confirming = [entry for entry in sent if self._in_flight.confirms_many(entry)]
        self._polls.soon(sent, now)
        self._polls.soon(confirming, now, often=True)

    def uncertain(self, entries: Sequence[InFlight], now: float) -> None:
        """Note that sending these failed: they stay unsent, but may have left all the same and are polled for."""
        unsure = [entry for entry in entries if entry.state is State.UNSENT]
        for entry in unsure:
            self._retransmission.attempted(entry, now)
        self._polls.soon(unsure, now)

    def presume_lost(self, now: float) -> int:
        """Put what is presumed lost back among the unsent, and return how many those are."""
        lost = self._retransmission.lost(now)
        for entry in lost:
            self._to_be_sent(entry)
        return len(lost)

    @property
    def timeout_s(self) -> float:
        """After how long without a sign an update is presumed lost."""
        return self._retransmission.timeout.value_s

    @property
    def silent(self) -> bool:
        """Whether nothing at all comes back."""
        return self._retransmission.silent

    # Updates arrive, or never will.

    @property
    def next_poll(self) -> float:
        """When the cache is to be asked next; infinity where there is nothing to ask about."""
        return self._polls.next()

    @property
    def usual_s(self) -> float:
        """How long it takes of late until an update is seen in the cache."""
        return self._polls.usual_s

    def due(self, now: float, most: int) -> list[InFlight]:
        """Return up to ``most`` updates that the cache is to be asked about now, and plan when to ask again."""
        return self._polls.due(now, most)

    def polled(self, entries: Sequence[InFlight], now: float) -> None:
        """Note that the cache was asked about these: of those sought, what is not confirmed by now is to be sent."""
        for entry in [*entries, *self._polls.polled(now)]:
            if entry.state is State.SOUGHT:
                self._polls.stop(entry)
                self._to_be_sent(entry)

    def observe(self, entity_id: str, held: Version, now: float) -> int:
        """Confirm every update of an entity that is not newer than what the cache holds; return how many those are."""
        return self._confirm(
            [e for e in self._in_flight.of(entity_id) if e.update and held.covers(e.update.version)], held, now
        )

    def loaded(self, entry: InFlight, now: float) -> int:
        """Confirm an update for which a row was loaded, and what came before it in its partition; how many they are."""
        record, update = entry.record, entry.update
        if update is None:
            return 0
        of_entity = self._in_flight.of(update.entity_id)
        before = [e for e in of_entity if e.record.partition is record.partition and e.record.offset <= record.offset]
        return self._confirm(before, update.version, now)

    def _confirm(self, confirmed: Sequence[InFlight], held: Version, now: float) -> int:
        for entry in confirmed:
            if entry.state is not State.SOUGHT:
                itself = entry.update is not None and entry.update.version == held
                self._retransmission.confirmed(entry, now, itself=itself)
            entry.record.partition.finish_one(entry.record)
        self._leave(confirmed, State.DONE)
        return len(confirmed)

    def give_up(self, entry: InFlight) -> bool:
        """Stop sending an update that has failed for good; its record is finished when ``finish`` is called."""
        if entry.state not in (State.UNSENT, State.OVERTAKEN, State.SENT):
            return False
        self._leave([entry], State.DEAD_LETTER)
        return True

    def finish(self, entry: InFlight) -> None:
        """Note that the dead letter is delivered: this one is done. Nothing happens after its partition went away."""
        if entry.state is State.DEAD_LETTER and not entry.record.partition.gone:
            entry.state = State.DONE
            entry.record.partition.finish_one(entry.record)

    def refuse_letters(self, number: int, *, refused: bool) -> None:
        """Pause a partition whose dead letters cannot, or must not, be delivered; or let it go on."""
        if number in self._partitions:
            self._partitions[number].letters_refused = refused

    def in_flight(self) -> list[InFlight]:
        """All updates that are neither confirmed nor given up."""
        return list(self._in_flight)

    def commit_points(self) -> list[CommitPoint]:
        """Return how far partitions have come since this was last asked for."""
        points = []
        for number, partition in self._partitions.items():
            if partition.committable is not None:
                points.append(CommitPoint(number, partition.committable))
                partition.committable = None
        return points

    def _is_overtaken(self, entry: InFlight) -> bool:
        return entry.update is not None and self._in_flight.overtaken(entry.update)

    def _to_be_sent(self, entry: InFlight) -> None:
        entry.state = State.UNSENT
        self._unsent[entry] = None

    def _leave(self, entries: Sequence[InFlight], state: State) -> None:
        for entry in entries:
            entry.state = state
            self._unsent.pop(entry, None)
            self._retransmission.forget(entry)
            self._polls.stop(entry)
        for entry in self._in_flight.remove(entries):
            self._to_be_sent(entry)
