"""A dead letter as it lies on its topic: the record as it came, where it came from, and why it could not be applied."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Message

from bridge.letters.dead_letters import OMITTED, PREFIX, Headers
from lastword.commands.parameters import RecordId
from lastword.contract.record import VERSION_HEADER, InvalidUpdateError, Rules, Update
from lastword.contract.version import Version
from lastword.formats.decoding import decode
from lastword.formats.record import Record
from lastword.kafka.headers import headers_of, timestamp_of

MAX_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """One dead letter. ``record_id`` is its own, ``origin`` its record's on ``topic``: None where no header tells it.

    ``key``, ``value`` and ``headers`` are the record's own; ``omitted`` has the sizes of those that were too large.
    Times are milliseconds since the epoch: ``at_ms`` that of the letter, ``timestamp_ms`` that of the record.
    """

    record_id: RecordId
    at_ms: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    topic: str
    origin: RecordId | None
    timestamp_ms: int | None
    stage: str
    error: str
    reason: str
    version: Version | None
    omitted: Mapping[str, int]

    @property
    def record(self) -> Record:
        """Its record, as it was on its topic."""
        offset = self.origin.offset if self.origin else 0
        return Record(self.key, self.value, self.headers, offset, self.timestamp_ms)

    def entity_id(self, rules: Rules) -> str:
        """The entity that it is about, as far as that can be told: else its key, as text."""
        with suppress(InvalidUpdateError):
            if updates := self.updates(rules):
                return updates[0].entity_id
        return "" if self.key is None else self.key.decode(errors="backslashreplace")

    def updates(self, rules: Rules) -> list[Update]:
        """The updates in its record, as they would have been where it was; InvalidUpdateError where it has none."""
        return decode(self.record, rules)


def read_dead_letter(message: Message) -> StoredDeadLetter:
    """Take a record of the dead-letter topic apart."""
    try:
        headers = headers_of(message)
    except InvalidUpdateError:
        headers = []
    ours = {
        name.removeprefix(PREFIX): (value or b"").decode(errors="replace") for name, value in headers if _is_ours(name)
    }
    partition, offset = _number(ours.get("partition")), _number(ours.get("offset"))
    return StoredDeadLetter(
        record_id=RecordId(message.partition() or 0, message.offset() or 0),
        at_ms=timestamp_of(message),
        key=message.key(),
        value=message.value(),
        headers=[header for header in headers if not _is_ours(header[0])],
        topic=ours.get("topic", ""),
        origin=None if partition is None or offset is None else RecordId(partition, offset),
        timestamp_ms=_number(ours.get("timestamp")),
        stage=ours.get("stage", ""),
        error=ours.get("class", ""),
        reason=ours.get("message", "not a dead letter of ours: it has no headers that say why"),
        version=_version(headers),
        omitted={
            name.removesuffix(OMITTED): _number(size) or 0 for name, size in ours.items() if name.endswith(OMITTED)
        },
    )


def _is_ours(name: str) -> bool:
    return name.startswith(PREFIX)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None


def _version(headers: Headers) -> Version | None:
    text = dict(headers).get(VERSION_HEADER)
    try:
        return None if text is None else Version.parse(text.decode(errors="replace"))
    except ValueError:
        return None
