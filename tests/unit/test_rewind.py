"""From where a partition is read, for everything that Kafka and Redis can say of it."""

import pytest

from bridge.rewind import Marker, Standing, Start, start_of

EMPTIED = "Redis was emptied"
ANOTHER = "Redis holds another data set"
LOST = "Redis has lost what was written after that"
ANEW = "the topic ends before that, it was made anew"


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
        (101, "one", [Marker(101, "one")], Start(10, "new", ANEW)),
        (101, "", [None], Start(10, "new", ANEW)),
    ],
)
def test_where_to_start(committed: int | None, identity: str, held: list[Marker | None], start: Start) -> None:
    assert start_of(Standing(committed, identity, begin=10, end=100), held, "new") == start


@pytest.mark.parametrize("stored", [None, b"", b"7", b"7 ", b" one", b"-7 one", b"seven one", b"\xff", b"\xd9\xa7 one"])
def test_what_is_no_marker_counts_as_none(stored: bytes | None) -> None:
    assert Marker.parse(stored) is None


def test_a_marker_is_read_as_it_was_written() -> None:
    assert Marker.parse(str(Marker(7, "one")).encode()) == Marker(7, "one")
