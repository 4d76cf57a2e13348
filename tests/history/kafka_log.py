"""What Kafka itself has written down: each commit of a group, in ``__consumer_offsets``, and the dead letters.

Source: https://github.com/apache/kafka/blob/4.4/group-coordinator/src/main/resources/common/message/OffsetCommitKey.json
and ``OffsetCommitValue.json`` beside it.
"""

import logging
import struct
import time
from collections.abc import Iterator, Mapping
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from lastword.kafka.headers import headers_of
from tests.history.events import Commit, DeadLetter

logger = logging.getLogger(__name__)

OFFSETS: Final = "__consumer_offsets"
_COMMIT_KEYS: Final = {0, 1}
_WITH_LEADER_EPOCH: Final = 3
_WITH_COMPACT_TEXT: Final = 4
_CALL_TIMEOUT_S: Final = 10.0
_ENDS_S: Final = 120.0
_AGAIN_S: Final = 0.1

Ends = dict[int, int]


class FormatError(Exception):
    """Kafka has written a commit in a format that is not known here."""


def ends_of(address: str, topic: str) -> Ends:
    """The offset behind the last record of each partition; nothing where the topic does not exist."""
    deadline = time.monotonic() + _ENDS_S
    while True:
        # A new client each time: one whom a Kafka that comes back names no broker asks nobody any more.
        with _consumer(address) as consumer:
            try:
                return _ends(consumer, topic)
            except KafkaException:  # Kafka has just started, or another node has to take over
                if time.monotonic() > deadline:
                    raise
        time.sleep(_AGAIN_S)


def read_commits(address: str, topic: str, group: str, since: Mapping[int, int]) -> list[Commit]:
    """The group's commits for the topic, in their order, that follow these offsets of ``__consumer_offsets``."""
    commits = []
    for message in _read(address, OFFSETS, since):
        key, value = message.key() or b"", message.value()
        if struct.unpack_from(">h", key)[0] not in _COMMIT_KEYS or value is None:
            continue
        reader = _Reader(key, 2)
        if (reader.text(), reader.text()) == (group, topic):
            commits.append(_commit(reader.number(">i"), value, message.timestamp()[1] * 1_000))
    return commits


def read_letters(address: str, topic: str) -> list[DeadLetter]:
    """The dead letters, by the record that each was made of."""
    letters = []
    for message in _read(address, topic, {}):
        told = {name: (value or b"").decode() for name, value in headers_of(message)}
        partition, offset, reason = (told[f"__lastword.errors.{name}"] for name in ("partition", "offset", "message"))
        letters.append(DeadLetter(int(partition), int(offset), message.timestamp()[1] * 1_000, reason))
    return letters


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return int(value)

    def text(self, *, compact: bool = False) -> str:
        length = self._varint() - 1 if compact else self.number(">h")
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self.number(">B")) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift


def _commit(partition: int, value: bytes, at_us: int) -> Commit:
    reader = _Reader(value, 0)
    version = reader.number(">h")
    if version > _WITH_COMPACT_TEXT:
        raise FormatError(f"version {version} of a commit's value: {value!r}")
    offset = reader.number(">q")
    if version >= _WITH_LEADER_EPOCH:
        reader.number(">i")
    return Commit(partition, offset, reader.text(compact=version == _WITH_COMPACT_TEXT), at_us)


def _consumer(address: str) -> Consumer:
    # It never joins the group that a consumer must name.
    return Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "history",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        },
        logger=logger,
    )


def _ends(consumer: Consumer, topic: str) -> Ends:
    found = consumer.list_topics(timeout=_CALL_TIMEOUT_S).topics.get(topic)
    numbers = found.partitions if found else ()
    places = (TopicPartition(topic, number) for number in numbers)
    return {place.partition: consumer.get_watermark_offsets(place, timeout=_CALL_TIMEOUT_S)[1] for place in places}


def _read(address: str, topic: str, since: Mapping[int, int]) -> Iterator[Message]:
    """What the topic holds from these offsets to its end; of each partition in order."""
    open_ends = set(ends_of(address, topic))
    with _consumer(address) as consumer:
        consumer.assign([TopicPartition(topic, number, since.get(number, OFFSET_BEGINNING)) for number in open_ends])
        while open_ends:
            message = consumer.poll(_CALL_TIMEOUT_S)
            assert message is not None, f"Kafka has not sent the rest of {topic}"
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                open_ends.discard(message.partition() or 0)
            else:
                raise AssertionError(error.str())
