"""What the topic says against what Redis holds: the newest version of every entity, and which of them is missing."""

import itertools
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from confluent_kafka import Message

from lastword.cache.cache import Cache
from lastword.commands.parameters import RecordId
from lastword.contract.record import InvalidUpdateError, Rules
from lastword.contract.version import Version
from lastword.formats.decoding import updates_of
from lastword.kafka.group import Group
from lastword.kafka.headers import timestamp_of

BATCH: Final = 1_000
OLDEST: Final = Version(-1, 0)

# Big-endian, so that rows compare as (version, partition, offset) do. One such row is a third of a tuple of ints.
_ROW: Final = struct.Struct(">QQIQQ")


T = TypeVar("T")


class NewestRecord(NamedTuple):
    """The newest version of an entity on the topic, and its last record that has it."""

    version: Version
    partition: int
    offset: int
    timestamp_ms: int

    @property
    def record_id(self) -> RecordId:
        """Where it is on the topic."""
        return RecordId(self.partition, self.offset)


@dataclass(frozen=True, slots=True)
class Missing:
    """An entity of which Redis does not hold the newest version; ``held`` is None where it holds nothing."""

    entity_id: str
    held: Version | None
    newest: NewestRecord


class NewestVersions(Mapping[str, NewestRecord]):
    """The newest version of every entity in the records taken so far; about 180 bytes for each entity."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._rows: dict[str, bytes] = {}
        self.records = 0
        self.invalid = 0

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, message: Message) -> None:
        """Look at one record."""
        self.records += 1
        try:
            updates = updates_of(message, self._rules)
        except InvalidUpdateError:
            self.invalid += 1
            return
        timestamp_ms = timestamp_of(message) or 0
        for update in updates:
            row = _ROW.pack(*update.version, message.partition(), message.offset(), timestamp_ms)
            if row > self._rows.get(update.entity_id, b""):
                self._rows[update.entity_id] = row

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __contains__(self, entity_id: object) -> bool:
        return entity_id in self._rows

    def batches(self) -> Iterator[dict[str, NewestRecord]]:
        """All entities, some at a time."""
        for names in _batched(self._rows):
            yield {entity_id: self[entity_id] for entity_id in names}

    def __getitem__(self, entity_id: str) -> NewestRecord:
        at, sequence, partition, offset, timestamp_ms = _ROW.unpack(self._rows[entity_id])
        return NewestRecord(Version(at, sequence), partition, offset, timestamp_ms)


def missing_of(newest: Mapping[str, NewestRecord], cache: Cache) -> list[Missing]:
    """Those whose newest version Redis does not hold, nor a newer one. CacheUnavailableError where it does not say."""
    held = cache.held(list(newest))
    return [
        Missing(entity_id, held.get(entity_id), record)
        for entity_id, record in newest.items()
        if held.get(entity_id, OLDEST) < record.version
    ]


def apart(newest: Mapping[str, NewestRecord]) -> int:
    """How many entities have changes in several partitions: what was loaded for them is in no record."""
    return sum(record.version.asks for record in newest.values())


def still_missing(suspects: Collection[Missing], cache: Cache) -> list[Missing]:
    """Those of the suspects that are missing still."""
    missing = []
    for batch in _batched(suspects):
        missing += missing_of({suspect.entity_id: suspect.newest for suspect in batch}, cache)
    return missing


class Sorted(NamedTuple):
    """What is missing, by what that means."""

    lost: list[Missing]
    in_flight: list[Missing]
    expired: list[Missing]


def sort_out(missing: Collection[Missing], group: Group, *, ttl_s: int | None, now_s: float) -> Sorted:
    """Tell what is lost from what the group has not committed yet, and from what may have expired by its TTL.

    ``group`` must have been read before Redis was last asked: then what it had committed was there to be seen.
    """
    sorted_out = Sorted([], [], [])
    for each in missing:
        newest = each.newest
        if not group.has_passed(newest.partition, newest.offset):
            sorted_out.in_flight.append(each)
        elif each.held is None and ttl_s is not None and newest.timestamp_ms / 1_000 + ttl_s <= now_s:
            sorted_out.expired.append(each)
        else:
            sorted_out.lost.append(each)
    return sorted_out


def _batched(items: Collection[T]) -> Iterator[list[T]]:
    source = iter(items)
    while batch := list(itertools.islice(source, BATCH)):
        yield batch
