"""What a partition's marker and its commit's metadata are named by: a data set, and the topic by its id. Pure.

Source: docs/decisions/0025-a-topic-has-an-id.md
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple, Self

_METADATA: Final = re.compile(r"(.+) ([0-9]+-[0-9]+@[0-9]+)", re.DOTALL)
_TEXT: Final = re.compile(r"([0-9a-f]+)\.([A-Za-z0-9+/=_-]+)\.([0-9]{1,4})\.([0-9]{1,4})")


def metadata_of(identity: str, commit: str) -> str:
    """What is told with a committed offset; ``identity_and_commit`` reads it."""
    return f"{identity} {commit}" if commit else identity


def identity_and_commit(metadata: str | None) -> tuple[str, str]:
    """What is told with a committed offset: the identity, and the source's last commit, "" where none is told."""
    match = _METADATA.fullmatch(metadata or "")
    return (match[1], match[2]) if match else (metadata or "", "")


class Topic(NamedTuple):
    """The topic as it is now: its id, "" where Kafka does not tell one, and the generation of positions of today."""

    id: str = ""
    generation: int = 0


class Identity(NamedTuple):
    """``name``: the data set's. ``topic``: the id of the topic that was read, "" as a release before wrote it.

    ``least``: the generation of positions that a record must have whose version is its offset, since an earlier topic
    of the name had all before. ``last``: the greatest generation that records of this topic may have had so far.
    """

    name: str
    topic: str = ""
    least: int = 0
    last: int = 0

    def __str__(self) -> str:
        return f"{self.name}.{self.topic}.{self.least}.{self.last}" if self.topic else self.name

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str(identity)`` writes; anything else is a name alone."""
        match = _TEXT.fullmatch(text)
        return cls(match[1], match[2], int(match[3]), int(match[4])) if match else cls(text)

    def is_of(self, topic: Topic) -> bool:
        """Whether it may be of this topic: its id is the same, or is not known."""
        return not (self.topic and topic.id) or self.topic == topic.id

    def at(self, topic: Topic) -> Self:
        """The same data set, with what is known of the topic now."""
        if not topic.id:
            return self
        return self._replace(topic=topic.id, last=max(self.last, topic.generation))

    @classmethod
    def new(cls, name: str, topic: Topic, before: Iterable["Identity"]) -> Self:
        """Another data set's, which may hold what was read by the name of those ``before``."""
        if not topic.id:
            return cls(name)
        least = max((identity.least if identity.is_of(topic) else identity.last + 1 for identity in before), default=0)
        return cls(name, topic.id, least, max(least, topic.generation))
