"""Records that cannot be applied, sent to the dead-letter topic as they came, with headers that say why."""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from bridge.records import headers_of
from bridge.window import InFlight
from tasks.contract import VERSION_HEADER

logger = logging.getLogger(__name__)

PREFIX: Final = "__lastword.errors."
TRY_AGAIN_AFTER_S: Final = 1.0
DELIVERY_TIMEOUT_MS: Final = 5_000

LETTER_DEFAULTS: Final[dict[str, str | int | bool]] = {
    "linger.ms": 5,
    "reconnect.backoff.ms": 1_000,
    # A letter is larger than its record. How large one may be is the topic's business, not this client's.
    "message.max.bytes": 100_000_000,
}

Headers = list[tuple[str, bytes | None]]


@dataclass(frozen=True, eq=False, slots=True)
class Letter:
    """A dead letter: the record as it came, and why it could not be applied."""

    entry: InFlight
    message: Message
    stage: str
    error: str
    reason: str

    @property
    def headers(self) -> Headers:
        """The record's own headers, then ours, in UTF-8."""
        message = self.message
        update = self.entry.update
        ours = {
            "topic": message.topic() or "",
            "partition": str(message.partition()),
            "offset": str(message.offset()),
            "timestamp": str(message.timestamp()[1]),
            "stage": self.stage,
            "class": self.error,
            "message": self.reason,
        }
        found = headers_of(message)
        found += [(f"{PREFIX}{name}", text.encode(errors="backslashreplace")) for name, text in ours.items()]
        if update is not None:
            # One that came along says the same. It stays where no version is known: it may be what was wrong.
            found = [header for header in found if header[0] != VERSION_HEADER]
            found.append((VERSION_HEADER, str(update.version).encode()))
        return found


class DeadLetters:
    """Delivers dead letters, and tries again those that could not be delivered. Nothing is dropped."""

    def __init__(self, properties: Mapping[str, str | int | bool], topic: str) -> None:
        self._producer = Producer(
            {**LETTER_DEFAULTS, **properties, "acks": "all", "delivery.timeout.ms": DELIVERY_TIMEOUT_MS},
            logger=logger,
        )
        self._topic = topic
        self._refused: deque[tuple[float, Letter]] = deque()
        # Refused and not delivered since: while one is tried again it is under way, but its partition stays paused.
        self._overdue: set[Letter] = set()
        self._delivered: list[InFlight] = []
        self.under_way = 0

    def send(self, letter: Letter) -> None:
        """Begin to deliver a letter; ``delivered`` tells when it has arrived."""
        self.under_way += 1
        record = letter.message
        try:
            self._producer.produce(
                self._topic,
                key=record.key(),
                value=record.value(),
                headers=cast("list[tuple[str, str | bytes | None]]", letter.headers),
                on_delivery=self._report(letter),
            )
        except (BufferError, KafkaException) as error:
            self._refuse(letter, str(error))

    def delivered(self, now: float) -> list[InFlight]:
        """Return what has arrived since the last call, and send again what was refused a while ago."""
        self._producer.poll(0)
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

    def _report(self, letter: Letter) -> Callable[[KafkaError | None, Message], None]:
        def report(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                self._refuse(letter, error.str())
                return
            self.under_way -= 1
            self._overdue.discard(letter)
            self._delivered.append(letter.entry)
            logger.warning(
                "dead letter: %s partition %d offset %d: %s",
                letter.message.topic(),
                letter.message.partition(),
                letter.message.offset(),
                letter.reason,
            )

        return report

    def _refuse(self, letter: Letter, reason: str) -> None:
        logger.error("a dead letter cannot be delivered to %s for now: %s", self._topic, reason)
        self._overdue.add(letter)
        self._refused.append((time.monotonic(), letter))
