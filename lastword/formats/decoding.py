"""From a record to its updates, in whatever format: what the bridge and the commands do with each record."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Final

import msgspec
from confluent_kafka import Message

from lastword.contract import record as contract
from lastword.contract.change import Change
from lastword.contract.fields import entity_id_of
from lastword.contract.printable import printable
from lastword.contract.record import VERSION_HEADER, InvalidUpdateError, Rules, Update
from lastword.contract.version import APART, Position, Version
from lastword.formats.canal import canal
from lastword.formats.cloudevents import cloudevents
from lastword.formats.debezium.events import debezium
from lastword.formats.debezium.flattened import debezium_unwrapped
from lastword.formats.debezium.key import id_in_key, key_of
from lastword.formats.maxwell import maxwell
from lastword.formats.record import Decoder, Record
from lastword.formats.rows import IdColumns
from lastword.kafka.headers import headers_of, timestamp_of
from lastword.settings.function import import_function

Headers = Sequence[tuple[str, bytes | None]]

FORMATS: Final = {
    "debezium": debezium,
    "debezium-unwrapped": debezium_unwrapped,
    "canal": canal,
    "maxwell": maxwell,
    "cloudevents": cloudevents,
}
"""The formats beside our own, and what makes a decoder by the rules."""


def updates_of(message: Message, rules: Rules, headers: Headers | None = None) -> list[Update]:
    """The updates in a record, whose ``headers`` may have been read already; InvalidUpdateError as in the bridge."""
    return decode(record_of(message, headers_of(message) if headers is None else headers), rules)


def record_of(message: Message, headers: Headers) -> Record:
    """The record as a decoder is given it."""
    return Record(message.key(), message.value(), headers, message.offset() or 0, timestamp_of(message))


def decode(record: Record, rules: Rules) -> list[Update]:
    """The updates in a record, in the order in which they count; InvalidUpdateError where it breaks its format's rules.

    A header ``lastword-version``, as a replayed record has it, keeps a change at its first position; where changes have
    no position, what follows the time in it stands in for the offset in changes without a sequence.
    """
    if rules.format == contract.JSON:
        key, value, headers, offset, timestamp_ms = record
        return contract.decode(
            key=key, value=value, headers=headers, offset=offset, timestamp_ms=timestamp_ms, rules=rules
        )
    first = _first_version(record.headers)
    if first is not None:
        record = record._replace(offset=first.sequence)
    decoder = decoder_of(rules)
    try:
        changes = [_checked(change) for change in decoder(record)]
        values = [(change.position, msgspec.json.encode(change)) for change in changes]
        return [update for position, value in values for update in _updates(record, position, value, first, rules)]
    except InvalidUpdateError:
        raise
    except Exception as error:  # the edge to a user's own code
        raise InvalidUpdateError(_reason(rules.format, error)) from error


def _updates(
    record: Record, position: Position | None, value: bytes, first: Version | None, rules: Rules
) -> list[Update]:
    version = None
    if position is not None:
        # A letter of a release before has a version by time: it stays as old as it was.
        version = first
        if first is None or first.is_position:
            if isinstance(position, tuple) and position[0] > APART:
                raise InvalidUpdateError(f"position {position} is out of range: of two the first is below {APART}")
            # A replayed record's offset is the one that it had.
            generation = rules.generation(record.timestamp_ms) if first is None else first.generation
            version = Version.at(position, generation)
    return contract.decode(
        key=None,
        value=value,
        headers=(),
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        rules=rules,
        version=version,
    )


@lru_cache(maxsize=8)
def decoder_of(rules: Rules) -> Decoder:
    """The decoder of the rules' format. SettingsError where it is a function that does not exist."""
    if rules.format in FORMATS:
        return FORMATS[rules.format](rules)
    return import_function("LASTWORD_FORMAT", rules.format)


def entities_named(record: Record, rules: Rules) -> frozenset[str]:
    """The entity ids in a record, be it valid or not, as far as they can be told."""
    if rules.format == contract.JSON:
        return contract.entities_named(key=record.key, value=record.value, rules=rules)
    try:
        return frozenset(update.entity_id for update in decode(record, rules))
    except InvalidUpdateError:
        return frozenset(_named_by_key(record, rules))


def _named_by_key(record: Record, rules: Rules) -> Iterator[str]:
    """The entity that an invalid record's key names, in the formats whose keys do."""
    if rules.format.startswith("debezium"):
        with suppress(ValueError):
            ids = IdColumns.of(rules)
            entity_id = id_in_key(key_of(record.key, ids), ids)
            if entity_id is not None:
                yield entity_id_of(entity_id)


def _checked(given: object) -> Change:
    if not isinstance(given, Change):
        raise TypeError(f"it returned {given!r:.80} among the changes; wanted is a lastword.Change")
    return given


def _reason(name: str, error: Exception) -> str:
    said = str(error) or type(error).__name__
    if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
        return printable(said)
    return printable(f"the decoder {name} raised {type(error).__name__}: {said}")


def _first_version(headers: Headers) -> Version | None:
    """The version of a replayed record at its first delivery."""
    given = dict(headers).get(VERSION_HEADER)
    if given is None:
        return None
    try:
        return Version.parse(given.decode(errors="replace"))
    except ValueError as error:
        raise InvalidUpdateError(f"header {VERSION_HEADER}: {error}") from error
