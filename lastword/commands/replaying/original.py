"""Finding a letter by its id, and its record where the letter does not hold all of it."""

from collections.abc import Callable
from dataclasses import replace

from confluent_kafka import Message

from lastword.commands.parameters import RecordId
from lastword.commands.replaying.letter import StoredDeadLetter, read_dead_letter
from lastword.contract.record import VERSION_HEADER
from lastword.kafka.headers import headers_of, timestamp_of
from lastword.kafka.reading import Offsets, Origin, Reading

Read = Callable[[str, Origin], Reading]


class RecordGoneError(Exception):
    """A part of the record was too large for the letter, and the record is no longer on its topic."""


def find_dead_letter(read: Read, topic: str, record_id: RecordId) -> StoredDeadLetter | None:
    """Return the letter with this id, None where there is none."""
    message = _record_at(read, topic, record_id)
    return None if message is None else read_dead_letter(message)


def restored(read: Read, letter: StoredDeadLetter) -> StoredDeadLetter:
    """Return the letter with everything that its record had; RecordGoneError where that cannot be had any more."""
    if not letter.omitted:
        return letter
    message = None if letter.origin is None else _record_at(read, letter.topic, letter.origin)
    # A topic that was made anew has another record there.
    if message is None or timestamp_of(message) != letter.timestamp_ms:
        raise RecordGoneError(
            f"dead letter {letter.record_id} is without its record's {' and '.join(letter.omitted)}, too large for the "
            f"dead-letter topic, and the record itself, at {letter.origin} of {letter.topic!r}, is gone"
        )
    headers = letter.headers
    if "headers" in letter.omitted:
        # The version is ours where it is known: that header was not omitted.
        own = [header for header in headers_of(message) if letter.version is None or header[0] != VERSION_HEADER]
        headers = own + headers
    return replace(letter, key=message.key(), value=message.value(), headers=headers, omitted={})


def _record_at(read: Read, topic: str, record_id: RecordId) -> Message | None:
    with read(topic, Offsets({record_id.partition: (record_id.offset, record_id.offset)})) as reading:
        return next(iter(reading), None)
