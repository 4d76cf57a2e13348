"""The bridge's one loop: records in, tasks out, and an offset committed only when the cache holds the update."""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import Message

from bridge.arrived import Arrived
from bridge.checkpoints import Checkpoints
from bridge.claim import Claim
from bridge.delivery.back_off import BackOff
from bridge.delivery.evidence import Hopeless
from bridge.delivery.in_flight import InFlight
from bridge.delivery.window import Window
from bridge.enqueue.delivery import BACK_OFF_MAX_S, Delivery
from bridge.enqueue.enqueue import Enqueuer
from bridge.inquiry import Inquiry
from bridge.letters.dead_letters import DeadLetters, Letter
from bridge.letters.undecodable import Undecodable
from bridge.records import Records
from bridge.topic.positions import Positions
from bridge.topic.repeated import RepeatedOffsets
from bridge.topic.watch import TopicWatch
from lastword.cache.cache import Cache
from lastword.cache.seal import Stamps
from lastword.contract.record import Rules
from lastword.kafka.headers import timestamp_of
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
        undecodable_max: int = 100,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self._window = window
        self._delivery = Delivery(window, enqueuer, cache)
        self._claim = claim
        self._inquiry = inquiry
        self._letters = letters
        self._undecodable = Undecodable(undecodable_max)
        self._rules = rules
        self._inbox: dict[int, deque[Arrived]] = {}
        self._ended: dict[int, int] = {}
        self._next_report = 0.0
        self._without_row = 0
        self._positions = Positions()
        self._repeated = RepeatedOffsets()
        self._heartbeat = heartbeat or Heartbeat(None)
        self._records = open_records(self)
        self._checkpoints = Checkpoints(
            cache,
            stamps,
            self._records,
            window,
            BackOff(BACK_OFF_MAX_S),
            topic=topic,
            positions=self._positions,
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
                self._ended.update(self._records.ends)
                self._turn()
            self._drain(leaving, time.monotonic() + shutdown_deadline_s)
        finally:
            # Leaving revokes what is assigned: a last poll and a last commit happen in there.
            self._records.close()
            self._checkpoints.close()
            self._letters.close(IDLE_S)
            self._delivery.close()

    def _turn(self) -> None:
        self._checkpoints.look_at_topic(time.monotonic())
        for number in self._checkpoints.check():
            self._drop(number)
            self._repeated.begin(number, self._checkpoints.least(number))
        self._reach_ends()
        self._carry()
        waiting = self._inbox.keys() | self._checkpoints.unchecked
        self._records.pause_only(self._window.paused() | waiting, self._window.assigned)
        self._report()

    def _carry(self) -> None:
        """Move everything that is in flight as far as it goes."""
        self._heartbeat.beat()
        self._delivery.send()
        self._look_around(time.monotonic())
        self._poll(self._delivery.due())
        self._deliver_letters()

    def _look_around(self, now: float) -> None:
        """Keep the note that the keys are ours; where tasks do not come back, ask why."""
        self._claim.keep(now)
        if self._delivery.presumed_lost:
            self._delivery.presumed_lost = False
            self._inquiry.begin(now)

    def _drain(self, leaving: Callable[[], bool], end: float) -> None:
        """Stop fetching; go on until nothing is in flight."""
        self._inbox.clear()
        logger.info("stopping: %d updates in flight", self._window.updates)
        while self._window.updates > self._undecodable.held and time.monotonic() < end and not leaving():
            self._records.pause_only(self._window.assigned, self._window.assigned)
            self._records.fetch(1, self._delivery.idle_s(IDLE_S))
            self._carry()

    # Records in.

    def _take_in(self, messages: Sequence[Message]) -> None:
        """Put records into the window, each partition's in order; what finds no room there waits in the inbox."""
        for message in messages:
            self._inbox.setdefault(_partition(message), deque()).append(Arrived.read(message, self._rules))
        for number, waiting in list(self._inbox.items()):
            while waiting and self._admits(number, waiting[0]):
                self._admit(number, waiting.popleft())
            if not waiting:
                del self._inbox[number]

    def _admits(self, number: int, arrived: Arrived) -> bool:
        if number in self._checkpoints.unchecked:
            return False
        # Last: what waits for room is asked about again in each turn.
        message, updates = arrived.message, arrived.updates
        return (
            self._window.admits(number, arrived.size, len(updates) or 1)
            and self._positions.follow(number, updates, timestamp_of(message))
            and self._repeated.follow(number, updates, message.offset() or 0, timestamp_of(message))
        )

    def _reach_ends(self) -> None:
        """Let commits pass what is never delivered at a partition's end: aborted records, markers of transactions."""
        for number in self._ended.keys() - self._inbox.keys() - self._checkpoints.unchecked:
            self._window.reach(number, self._ended.pop(number))

    def _admit(self, number: int, arrived: Arrived) -> None:
        message, size, updates, error = arrived
        offset = message.offset() or 0
        if error is None:
            self._without_row += not updates
            self._window.add(number, offset, updates, size=size, source=message)
            self._undecodable.end(number)
        else:
            entry = self._window.add_letter(number, offset, size=size, source=message)
            letter = Letter(entry, message, "decode", type(error).__name__, str(error))
            if self._undecodable.add(letter, time.monotonic()):
                self._window.refuse_letters(number, refused=True)

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
        for found in polled.hopeless:
            self._give_up(found)

    def _give_up(self, found: Hopeless) -> None:
        """Send the record of an update that can never be applied to the dead-letter topic, unless it is confirmed."""
        entry, error, reason = found
        message = entry.record.source
        if isinstance(message, Message) and self._window.give_up(entry):
            self._letters.send(Letter(entry, message, "apply", error, reason))

    def _deliver_letters(self) -> None:
        now = time.monotonic()
        for letter in self._undecodable.sendable(now):
            self._letters.send(letter)
        for entry in self._letters.delivered(now):
            self._window.finish(entry)
        refused = self._letters.refused() | self._undecodable.too_long | self._positions.stopped(now)
        refused |= self._repeated.stopped(now)
        for number in self._window.assigned:
            self._window.refuse_letters(number, refused=number in refused)

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
        self._checkpoints.assigned(numbers)

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
        self._checkpoints.revoked(numbers)
        for number in numbers:
            self._drop(number)
            self._repeated.gone(number)

    def _drop(self, number: int) -> None:
        """Forget what waits of a partition."""
        self._inbox.pop(number, None)
        self._ended.pop(number, None)


def _partition(message: Message) -> int:
    number = message.partition()
    assert number is not None  # noqa: S101 - a consumed record has one
    return number
