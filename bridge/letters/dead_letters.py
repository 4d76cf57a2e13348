"""Records that cannot be applied, sent to the dead-letter topic as they came, with headers that say why."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, cast

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from bridge.delivery.in_flight import InFlight
from lastword.contract.printable import printable
from lastword.contract.record import VERSION_HEADER
from lastword.kafka.client import CLIENT_DEFAULTS, BrokerList
from lastword.kafka.headers import headers_of

logger = logging.getLogger(__name__)

PREFIX: Final = "__lastword.errors."
OMITTED: Final = "-omitted"
"""``__lastword.errors.value-omitted``, or ``headers-`` or ``key-``: the bytes of a part that did not come along."""

PARTS: Final = ("value", "headers", "key")
"""What a letter is sent without, one part after the other, until it is small enough for its topic."""

REASON_MAX: Final = 2_000  # bytes
TOO_LARGE: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
TRY_AGAIN_AFTER_S: Final = 1.0
DELIVERY_TIMEOUT_MS: Final = 5_000

DEAD_LETTER_DEFAULTS: Final[dict[str, str | int | bool]] = {
    **CLIENT_DEFAULTS,
    "linger.ms": 5,
    # A letter is larger than its record. How large one may be is the topic's business, not this client's.
    "message.max.bytes": 100_000_000,
}

DEAD_LETTER_GUARANTEES: Final[dict[str, str | int | bool]] = {
    "acks": "all",
    # A topic's bound is that of a batch: small letters together would be refused as too large.
    "batch.num.messages": 1,
}

Headers = list[tuple[str, bytes | None]]


@dataclass(frozen=True, eq=False, slots=True)
class DeadLetter:
    """A dead letter: the record as it came, as far as it fits, and why it could not be applied.

    ``omitted`` are the parts of the record, of ``PARTS``, that it goes without.
    """

    entry: InFlight
    message: Message
    stage: str
    error: str
    reason: str
    omitted: tuple[str, ...] = ()

    @property
    def key(self) -> bytes | None:
        """The record's key, unless it is omitted."""
        return None if "key" in self.omitted else self.message.key()

    @property
    def value(self) -> bytes | None:
        """The record's value, unless it is omitted."""
        return None if "value" in self.omitted else self.message.value()

    @property
    def headers(self) -> Headers:
        """The record's own headers, unless they are omitted; then ours, in UTF-8."""
        message = self.message
        update = self.entry.update
        reason = self.reason.encode(errors="backslashreplace")[:REASON_MAX].decode(errors="ignore")
        ours = {
            "topic": message.topic() or "",
            "partition": str(message.partition()),
            "offset": str(message.offset()),
            "timestamp": str(message.timestamp()[1]),
            "stage": self.stage,
            "class": self.error,
            "message": reason,
        }
        ours |= {f"{part}{OMITTED}": str(self._size(part)) for part in self.omitted}
        headers = [] if "headers" in self.omitted else headers_of(message)
        headers += [(f"{PREFIX}{name}", text.encode(errors="backslashreplace")) for name, text in ours.items()]
        if update is not None:
            # One that came along says the same. It stays where no version is known: it may be what was wrong.
            headers = [header for header in headers if header[0] != VERSION_HEADER]
            headers.append((VERSION_HEADER, str(update.version).encode()))
        return headers

    def smaller(self) -> "DeadLetter | None":
        """Return the letter without the next part of the record that it still has; None when there is none left."""
        for part in PARTS:
            if part not in self.omitted and self._size(part):
                return replace(self, omitted=(*self.omitted, part))
        return None

    def _size(self, part: str) -> int:
        if part == "headers":
            return sum(len(name.encode()) + len(value or b"") for name, value in headers_of(self.message))
        return len((self.message.value() if part == "value" else self.message.key()) or b"")


class DeadLetters:
    """Delivers dead letters, and tries again those that could not be delivered. No letter is dropped.

    One that is too large for the topic, or for the client, goes at once without a part of its record.
    """

    def __init__(self, properties: Mapping[str, str | int | bool], topic: str) -> None:
        self._properties = properties
        self._topic = topic
        self._open()
        self._refused: deque[tuple[float, DeadLetter]] = deque()
        # Refused and not delivered since: while one is tried again it is under way, but its partition stays paused.
        self._overdue: set[DeadLetter] = set()
        self._delivered: list[InFlight] = []
        self.under_way = 0

    def _open(self) -> None:
        self._brokers = BrokerList()
        self._producer = Producer(
            {
                **DEAD_LETTER_DEFAULTS,
                **self._properties,
                **DEAD_LETTER_GUARANTEES,
                **self._brokers.properties(),
                "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
            },
            logger=logger,
        )

    def send(self, letter: DeadLetter) -> None:
        """Begin to deliver a letter; ``delivered`` tells when it has arrived."""
        self.under_way += 1
        try:
            self._producer.produce(
                self._topic,
                key=letter.key,
                value=letter.value,
                headers=cast("list[tuple[str, str | bytes | None]]", letter.headers),
                on_delivery=self._report(letter),
            )
        except BufferError as error:
            self._refuse(letter, str(error))
        except KafkaException as error:
            self._fail(letter, error.args[0])

    def delivered(self, now: float) -> list[InFlight]:
        """Return what has arrived since the last call, and send again what was refused a while ago."""
        if self._brokers.forgotten:
            self._producer.purge()  # each of its letters is refused, and sent again by another
        self._producer.poll(0)
        if self._brokers.forgotten and not len(self._producer):
            self._open()
        while self._refused and self._refused[0][0] + TRY_AGAIN_AFTER_S <= now:
            _, letter = self._refused.popleft()
            self.under_way -= 1
            if letter.entry.record.partition.gone:
                self._overdue.discard(letter)
            else:
                self.send(letter)
        arrived, self._delivered = self._delivered, []
        return arrived

    def refused(self) -> frozenset[int]:
        """The partitions with letters that could not be delivered so far."""
        return frozenset(letter.entry.record.partition.number for letter in self._overdue)

    def close(self, timeout_s: float) -> None:
        """Wait up to ``timeout_s`` for the letters that are under way."""
        self._producer.flush(timeout_s)

    def _report(self, letter: DeadLetter) -> Callable[[KafkaError | None, Message], None]:
        def report(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                self._fail(letter, error)
                return
            self.under_way -= 1
            self._overdue.discard(letter)
            self._delivered.append(letter.entry)
            logger.warning(
                "dead letter: %s partition %d offset %d: %s",
                letter.message.topic(),
                letter.message.partition(),
                letter.message.offset(),
                printable(letter.reason),
            )

        return report

    def _fail(self, letter: DeadLetter, error: KafkaError) -> None:
        smaller = letter.smaller() if error.code() in TOO_LARGE else None
        if smaller is None:
            self._refuse(letter, error.str())
            return
        logger.warning("a dead letter is too large for %s: it goes without its %s", self._topic, smaller.omitted[-1])
        self._overdue.discard(letter)
        self._refused.appendleft((-math.inf, smaller))

    def _refuse(self, letter: DeadLetter, reason: str) -> None:
        logger.error("a dead letter cannot be delivered to %s for now: %s", self._topic, reason)
        self._overdue.add(letter)
        self._refused.append((time.monotonic(), letter))
