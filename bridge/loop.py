"""The bridge's one loop: records in, tasks out, and an offset committed only when the cache holds the update."""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from confluent_kafka import Message

from bridge.back_off import BackOff
from bridge.dead_letters import DeadLetters, Letter
from bridge.enqueue import EnqueueError, Enqueuer
from bridge.records import Records, headers_of, size_of
from bridge.window import InFlight, Window
from tasks.cache import Cache, Failure
from tasks.contract import InvalidUpdateError, Rules, Update, decode
from tasks.errors import CacheUnavailableError
from tasks.heartbeat import Heartbeat

logger = logging.getLogger(__name__)

IDLE_S: Final = 0.1
BATCH: Final = 1_000
FAILURES_AFTER_S: Final = 0.05
REPORT_EVERY_S: Final = 10.0

OpenRecords = Callable[["Bridge"], Records]


class Arrived(NamedTuple):
    """A record with the updates in it, or the reason why it has none; its size in memory in bytes."""

    message: Message
    size: int
    updates: list[Update]
    error: InvalidUpdateError | None = None


class Bridge:
    """Carries updates from Kafka to Celery, and commits what has arrived in the cache. One thread."""

    def __init__(
        self,
        *,
        open_records: OpenRecords,
        window: Window,
        enqueuer: Enqueuer,
        cache: Cache,
        letters: DeadLetters,
        rules: Rules,
        fetch_max: int = 500,
        back_off_max_s: float = 5.0,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self._window = window
        self._enqueuer = enqueuer
        self._cache = cache
        self._letters = letters
        self._rules = rules
        self._fetch_max = fetch_max
        self._inbox: dict[int, deque[Arrived]] = {}
        self._identity = ""
        self._next_complaint = 0.0
        self._enqueue_back_off = BackOff(back_off_max_s)
        self._sweep_back_off = BackOff(back_off_max_s)
        self._next_report = 0.0
        self._heartbeat = heartbeat or Heartbeat(None)
        self._records = open_records(self)

    def run(self, stopping: Callable[[], bool], leaving: Callable[[], bool], *, shutdown_deadline_s: float) -> None:
        """Work until ``stopping()``; then finish what is in hand, until the deadline or ``leaving()``.

        Raises:
            KafkaRefusedError: Kafka refuses this consumer for good.
        """
        try:
            while not stopping():
                self._take_in(self._records.fetch(self._fetch_max, self._idle_s()))
                self._turn()
            self._drain(leaving, time.monotonic() + shutdown_deadline_s)
        finally:
            # Leaving revokes what is assigned: a last sweep and a last commit happen in there.
            self._records.close()
            self._letters.close(IDLE_S)
            self._enqueuer.close()

    def _turn(self) -> None:
        self._carry()
        self._records.pause_only(self._window.paused() | self._inbox.keys(), self._window.assigned)
        self._report()

    def _carry(self) -> None:
        """Move everything that is in hand as far as it goes."""
        self._heartbeat.beat()
        self._enqueue()
        self._sweep(self._window.looks.due(time.monotonic(), BATCH))
        self._deliver_letters()
        if self._identity:
            self._records.store(self._window.commit_points(), self._identity)

    def _drain(self, leaving: Callable[[], bool], end: float) -> None:
        """Stop fetching; go on until nothing is in hand."""
        self._inbox.clear()
        logger.info("stopping: %d updates in hand", self._window.updates)
        while self._window.updates and time.monotonic() < end and not leaving():
            self._records.pause_only(self._window.assigned, self._window.assigned)
            self._records.fetch(1, self._idle_s())
            self._carry()

    def _idle_s(self) -> float:
        """How long to wait for a record: not longer than to the next look."""
        return min(IDLE_S, max(0.0, self._window.looks.next() - time.monotonic()))

    # Records in.

    def _take_in(self, messages: Sequence[Message]) -> None:
        """Put records into the window, each partition's in order; what finds no room there waits in the inbox."""
        for message in messages:
            self._inbox.setdefault(_partition(message), deque()).append(self._decode(message))
        for number, waiting in list(self._inbox.items()):
            while waiting and self._window.admits(number, waiting[0].size, len(waiting[0].updates) or 1):
                self._admit(number, waiting.popleft())
            if not waiting:
                del self._inbox[number]

    def _decode(self, message: Message) -> "Arrived":
        kind, timestamp_ms = message.timestamp()
        try:
            updates = decode(
                key=message.key(),
                value=message.value(),
                headers=headers_of(message),
                offset=message.offset() or 0,
                timestamp_ms=timestamp_ms if kind else None,
                rules=self._rules,
            )
        except InvalidUpdateError as error:
            return Arrived(message, size_of(message), [], error)
        return Arrived(message, size_of(message), updates)

    def _admit(self, number: int, arrived: "Arrived") -> None:
        message, size, updates, error = arrived
        offset = message.offset() or 0
        if error is None:
            self._window.add(number, offset, updates, size=size, source=message)
        else:
            entry = self._window.add_letter(number, offset, size=size, source=message)
            self._letters.send(Letter(entry, message, "decode", type(error).__name__, str(error)))

    # Tasks out.

    def _enqueue(self) -> None:
        """Send what is unsent or presumed lost. What the broker did not take for sure stays unsent."""
        now = time.monotonic()
        lost = self._window.presume_lost(now)
        if lost:
            logger.info("%d updates are presumed lost and sent again", lost)
        entries = self._window.unsent(BATCH) if self._enqueue_back_off.ready(now) else []
        if not entries:
            return
        try:
            self._enqueuer.send(entries)
        except EnqueueError as error:
            logger.warning(
                "it is not certain that the Celery broker took %d tasks; they are sent again: %s", len(entries), error
            )
            self._window.uncertain(entries, now)
            self._enqueue_back_off.failed(time.monotonic())
        else:
            self._window.sent(entries, time.monotonic())
            self._enqueue_back_off.succeeded()

    # What the cache holds.

    def _sweep(self, due: Sequence[InFlight]) -> None:
        """Look whether the cache holds the updates that are due, or a worker has recorded that one has failed."""
        now = time.monotonic()
        if (self._identity and not due) or not self._sweep_back_off.ready(now):
            return
        asked = {self._enqueuer.task_id(e): e for e in due if e.sends and e.last_sent + FAILURES_AFTER_S <= now}
        try:
            look = self._cache.look([e.update.product_id for e in due if e.update], list(asked))
        except CacheUnavailableError as error:
            logger.warning("Redis cannot be asked what it holds: %s", error)
            self._sweep_back_off.failed(time.monotonic())
            return
        self._sweep_back_off.succeeded()
        if look.missed and now >= self._next_complaint:
            self._next_complaint = now + REPORT_EVERY_S
            logger.warning("Redis cannot be asked about a part of what it holds: %s", look.missed)
        self._identity = look.identity or self._identity
        for product_id, held in look.versions.items():
            self._window.observe(product_id, held, now)
        # Where a part did not answer, nobody knows whether the product of a failure is not held after all.
        for task_id, failure in () if look.missed else look.failures.items():
            self._believe(failure, asked[task_id])

    def _believe(self, failure: Failure, entry: InFlight) -> None:
        """Give an update up on evidence: a failure recorded for a send of ours, of an update that is not confirmed."""
        if entry.update is None or failure.nonce not in entry.nonces or failure.version != entry.update.version:
            return
        message = entry.record.source
        if isinstance(message, Message) and self._window.give_up(entry):
            self._letters.send(Letter(entry, message, "apply", failure.error, failure.message))

    def _deliver_letters(self) -> None:
        for entry in self._letters.delivered(time.monotonic()):
            self._window.finish(entry)
        refused = self._letters.refused()
        for number in self._window.assigned:
            self._window.refuse_letters(number, refused=number in refused)

    def _report(self) -> None:
        now = time.monotonic()
        if now >= self._next_report:
            self._next_report = now + REPORT_EVERY_S
            logger.info(
                "%d updates in hand, timeout %.1f s%s, partitions %s, paused %s",
                self._window.updates,
                self._window.retransmission.timeout.value_s,
                ", nothing comes back" if self._window.retransmission.silent else "",
                sorted(self._window.assigned),
                sorted(self._window.paused()),
            )

    # Rebalances: librdkafka calls these in fetch() and close().

    def assigned(self, numbers: list[int]) -> None:
        """Begin with partitions that the group gave us."""
        self._window.assign(numbers)

    def revoked(self, numbers: list[int]) -> None:
        """Look a last time, hand over what has arrived, and drop the rest: whoever comes next reads it again."""
        try:
            self._sweep_back_off.succeeded()
            self._sweep([e for e in self._window.in_hand() if e.record.partition.number in numbers])
            self._deliver_letters()
            if self._identity:
                self._records.store(self._window.commit_points(numbers), self._identity)
        finally:
            self.lost(numbers)

    def lost(self, numbers: list[int]) -> None:
        """Drop everything of partitions that are somebody else's already."""
        self._window.revoke(numbers)
        for number in numbers:
            self._inbox.pop(number, None)


def _partition(message: Message) -> int:
    number = message.partition()
    assert number is not None  # noqa: S101 - a consumed record has one
    return number
