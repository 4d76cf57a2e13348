"""What a history is made of. Times are microseconds since the epoch by the clock of the server that says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from lastword.contract.version import Version


class Published(NamedTuple):
    """An update that Kafka has confirmed."""

    product: str
    version: Version
    partition: int
    offset: int


class Attempt(NamedTuple):
    """A write as the worker tells it; ``answer`` is None where it did not live to see one."""

    product: str
    version: Version
    token: str
    session: int | None
    pid: int
    at_us: int
    answer: str | None = None
    answered_us: int | None = None


class Held(NamedTuple):
    """What a product's hash holds. It may only grow: of one version, a tombstone beats data, then the token counts."""

    version: Version
    deleted: bool
    token: str


class Written(NamedTuple):
    """A write as Redis tells it, with what the product's hash held after it."""

    version: Version
    token: str
    outcome: str
    held: Held
    at_us: int


@dataclass(frozen=True)
class DataSet:
    """What Redis did to one product until it forgot some of that: another life of the product begins then.

    ``seen_us``: when this life was first seen, no sooner than it began.
    """

    writes: Sequence[Written]
    seen_us: int = 0


class End(Enum):
    """How a lock's interval ended."""

    RELEASED = auto()
    SESSION_CLOSED = auto()
    OPEN = auto()


@dataclass
class Interval:
    """One holding of one lock, from zxid to zxid. A lock that another session deleted ends with its owner's session."""

    path: str
    session: int
    begin: int
    end: int | None = None
    how: End = End.OPEN
    taken_by: tuple[int, int] | None = None
    """The session that deleted it without owning it, and the zxid."""


class Commit(NamedTuple):
    """A committed offset, as Kafka's own topic has it."""

    partition: int
    offset: int
    metadata: str
    at_us: int


class DeadLetter(NamedTuple):
    """A record in the dead-letter topic, by where it came from."""

    partition: int
    offset: int
    at_us: int
    reason: str = ""


@dataclass(frozen=True)
class History:
    """All that is known of one run. ``lives``: product to its data sets, in order. ``changes_us``: when Redis became
    another data set; ``blind``: from when to when Redis may have held what was never fetched. ``damaged``: what
    is held with another content than was published. ``left_behind``: paths of znodes that should not be there.
    ``gaps``: what ZooKeeper's log lacks.
    """

    root: str
    published: Sequence[Published] = ()
    attempts: Sequence[Attempt] = ()
    lives: Mapping[str, Sequence[DataSet]] = field(default_factory=dict)
    intervals: Sequence[Interval] = ()
    gaps: Sequence[str] = ()
    commits: Sequence[Commit] = ()
    letters: Sequence[DeadLetter] = ()
    changes_us: Sequence[int] = ()
    blind: Sequence[tuple[int, int]] = ()
    held: Mapping[str, Version] = field(default_factory=dict)
    damaged: Sequence[str] = ()
    left_behind: Sequence[str] = ()
    znodes: int = 0
