"""Positions that begin anew stop their partition; what is written again, or read, does not."""

import pytest

from bridge.topic.positions import Commit, Positions
from lastword.contract.record import Update
from lastword.contract.version import Position, Version

COMMIT = 112_709_328 // 8
T_MS = 1_763_800_000_123
LATER = 10 + 5_000_001


def update(position: Position, time_us: int, *, generation: int = 0) -> Update:
    return Update(entity_id="42", version=Version.at(position, generation), data=b"1", time_us=time_us)


def test_commits_in_their_order_follow_though_their_changes_do_not() -> None:
    positions = Positions()
    for commit, change, time_us in (
        (1_000, 9_000, 5),
        (1_100, 8_100, 6),
        (1_100, 8_090, 6),
        (1_200, 3, 4),
        (1_300, 9, 9),
    ):
        assert not positions.why_stop([update((commit, change), time_us)], T_MS)


def test_a_commit_before_the_last_one_that_was_made_later_may_not_follow() -> None:
    positions = Positions()
    assert not positions.why_stop([update((COMMIT, 112_709_384), 10)], T_MS)
    why = positions.why_stop([update((COMMIT - 100, 112_000_000), LATER)], T_MS)
    assert "add 2025-11-22T08:26:40.123000Z to LASTWORD_POSITIONS_ANEW" in why
    assert not Positions().why_stop([update((5, 112), LATER)], T_MS), "of another partition"


@pytest.mark.parametrize(
    "read", [update((5_000_000 // 8, 5_000_000 - 5), LATER), update((5_000_000 // 8, 5_000_104), LATER)]
)
def test_a_snapshot_of_a_restored_database_stops_it_too(read: Update) -> None:
    positions = Positions()
    assert not positions.why_stop([update((COMMIT, 112_709_384), 10)], T_MS)
    assert positions.why_stop([read], T_MS)


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(update((COMMIT - 5, 112_000_000), 10), id="written again"),
        pytest.param(update((COMMIT - 5, 112_000_000), 10 + 5_000_000), id="committed at nearly the same time"),
        pytest.param(update((COMMIT - 5, 0), LATER), id="read"),
        pytest.param(update((COMMIT - 5, 112_000_000), T_MS * 1_000), id="dated by its record"),
        pytest.param(update(7, LATER), id="an offset"),
        pytest.param(Update(entity_id="42", version=Version(99, 7), data=b"1"), id="a time"),
        pytest.param(update((5, 113), LATER, generation=1), id="a new generation"),
    ],
)
def test_what_tells_nothing_of_the_commits_follows(again: Update) -> None:
    positions = Positions()
    assert not positions.why_stop([update((COMMIT, 112_709_384), 10)], T_MS)
    assert not positions.why_stop([again], T_MS)


def test_the_next_bridge_knows_the_last_commit() -> None:
    before = Positions()
    assert before.told() == ""
    assert not before.why_stop([update((COMMIT, 112_709_384), 10), update((COMMIT - 5, 9), 9)], T_MS)
    told = before.told()
    for after in (Positions(), before):
        after.begin(told)
        after.begin("")
        after.begin(str(Commit(Version.at((COMMIT - 1, 1), 0), 99)))  # of a bridge that had come less far
        assert after.told() == told
        assert after.why_stop([update((COMMIT - 100, 112_000_000), LATER)], T_MS)


@pytest.mark.parametrize("text", ["", "5-6", "5-6@", "05-6@7", "5-6@7 ", "9007199254740992-6@7", "5-6@7@8", "five@7"])
def test_what_somebody_else_has_told_is_no_commit(text: str) -> None:
    assert Commit.parse(text) is None
    positions = Positions()
    positions.begin(text)
    assert positions.told() == ""


def test_where_no_commit_is_told_nothing_is_known() -> None:
    positions = Positions()
    for back in (3, 4, 5):  # a change, a deletion, a row that was read
        assert not positions.why_stop([update((112_709_384 // 8, 112_709_384 - back), 10)], T_MS)
        assert positions.told() == ""


@pytest.mark.parametrize("back", [0, 1], ids=["a change", "a deletion"])
def test_a_change_right_behind_the_commit_before_it_tells_that(back: int) -> None:
    positions = Positions()
    assert not positions.why_stop([update((1_000, 8_000 - back), 10)], T_MS)
    assert positions.told()
    assert positions.why_stop([update((900, 7_200), LATER)], T_MS)
