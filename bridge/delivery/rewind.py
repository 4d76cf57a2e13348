"""From where a partition is to be read: from the committed offset, or from before it, if writes were lost. Pure.

So too where the topic is another than the offset was committed of. Source: docs/decisions/0007 and 0025
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Self

from lastword.kafka.identity import Identity, Topic

MADE_ANEW: Final = "the topic was deleted and made anew, so nothing of it has been read"


class Standing(NamedTuple):
    """What Kafka says of a partition: the committed offset (None: there is none) with its metadata; what it has.

    The metadata are the identity and, of a source whose changes have positions, its last commit.
    """

    committed: int | None
    identity: str
    begin: int
    end: int
    last_commit: str = ""


class Marker(NamedTuple):
    """What Redis says of a partition: all before ``offset`` is held. ``identity`` names the data set and the topic."""

    offset: int
    identity: str

    def __str__(self) -> str:
        return f"{self.offset} {self.identity}"

    @classmethod
    def parse(cls, stored: bytes | None) -> Self | None:
        """Read what Redis holds; None for anything that is no marker."""
        offset, _, identity = (stored or b"").decode(errors="replace").partition(" ")
        return cls(int(offset), identity) if offset.isdecimal() and offset.isascii() and identity else None


def commit_field(name: str) -> str:
    """Where, beside a partition's marker of this name, its source's last commit is noted: Kafka forgets a topic's."""
    return f"{name} commit"


class Start(NamedTuple):
    """Where to begin, of which data set; ``lost`` says why that is before the committed offset, "" where it is not."""

    offset: int
    identity: str
    lost: str = ""


NO_TOPIC: Final = Topic()


def start_of(
    standing: Standing,
    held: Sequence[Marker | None],
    new_name: str,
    topic: Topic = NO_TOPIC,
    *,
    others: Iterable[Identity] = (),
) -> Start:
    """Where a partition is to be read from, if these are the markers that Redis's primaries hold.

    ``others`` are identities of the topic's other partitions, for one that has no marker.
    """
    committed, told = standing.committed, Identity.parse(standing.identity)
    names = [Identity.parse(marker.identity) for marker in held if marker]
    new = str(Identity.new(new_name, topic, names or others))
    if not told.is_of(topic) or (not standing.identity and not all(name.is_of(topic) for name in names)):
        return Start(standing.begin, new, MADE_ANEW)
    if committed is None:
        return Start(standing.begin, new)
    if committed > standing.end:
        return Start(standing.begin, new, _beyond(standing, told, topic))
    if not standing.identity:
        # Nothing of ours is committed without: somebody has set the offset, and wants it.
        return Start(committed, new)
    return _as_marked(standing._replace(identity=str(told.at(topic))), held, Start(committed, new), topic)


def _as_marked(standing: Standing, held: Sequence[Marker | None], start: Start, topic: Topic) -> Start:
    """Where to go on with what a bridge of ours has committed, by what Redis's primaries have noted of it."""
    told = Identity.parse(standing.identity)
    markers = [marker for marker in held if marker]
    names = [Identity.parse(marker.identity) for marker in markers]
    if len(markers) < len(held) or any(name.name != told.name or not name.is_of(topic) for name in names):
        why = "Redis was emptied" if len(markers) < len(held) else "Redis holds another data set"
        return Start(min(standing.begin, start.offset), start.identity, why)
    same = str(told._replace(least=max([told.least, *(name.least for name in names)])))
    safe = min(marker.offset for marker in markers)
    if safe >= start.offset:
        return Start(start.offset, same)
    return Start(max(safe, standing.begin), same, "Redis has lost what was written after that")


def _beyond(standing: Standing, told: Identity, topic: Topic) -> str:
    """Why an offset may be committed that is behind the partition's end."""
    causes = ["Kafka has lost its last records", "the offset was set by hand"]
    if not (told.topic and topic.id):
        causes.append("the topic was made anew")
    return f"the partition ends at {standing.end}: {', or '.join(causes)}"
