"""A record as it has arrived: read, and how much memory it takes."""

from typing import NamedTuple

from confluent_kafka import Message

from lastword.contract.record import InvalidUpdateError, Rules, Update
from lastword.formats.decoding import updates_of
from lastword.kafka.headers import headers_of, size_of


class Arrived(NamedTuple):
    """A record with the updates in it, or the reason why it has none; its size in memory in bytes."""

    message: Message
    size: int
    updates: list[Update]
    error: InvalidUpdateError | None = None

    @classmethod
    def read(cls, message: Message, rules: Rules) -> "Arrived":
        """Read a record by the rules of its format."""
        headers: list[tuple[str, bytes | None]] = []
        try:
            headers = headers_of(message)
            updates = updates_of(message, rules, headers)
        except InvalidUpdateError as error:
            return cls(message, size_of(message, headers), [], error)
        return cls(message, size_of(message, headers), updates)
