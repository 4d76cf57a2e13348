"""From where a partition is read, for everything that Kafka and Redis can say of it."""

import pytest

from bridge.delivery.rewind import MADE_ANEW, Marker, Standing, Start, start_of
from lastword.kafka.identity import Identity, Topic

EMPTIED = "Redis was emptied"
ANOTHER = "Redis holds another data set"
LOST = "Redis has lost what was written after that"
BEYOND = "the partition ends at 100: Kafka has lost its last records, or the offset was set by hand"


@pytest.mark.parametrize(
    ("committed", "identity", "held", "start"),
    [
        # Nothing lost: the markers are as far as the commit, or further.
        (50, "one", [Marker(50, "one")], Start(50, "one")),
        (50, "one", [Marker(50, "one"), Marker(60, "one")], Start(50, "one")),
        # Nothing committed: the beginning, of a data set that has a name from now on.
        (None, "", [None], Start(10, "new")),
        (None, "", [Marker(70, "an earlier topic")], Start(10, "new")),
        # Somebody has set the offset, with a tool that knows of no identity: it is taken.
        (50, "", [Marker(30, "one")], Start(50, "new")),
        (50, "", [None], Start(50, "new")),
        # Writes were lost: as far back as the primary that has lost most.
        (50, "one", [Marker(40, "one")], Start(40, "one", LOST)),
        (50, "one", [Marker(50, "one"), Marker(40, "one"), Marker(45, "one")], Start(40, "one", LOST)),
        (50, "one", [Marker(3, "one")], Start(10, "one", LOST)),
        # All of a primary was lost, or another data set is there: the beginning.
        (50, "one", [None], Start(10, "new", EMPTIED)),
        (50, "one", [Marker(50, "one"), None], Start(10, "new", EMPTIED)),
        (50, "one", [Marker(50, "two")], Start(10, "new", ANOTHER)),
        (50, "one", [Marker(50, "one"), Marker(50, "two")], Start(10, "new", ANOTHER)),
        (5, "one", [None], Start(5, "new", EMPTIED)),
        # Committed by a release that noted the run_id, and no marker.
        (50, "8f1c0a5e7d" * 4, [None], Start(10, "new", EMPTIED)),
        # More is committed than the topic has.
        (101, "one", [Marker(101, "one")], Start(10, "new", f"{BEYOND}, or the topic was made anew")),
        (101, "", [None], Start(10, "new", f"{BEYOND}, or the topic was made anew")),
    ],
)
def test_where_to_start(committed: int | None, identity: str, held: list[Marker | None], start: Start) -> None:
    assert start_of(Standing(committed, identity, begin=10, end=100), held, "new") == start


# Of a topic with an id.

NOW = Topic("now", generation=1)
OLD = "01.before.0.0"
MINE = "01.now.0.1"
NEW = "ff.now.0.1"
AFTER = "ff.now.1.1"


@pytest.mark.parametrize(
    ("committed", "identity", "held", "start"),
    [
        # Made anew, whether it is longer than what was committed of the one before, as long, or shorter.
        (50, OLD, [Marker(50, OLD)], Start(10, AFTER, MADE_ANEW)),
        (100, OLD, [Marker(100, OLD)], Start(10, AFTER, MADE_ANEW)),
        (101, OLD, [Marker(101, OLD)], Start(10, AFTER, MADE_ANEW)),
        (50, OLD, [None], Start(10, NEW, MADE_ANEW)),
        # Kafka has deleted the offset with the topic, or somebody has set one: Redis knows what topic it was.
        (None, "", [Marker(50, OLD)], Start(10, AFTER, MADE_ANEW)),
        (50, "", [Marker(30, OLD)], Start(10, AFTER, MADE_ANEW)),
        # Killed or rebalanced when the markers were written, and the offset not yet committed.
        (50, OLD, [Marker(10, AFTER)], Start(10, AFTER, MADE_ANEW)),
        (None, "", [Marker(10, AFTER)], Start(10, AFTER)),
        # The same topic.
        (50, MINE, [Marker(50, MINE)], Start(50, MINE)),
        (50, MINE, [Marker(40, MINE)], Start(40, MINE, LOST)),
        (50, MINE, [Marker(50, MINE), Marker(50, OLD)], Start(10, AFTER, ANOTHER)),
        (50, "", [Marker(30, MINE)], Start(50, NEW)),
        (101, MINE, [Marker(101, MINE)], Start(10, NEW, BEYOND)),
        # Positions count anew since: the same data set.
        (50, "01.now.0.0", [Marker(50, "01.now.0.0")], Start(50, MINE)),
        # Committed by a release before: adopted, also where only the markers, or the commit, are written by then.
        (50, "01", [Marker(50, "01")], Start(50, MINE)),
        (50, "01", [Marker(60, MINE)], Start(50, MINE)),
        (50, MINE, [Marker(50, "01")], Start(50, MINE)),
        (50, "01", [Marker(40, "01")], Start(40, MINE, LOST)),
        (50, "01", [Marker(50, "02")], Start(10, NEW, ANOTHER)),
        (101, "01", [Marker(101, "01")], Start(10, NEW, f"{BEYOND}, or the topic was made anew")),
    ],
)
def test_where_to_start_in_a_topic_with_an_id(
    committed: int | None, identity: str, held: list[Marker | None], start: Start
) -> None:
    assert start_of(Standing(committed, identity, begin=10, end=100), held, "ff", NOW) == start


def test_a_kafka_that_tells_no_ids_changes_nothing_in_what_is_noted() -> None:
    assert start_of(Standing(50, OLD, 10, 100), [Marker(50, OLD)], "ff") == Start(50, OLD)
    assert start_of(Standing(50, OLD, 10, 100), [None], "ff") == Start(10, "ff", EMPTIED)


def test_a_partition_that_the_topic_before_had_not_is_of_the_generation_of_the_others() -> None:
    standing = Standing(None, "", 0, 5)
    assert start_of(standing, [None], "ff", NOW, others=[Identity.parse(OLD)]).identity == "ff.now.1.1"
    assert start_of(standing, [None], "ff", NOW, others=[Identity.parse("02.now.3.3")]).identity == "ff.now.3.3"


@pytest.mark.parametrize("text", ["", "01", "run_id=8f1c0a5e7d, Größe", "a.b", "01.x.0", "01.x.y.0", "01..0.0"])
def test_what_names_no_topic_is_a_name_alone(text: str) -> None:
    assert Identity.parse(text) == Identity(text)
    assert str(Identity.parse(text)) == text


def test_an_identity_is_read_as_it_was_written() -> None:
    identity = Identity("0f", "w8h2bi8/ERc+yPEEesIZPE5g", 2, 3)
    assert Identity.parse(str(identity)) == identity


@pytest.mark.parametrize("stored", [None, b"", b"7", b"7 ", b" one", b"-7 one", b"seven one", b"\xff", b"\xd9\xa7 one"])
def test_what_is_no_marker_counts_as_none(stored: bytes | None) -> None:
    assert Marker.parse(stored) is None


def test_a_marker_is_read_as_it_was_written() -> None:
    assert Marker.parse(str(Marker(7, "one")).encode()) == Marker(7, "one")
