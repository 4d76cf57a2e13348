"""One update on its way, and all of one entity that are: of those only the newest has to arrive. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple

from bridge.delivery.partition_in_flight import Delivered
from bridge.delivery.retransmit import Sending
from lastword.contract.record import Update
from lastword.contract.version import Version

MANY: Final = 8
"""Of so many updates of one entity in flight, the newest is what many depend on."""


class State(Enum):
    """Where an update is on its way; one that is sought is polled for before it is sent.

    One that is overtaken need not be sent: a newer one of its entity is on its way, which confirms it too.
    """

    SOUGHT = auto()
    UNSENT = auto()
    OVERTAKEN = auto()
    SENT = auto()
    DEAD_LETTER = auto()
    DONE = auto()


class Mark(NamedTuple):
    """A worker's mark that it has begun a send: who it was, and since when the mark has been seen."""

    who: str
    since: float


@dataclass(eq=False, slots=True, kw_only=True)
class InFlight(Sending):
    """One update on its way, or (``update`` is None) a record that is none and goes to the dead-letter topic."""

    record: Delivered
    update: Update | None
    position: int = 0
    nonces: list[str] = field(default_factory=list)
    marks: dict[str, Mark] = field(default_factory=dict)
    first_sent_at: float = 0.0
    state: State = State.UNSENT


class UpdatesInFlight:
    """The updates in flight of each entity, and which of them is the newest."""

    def __init__(self) -> None:
        self._entities: dict[str, dict[InFlight, None]] = {}
        self._newest: dict[str, Version] = {}
        self._notices: dict[str, int] = {}

    def __iter__(self) -> Iterator[InFlight]:
        return (entry for entries in self._entities.values() for entry in entries)

    def of(self, entity_id: str) -> Iterable[InFlight]:
        """The entity's updates, in the order in which they came."""
        return self._entities.get(entity_id, ())

    def add(self, entry: InFlight, update: Update) -> None:
        """Take one in."""
        entity_id = update.entity_id
        self._entities.setdefault(entity_id, {})[entry] = None
        self._newest[entity_id] = max(update.version, self._newest.get(entity_id, update.version))
        if update.is_notice:
            self._notices[entity_id] = self._notices.get(entity_id, 0) + 1

    def remove(self, entries: Iterable[InFlight]) -> list[InFlight]:
        """Take some out; return those that had been overtaken by them and no longer are."""
        touched = {}
        for entry in entries:
            if entry.update is not None:
                self._remove(entry, entry.update)
                touched[entry.update.entity_id] = entry
        return [entry for entity_id in touched for entry in self._no_longer_overtaken(entity_id)]

    def overtaken(self, update: Update) -> bool:
        """Whether a newer update of the entity is in flight, and says all that there is to say.

        Not across a notice: what is loaded for it was the state at another time than its version says.
        """
        return update.entity_id not in self._notices and update.version < self._newest[update.entity_id]

    def confirms_many(self, entry: InFlight) -> bool:
        """Whether it is one of many updates of its entity, which wait for the newest of them."""
        return entry.update is not None and len(self._entities[entry.update.entity_id]) >= MANY

    def _remove(self, entry: InFlight, update: Update) -> None:
        entity_id = update.entity_id
        del self._entities[entity_id][entry]
        if update.is_notice:
            self._notices[entity_id] -= 1
            if not self._notices[entity_id]:
                del self._notices[entity_id]

    def _no_longer_overtaken(self, entity_id: str) -> list[InFlight]:
        entries = self._entities[entity_id]
        if not entries:
            del self._entities[entity_id], self._newest[entity_id]
            return []
        self._newest[entity_id] = max(entry.update.version for entry in entries if entry.update)
        return [
            entry
            for entry in entries
            if entry.state is State.OVERTAKEN and entry.update and not self.overtaken(entry.update)
        ]
