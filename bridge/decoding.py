"""From a record to its updates, outside the bridge's loop."""

from collections.abc import Sequence

from confluent_kafka import Message

from bridge.headers import headers_of
from bridge.letter import timestamp_of
from tasks.contract import Rules, Update, decode


def updates_of(
    message: Message, rules: Rules, headers: Sequence[tuple[str, bytes | None]] | None = None
) -> list[Update]:
    """The updates in a record, whose ``headers`` may have been read already; InvalidUpdateError as in the bridge."""
    return decode(
        key=message.key(),
        value=message.value(),
        headers=headers_of(message) if headers is None else headers,
        offset=message.offset() or 0,
        timestamp_ms=timestamp_of(message),
        rules=rules,
    )
