"""Looking for one entity: its records in the topic, and its dead letters."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from confluent_kafka import Message

from lastword.commands.parameters import RecordId
from lastword.commands.replaying.letter import StoredDeadLetter
from lastword.contract.change import key_of
from lastword.contract.record import JSON, InvalidUpdateError, KeyForm, Rules
from lastword.contract.version import Version
from lastword.formats.decoding import entities_named, record_of, updates_of
from lastword.kafka.headers import timestamp_of
from lastword.kafka.murmur2 import partition_of


@dataclass(frozen=True, slots=True)
class Sighting:
    """A record that names the entity; ``version`` is None, and ``invalid`` the reason, for one that is no update."""

    partition: int
    offset: int
    timestamp_ms: int | None
    version: Version | None = None
    deleted: bool = False
    data: bytes | None = None
    invalid: str = ""

    @property
    def record_id(self) -> RecordId:
        """Where it is on the topic."""
        return RecordId(self.partition, self.offset)


@dataclass(slots=True)
class Findings:
    """What a search of the topic has come to so far.

    ``newest`` has the greatest version, and of those that have it the last; ``others`` are the contents that came with
    that same version. ``latest`` are the last that came, the last one first. ``looked_at`` counts records, of whatever
    entity, in ``partitions``; ``complete`` says whether there are none before them.
    """

    entity_id: str
    rules: Rules
    keep: int
    newest: Sighting | None = None
    others: list[tuple[bool, bytes | None]] = field(default_factory=list)
    count: int = 0
    looked_at: int = 0
    partitions: list[int] = field(default_factory=list)
    complete: bool = True
    _latest: deque[Sighting] = field(default_factory=deque)
    _key: bytes | None = None

    def __post_init__(self) -> None:
        self._key = _only_key(self.entity_id, self.rules)

    @property
    def version(self) -> Version | None:
        """The greatest version, if there is any."""
        return None if self.newest is None else self.newest.version

    @property
    def latest(self) -> list[Sighting]:
        """The last records that came, the last one first: by their time across partitions, by offset within one."""
        in_order = sorted(self._latest, key=lambda each: (each.timestamp_ms or 0, each.offset), reverse=True)
        return in_order[: self.keep]

    def take(self, message: Message) -> None:
        """Look at one record."""
        self.looked_at += 1
        key = message.key()
        if key is not None and self._key is not None and key != self._key:
            return
        sighting = _read(message, self.entity_id, self.rules)
        if sighting is not None:
            self.add(sighting)

    def add(self, sighting: Sighting) -> None:
        """Take in a record of the entity."""
        self.count += 1
        same = [other for other in self._latest if other.partition == sighting.partition]
        if len(same) >= self.keep:
            self._latest.remove(same[0])
        self._latest.append(sighting)
        if sighting.version is None:
            return
        newest = self.newest
        if newest is None or newest.version is None or sighting.version > newest.version:
            self.newest, self.others = sighting, []
        elif sighting.version == newest.version:
            if (newest.deleted, newest.data) != (sighting.deleted, sighting.data):
                self.others.append((newest.deleted, newest.data))
            self.newest = sighting


def home_partition(entity_id: str, rules: Rules, partitions: int) -> int | None:
    """The partition in which the entity's records lie if their key is its id; None where that is not certain."""
    key = _only_key(entity_id, rules)
    return None if key is None else partition_of(key, partitions)


def dead_letters_of(
    letters: Iterable[StoredDeadLetter], entity_id: str, rules: Rules, topic: str
) -> list[StoredDeadLetter]:
    """Those of the dead letters that name the entity and came from ``topic``, the last one first."""
    naming = [
        letter for letter in letters if letter.topic == topic and entity_id in entities_named(letter.record, rules)
    ]
    return sorted(naming, key=lambda letter: (letter.at_ms or 0, letter.record_id.offset), reverse=True)


def _only_key(entity_id: str, rules: Rules) -> bytes | None:
    """The one form in which a key can name the entity; None if there are several, or keys do not count."""
    if rules.format != JSON or not rules.key_must_agree or rules.key_form is KeyForm.JSON:
        return None
    try:
        return key_of(entity_id, rules.key_form)
    except InvalidUpdateError:
        return None


def _read(message: Message, entity_id: str, rules: Rules) -> Sighting | None:
    origin = (message.partition() or 0, message.offset() or 0, timestamp_of(message))
    try:
        updates = updates_of(message, rules)
    except InvalidUpdateError as error:
        named = entities_named(record_of(message, ()), rules)
        return Sighting(*origin, invalid=str(error)) if entity_id in named else None
    ours = [update for update in updates if update.entity_id == entity_id]
    return Sighting(*origin, ours[-1].version, ours[-1].deleted, ours[-1].data) if ours else None
