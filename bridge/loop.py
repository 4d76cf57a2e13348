"""The bridge's one loop: records in, tasks out, and an offset committed only when the cache holds the update."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import Message

from bridge.checkpoints import Checkpoints
from bridge.claim import Claim
from bridge.delivery.back_off import BackOff
from bridge.delivery.evidence import Hopeless
from bridge.delivery.in_flight import InFlight
from bridge.delivery.window import Window
from bridge.enqueue.delivery import BACK_OFF_MAX_S, Delivery
from bridge.enqueue.enqueue import Enqueuer
from bridge.inquiry import Inquiry
from bridge.letters.dead_letters import DeadLetter, DeadLetters
from bridge.partition import UNDECODABLE_MAX, Arrived, Partition, Partitions
from bridge.records import Records
from bridge.topic.origins import Origins
from bridge.topic.watch import TopicWatch
from lastword.cache.cache import Cache
from lastword.cache.seal import Stamps
from lastword.contract.record import Rules
from lastword.process.heartbeat import Heartbeat

logger = logging.getLogger(__name__)

IDLE_S: Final = 0.1
FETCH_MAX: Final = 500
"""The most records taken from Kafka's client in a turn."""

REPORT_EVERY_S: Final = 10.0

OpenRecords = Callable[["Bridge"], Records]


class Bridge:
    """Carries updates from Kafka to Celery, and commits what has arrived in the cache. One thread."""

    def __init__(
        self,
        *,
        open_records: OpenRecords,
        window: Window,
        enqueuer: Enqueuer,
        cache: Cache,
        stamps: Stamps,
        claim: Claim,
        inquiry: Inquiry,
        letters: DeadLetters,
        topic: TopicWatch,
        rules: Rules,
        undecodable_max: int = UNDECODABLE_MAX,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self._window = window
        self._delivery = Delivery(window, enqueuer, cache)
        self._claim = claim
        self._inquiry = inquiry
        self._letters = letters
        self._undecodable_max = undecodable_max
        self._rules = rules
        self.partitions: Partitions = {}
        self._next_report = 0.0
        self._without_row = 0
        self._origins = Origins()
        self._heartbeat = heartbeat or Heartbeat(None)
        self._records = open_records(self)
        self._checkpoints = Checkpoints(
            self.partitions,
            self._records,
            window,
            cache,
            stamps=stamps,
            back_off=BackOff(BACK_OFF_MAX_S),
            topic=topic,
            generation=lambda: rules.generation(round(time.time() * 1_000)),
            claim=claim.take,
        )

    def run(self, stopping: Callable[[], bool], leaving: Callable[[], bool], *, shutdown_deadline_s: float) -> None:
        """Work until ``stopping()``; then finish what is in flight, until the deadline or ``leaving()``.

        Raises:
            KafkaRefusedError: Kafka refuses this consumer for good.
            SettingsError: the keys are another topic's.
        """
        try:
            while not stopping():
                self._take_in(self._records.fetch(FETCH_MAX, self._delivery.idle_s(IDLE_S)))
                self._turn()
            self._drain(leaving, time.monotonic() + shutdown_deadline_s)
        finally:
            # Leaving revokes what is assigned: a last poll and a last commit happen in there.
            self._records.close()
            self._checkpoints.close()
            self._letters.close(IDLE_S)
            self._delivery.close()

    def _turn(self) -> None:
        self._checkpoints.check_topic(time.monotonic())
        self._checkpoints.check()
        self._reach_ends()
        self._carry()
        waiting = {number for number, partition in self.partitions.items() if partition.inbox or not partition.checked}
        self._records.pause_only(self._window.paused() | waiting, self._window.assigned)
        self._report()

    def _carry(self) -> None:
        """Move everything that is in flight as far as it goes."""
        self._heartbeat.beat()
        self._delivery.send()
        self._check_surroundings(time.monotonic())
        self._poll(self._delivery.due())
        self._deliver_letters()

    def _check_surroundings(self, now: float) -> None:
        """Keep the note that the keys are ours; where tasks do not come back, ask why."""
        self._claim.keep(now)
        if self._delivery.presumed_lost:
            self._delivery.presumed_lost = False
            self._inquiry.begin(now)

    def _drain(self, leaving: Callable[[], bool], end: float) -> None:
        """Stop fetching; go on until nothing is in flight."""
        for partition in self.partitions.values():
            partition.inbox.clear()
        logger.info("stopping: %d updates in flight", self._window.updates)
        while self._window.updates > self._held and time.monotonic() < end and not leaving():
            self._records.pause_only(self._window.assigned, self._window.assigned)
            self._records.fetch(1, self._delivery.idle_s(IDLE_S))
            self._carry()

    @property
    def _held(self) -> int:
        """How many records wait to be dead letters: nobody knows yet whether they are."""
        return sum(partition.undecodable.held for partition in self.partitions.values())

    # Records in.

    def _take_in(self, messages: Sequence[Message]) -> None:
        """Put records into the window, each partition's in order; what finds no room there waits in the inbox."""
        for message in messages:
            self.partitions[_number(message)].inbox.append(Arrived.read(message, self._rules))
        for partition in self.partitions.values():
            inbox = partition.inbox
            while inbox and partition.checked and self._admits(partition, inbox[0]):
                self._admit(partition, inbox.popleft())

    def _admits(self, partition: Partition, arrived: Arrived) -> bool:
        # Last whether it follows: what waits for room is asked about again in each turn.
        room = self._window.admits(partition.number, arrived.size, len(arrived.updates) or 1)
        return room and partition.follows(arrived)

    def _admit(self, partition: Partition, arrived: Arrived) -> None:
        message, size, updates, error, origin = arrived
        number, offset = partition.number, message.offset() or 0
        if error is None:
            self._without_row += not updates
            self._origins.note(origin)
            self._window.add(number, offset, updates, size=size, source=message)
            partition.undecodable.end()
        else:
            entry = self._window.add_dead_letter(number, offset, size=size, source=message)
            letter = DeadLetter(entry, message, "decode", type(error).__name__, str(error))
            partition.stopped = partition.undecodable.add(letter, time.monotonic())

    def _reach_ends(self) -> None:
        """Let commits pass what is never delivered at a partition's end: aborted records, markers of transactions."""
        for partition in self.partitions.values():
            if partition.end is not None and partition.checked and not partition.inbox:
                self._window.reach(partition.number, partition.end)
                partition.end = None

    # What the cache holds.

    def _poll(self, due: Sequence[InFlight]) -> None:
        """Ask whether the cache holds the updates that are due, or what tells that one can never be applied.

        The same round trip notes in the cache how far it holds each partition, for that much to be committed.
        """
        if not due and not self._checkpoints.due(time.monotonic()):
            return
        polled, seal = self._delivery.poll(due, self._checkpoints.seal)
        if seal is None:
            return
        if seal.lost:
            self._checkpoints.rewind(seal.lost)
            return
        self._checkpoints.commit(seal)
        for hopeless in polled.hopeless:
            self._give_up(hopeless)

    def _give_up(self, hopeless: Hopeless) -> None:
        """Send the record of an update that can never be applied to the dead-letter topic, unless it is confirmed."""
        entry, error, reason = hopeless
        message = entry.record.source
        if isinstance(message, Message) and self._window.give_up(entry):
            self._letters.send(DeadLetter(entry, message, "apply", error, reason))

    def _deliver_letters(self) -> None:
        now = time.monotonic()
        for partition in self.partitions.values():
            for letter in partition.undecodable.sendable(now):
                self._letters.send(letter)
        for entry in self._letters.delivered(now):
            self._window.finish(entry)
        refused = self._letters.refused()
        for number, partition in self.partitions.items():
            partition.complain(now)
            self._window.refuse_letters(number, refused=number in refused or bool(partition.stopped))

    def _report(self) -> None:
        now = time.monotonic()
        if now >= self._next_report:
            self._next_report = now + REPORT_EVERY_S
            logger.info(
                "%d updates in flight, timeout %.1f s%s, partitions %s, paused %s%s",
                self._window.updates,
                self._window.timeout_s,
                ", nothing comes back" if self._window.silent else "",
                sorted(self._window.assigned),
                sorted(self._window.paused()),
                f", {self._without_row} records without a row passed over" if self._without_row else "",
            )

    # Rebalances: librdkafka calls these in fetch() and close().

    def assigned(self, numbers: list[int]) -> None:
        """Begin with partitions that the group gave us."""
        self._window.assign(numbers)
        self.partitions.update({number: Partition(number, self._undecodable_max) for number in numbers})

    def revoked(self, numbers: list[int]) -> None:
        """Poll a last time, hand over what has arrived, and drop the rest: whoever comes next reads it again."""
        try:
            self._delivery.poll_at_once()
            self._poll([e for e in self._window.in_flight() if e.record.partition.number in numbers])
            self._deliver_letters()
            self._poll([])  # notes what the last one confirmed
        finally:
            self.lost(numbers)

    def lost(self, numbers: list[int]) -> None:
        """Drop everything of partitions that are somebody else's already."""
        self._window.revoke(numbers)
        for number in numbers:
            self.partitions.pop(number, None)


def _number(message: Message) -> int:
    number = message.partition()
    assert number is not None  # noqa: S101 - a consumed record has one
    return number
