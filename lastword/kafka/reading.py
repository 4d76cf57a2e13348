"""Reading a topic once, from a given start to the end it has now, beside all others: no group, no commit."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from lastword.kafka.client import CALL_TIMEOUT_S, CONSUMER_DEFAULTS, CONSUMER_GUARANTEES
from lastword.kafka.connection_trouble import Ear
from lastword.kafka.group import watermarks
from lastword.kafka.refusal import Properties, is_refusal, refusal
from lastword.process.startup import UnreachableError
from lastword.settings.group_protocol import fitting

POLL_S: Final = 0.2
FETCH: Final = 500

READING_DEFAULTS: Final[dict[str, str | int | bool]] = {
    **CONSUMER_DEFAULTS,
    # How long Kafka keeps back that a partition has no more: each end is waited for.
    "fetch.wait.max.ms": 50,
}


@dataclass(frozen=True, slots=True)
class Beginning:
    """The oldest record that the topic still has."""


@dataclass(frozen=True, slots=True)
class Since:
    """The first record of each partition at or after a time, in milliseconds since the epoch, by the records' own."""

    time_ms: int


@dataclass(frozen=True, slots=True)
class Newest:
    """The last ``count`` offsets of each partition."""

    count: int


@dataclass(frozen=True, slots=True)
class Offsets:
    """These partitions alone: of each the first offset, and the last, None for the end."""

    ranges: Mapping[int, tuple[int, int | None]]


Origin = Beginning | Since | Newest | Offsets


class UnknownPartitionError(Exception):
    """The topic has no such partition."""


@dataclass(slots=True)
class Span:
    """What is to be read of a partition: from ``next``, which moves on, to before ``end``."""

    first: int
    end: int
    next: int

    @property
    def done(self) -> bool:
        """Whether everything before the end has been delivered."""
        return self.next >= self.end


class Reading:
    """Reads each record that is in the topic now and was not aborted, each partition's in order. Not thread-safe.

    Iterate over it, or call ``fetch`` until ``done``. ``total`` is about how many records there are, ``passed`` how
    many of them lie behind: both count offsets, among which compaction and transactions leave gaps. ``group`` is that
    which Kafka's ACLs must let us use; its members notice nothing.

    Raises, where it is made and where it is read:
        UnreachableError: Kafka has not answered for ``silence_s``, counted while it was waited for.
        KafkaRefusedError: a wrong password, or no permission.
        UnknownPartitionError: ``start`` names a partition that there is not.
    """

    def __init__(
        self,
        properties: Properties,
        topic: str,
        start: Origin,
        *,
        group: str,
        partitions: Sequence[int] | None = None,
        silence_s: float = 60.0,
    ) -> None:
        self.topic = topic
        self._properties = properties
        self._silence_s = silence_s
        self._silent_s = 0.0
        self._ear = Ear()
        self._consumer = Consumer(
            {
                **fitting(READING_DEFAULTS, properties),
                **properties,
                **CONSUMER_GUARANTEES,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "error_cb": self._ear.errors.append,
            },
            logger=self._ear.logger,
        )
        try:
            self._spans = self._find_spans(start, partitions)
            self._consumer.assign(
                [TopicPartition(topic, number, span.first) for number, span in self._spans.items() if not span.done]
            )
        except KafkaException as error:
            self.close()
            raise self._explained(error.args[0]) from error
        except BaseException:
            self.close()
            raise

    @property
    def total(self) -> int:
        """About how many records there are to be read."""
        return sum(span.end - span.first for span in self._spans.values())

    @property
    def passed(self) -> int:
        """About how many of them have been read."""
        return sum(min(span.next, span.end) - span.first for span in self._spans.values())

    @property
    def done(self) -> bool:
        """Whether everything has been read."""
        return all(span.done for span in self._spans.values())

    def fetch(self, most: int, wait_s: float) -> list[Message]:
        """Return up to ``most`` records, none after ``wait_s``, or before when everything has been read."""
        if self.done:
            return []
        begin = time.monotonic()
        first = self._consumer.poll(wait_s)
        messages = [] if first is None else [first, *(self._consumer.consume(most - 1, 0) if most > 1 else ())]
        self._silent_s = 0.0 if self._is_alive(messages) else self._silent_s + time.monotonic() - begin
        records = [message for message in messages if self._take(message)]
        refused = self._ear.refused
        if refused is not None:
            raise refusal(f"topic {self.topic!r}", refused, self._properties)
        if self._silent_s >= self._silence_s:
            raise self._explained(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - the library's own name
        return records

    def __iter__(self) -> Iterator[Message]:
        while not self.done:
            yield from self.fetch(FETCH, POLL_S)

    def close(self) -> None:
        """End the connections."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _find_spans(self, start: Origin, wanted: Sequence[int] | None) -> dict[int, Span]:
        topic = self._consumer.list_topics(self.topic, timeout=CALL_TIMEOUT_S).topics[self.topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        there = sorted(topic.partitions)
        numbers = sorted(start.ranges) if isinstance(start, Offsets) else there if wanted is None else list(wanted)
        for number in numbers:
            if number not in topic.partitions:
                raise UnknownPartitionError(
                    f"topic {self.topic!r} has no partition {number}; it has {len(there)}, from 0 to {len(there) - 1}"
                )
        # The end as it is now: without it a topic that is written to would be read for ever.
        marks = {number: watermarks(self._consumer, TopicPartition(self.topic, number)) for number in numbers}
        firsts = self._firsts(start, numbers, marks)
        spans = {}
        for number, (low, high) in marks.items():
            last = start.ranges[number][1] if isinstance(start, Offsets) else None
            end = high if last is None else min(high, last + 1)
            first = min(max(firsts[number], low), max(end, low))
            spans[number] = Span(first, max(first, end), first)
        return spans

    def _firsts(self, start: Origin, numbers: list[int], marks: Mapping[int, tuple[int, int]]) -> dict[int, int]:
        match start:
            case Offsets(ranges):
                return {number: ranges[number][0] for number in numbers}
            case Newest(count):
                return {number: marks[number][1] - count for number in numbers}
            case Since(time_ms):
                asked = [TopicPartition(self.topic, number, time_ms) for number in numbers]
                answers = self._consumer.offsets_for_times(asked, timeout=CALL_TIMEOUT_S)
                # Below zero: no record is as young.
                return {a.partition: a.offset if a.offset >= 0 else marks[a.partition][1] for a in answers}
            case Beginning():
                return dict.fromkeys(numbers, 0)

    def _is_alive(self, messages: Sequence[Message]) -> bool:
        eof = KafkaError._PARTITION_EOF  # noqa: SLF001
        return any(error is None or error.code() == eof for error in (message.error() for message in messages))

    def _take(self, message: Message) -> bool:
        """Note how far a partition has come; return whether this is a record that is wanted."""
        error, number, offset = message.error(), message.partition(), message.offset()
        span = self._spans.get(-1 if number is None else number)
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
            self._ear.errors.append(error)
            return False
        if span is None or number is None or offset is None or span.done:
            return False
        wanted = error is None and offset < span.end
        # The last offset may hold no record: then the partition's end, or a record behind ours, says that it is passed.
        span.next = offset + 1 if error is None else offset
        if span.next >= span.end:
            self._consumer.pause([TopicPartition(self.topic, number)])
        return wanted

    def _explained(self, error: KafkaError) -> Exception:
        refused = self._ear.refused or (error if is_refusal(error) else None)
        if refused is not None:
            return refusal(f"topic {self.topic!r}", refused, self._properties)
        waited = f"; gave up after {self._silent_s:.0f} s" if self._silent_s else ""
        reason = self._ear.reason(error, self._properties)
        return UnreachableError(
            f"topic {self.topic!r} of Kafka at {self._properties['bootstrap.servers']} cannot be read: {reason}{waited}"
        )
