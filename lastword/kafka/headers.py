"""What is asked of one record: its headers, its own time, and how much memory it takes up."""

from collections.abc import Iterable
from operator import methodcaller
from typing import Final, cast

from confluent_kafka import Message

from lastword.contract.record import InvalidUpdateError

RECORD_BYTES: Final = 1_024
"""About what a record in flight takes up beside its contents."""

# For a header name that is not UTF-8 the binding returns a list with a hole, and an exception set. A plain call, once
# the interpreter has specialized it (PEP 659), does not notice and walks into the hole; a methodcaller's is checked.
read_headers: Final = methodcaller("headers")


def size_of(message: Message, headers: Iterable[tuple[str, bytes | None]]) -> int:
    """Return about how many bytes a record takes up in memory; ``len`` of a message is that of its value alone."""
    return RECORD_BYTES + len(message) + len(message.key() or b"") + sum(len(n) + len(v or b"") for n, v in headers)


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """Return a record's headers in their order, as bytes.

    Raises:
        InvalidUpdateError: the name of one is not UTF-8, as only clients in other languages write it; from then on the
            record has no headers.
    """
    try:
        pairs = cast("list[tuple[str, str | bytes | None]]", read_headers(message) or [])
    except (SystemError, UnicodeDecodeError) as error:
        # The binding keeps the list, with a hole where the name should be: a second look would be a segmentation fault.
        message.set_headers([])
        raise InvalidUpdateError("the name of a header is not UTF-8: the headers cannot be read") from error
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs]


def timestamp_of(message: Message) -> int | None:
    """A record's own time in milliseconds since the epoch, None where it has none."""
    kind, timestamp_ms = message.timestamp()
    # Kafka takes any below zero too; -1 is its way to write that there is none.
    return timestamp_ms if kind and timestamp_ms >= 0 else None
